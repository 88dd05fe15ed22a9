"""Things to play with in a notebook: noise (notebook 01), retrieval (02) and the condition (04).

An explorer is an ipywidgets box: controls above a page of HTML that a function of their values draws.
All that is slow is computed beforehand. Beside it stands `figure()`, a matplotlib figure of some settings, for
readers without a running kernel. Marks are never colour alone; what a move has changed is also said to screen
readers."""

import html
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import lru_cache

import ipywidgets as widgets
import numpy as np
import torch
from torch import Tensor

from ..conditioning import SCHEMES, make_condition
from .notebook import PALETTE, show_images
from .pages import helper, image_html, page_html, spoken
from .rank_figure import identity_of, rank_figure, rank_list


class Explorer(widgets.VBox):
    """Controls, and below them what `draw(**values)` makes of their values, drawn again after every change: pairs of a
    sentence, which may hold HTML, and the HTML of pictures. `name` tells screen readers what the group is.
    `figure()` gives a static figure."""

    def __init__(
        self, name: str, draw: Callable[..., Iterable[tuple[str, str]]], figure: Callable, **controls: widgets.DOMWidget
    ):
        self.draw, self.figure, self.controls = draw, figure, controls
        for control in controls.values():
            control.style.description_width = "11em"
            control.layout.width = "min(38em, 100%)"
            control.tooltip = f"{name}: {control.description}"
            control.observe(lambda _: self.redraw(), names="value")
        self.page, self.said = widgets.HTML(), widgets.HTML()
        self.redraw()
        for kind in ("dcac-said", "dcac-hidden"):
            self.said.add_class(kind)
        super().__init__([*controls.values(), self.page, self.said, helper(f"{name} explorer")])
        self.add_class("dcac-explorer")

    def redraw(self) -> None:
        """Draw the page of the controls' present values."""
        drawn = [*self.draw(**{name: control.value for name, control in self.controls.items()})]
        self.page.value = "".join(page_html(*part) for part in drawn)
        self.said.value = spoken(sentence for sentence, _ in drawn)


def _tall(squares: Tensor) -> np.ndarray:
    # squares [B, 3, S, S] in [0, 1] -> uint8 in the 2:1 shape of a person
    return (squares.clamp(0, 1).cpu().repeat_interleave(2, dim=2) * 255).round().to(torch.uint8).numpy()


# ---------------------------------------------------------------- noise


def _snr_curve(snr: Mapping[int, float], t: int) -> str:
    """The signal-to-noise ratio over the timesteps, logarithmic, as a small drawing with a mark at t."""
    x, y = np.array([*snr]), np.log10([*snr.values()])
    x, y = 8 + 184 * x / x.max(), 8 + 94 * (y.max() - y) / np.ptp(y)
    at = list(snr).index(t)
    line = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y))
    words = f"The signal-to-noise ratio falls with the timestep; at {t} it is {snr[t]:.3g}"
    return (
        f'<figure style="margin:4px;text-align:center;font-size:14px;line-height:1.3">'
        f'<svg role="img" aria-label="{words}" width="200" height="110" style="border:1px solid #999">'
        f'<polyline points="{line}" fill="none" stroke="currentColor" stroke-width="2"/>'
        f'<circle cx="{x[at]:.1f}" cy="{y[at]:.1f}" r="6" fill="{PALETTE["dif"]}" stroke="white"/></svg>'
        f"<figcaption>log signal-to-noise ratio over t</figcaption></figure>"
    )


@torch.no_grad()
def explore_noise(
    sd, latents: Tensor, contexts: Tensor, captions: list[str], seed: int = 0, steps: int = 21
) -> Explorer:
    """Forward process and denoising (Eq. 3 and 4) at `steps` timesteps: x_t, the predicted noise, the predicted
    x_0, the signal-to-noise ratio and the error.

    sd: a `pretrained.stable_diffusion.StableDiffusion`. latents: clean latents x_0 [B, C, h, w], B pictures to choose
    from;
    contexts: their conditions [B, L, D]; captions: their names. One noise per picture, drawn from `seed`."""
    from ..diffusion import add_noise, predict_noise

    device = next(sd.unet.parameters()).device
    noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(seed)).to(device)
    latents, contexts = latents.to(device), contexts.to(device)
    abar = sd.scheduler.alphas_cumprod.to(device)
    times = np.linspace(0, len(abar) - 1, steps).round().astype(int).tolist()

    def paint(x: Tensor) -> np.ndarray:
        return _tall(sd.vae.decode(x / sd.vae.config.scaling_factor).sample / 2 + 0.5)

    seen = {}  # timestep -> uint8 pictures [5, B, 3, 2S, S] and the error [B]
    original = paint(latents)
    block = sd.image_size // latents.shape[-1]
    for t in times:
        at = torch.full((len(latents),), t, device=device)
        noisy = add_noise(sd.scheduler, latents, noise, at)
        guess = predict_noise(sd.unet, noisy, at, contexts)
        clean = (noisy - (1 - abar[t]).sqrt() * guess) / abar[t].sqrt()
        # three of the four channels as red, green and blue; 0 is grey, +-2.5 the ends
        coloured = [
            _tall((e[:, :3] / 5 + 0.5).repeat_interleave(block, 2).repeat_interleave(block, 3)) for e in (noise, guess)
        ]
        seen[t] = [original, paint(noisy), *coloured, paint(clean)], ((guess - noise) ** 2).mean((1, 2, 3)).tolist()
    snr = {t: float(abar[t] / (1 - abar[t])) for t in times}
    rows = ("clean x_0", "noisy x_t", "true noise", "predicted noise", "predicted x_0")

    def draw(picture: int, t: int) -> list[tuple[str, str]]:
        shown, errors = seen[t]
        blocks = [image_html(p[picture], name, f"{name} at timestep {t}", width=100) for name, p in zip(rows, shown)]
        blocks.append(_snr_curve(snr, t))
        words = f"t = {t}: signal-to-noise ratio <b>{snr[t]:.3g}</b>, {float(abar[t]):.1%} of the variance is picture. "
        words += f"Error of the predicted noise (Eq. 3): <b>{errors[picture]:.3g}</b>; 1 would be knowing nothing."
        return [(words, "".join(blocks))]

    def figure():
        chosen = [times[k] for k in np.linspace(1, len(times) - 1, 6).astype(int)]
        titles = [f"t = {t}\nSNR {snr[t]:.2g}" for t in chosen] + [""] * ((len(rows) - 2) * len(chosen))
        pictures = np.stack([seen[t][0][k][0] for k in range(1, len(rows)) for t in chosen])
        drawn = show_images(pictures, titles, columns=len(chosen), scale=0.85)
        for axis, label in zip(drawn.axes[:: len(chosen)], rows[1:]):
            axis.set_ylabel(label.replace(" ", "\n"), rotation=0, ha="right", va="center", fontsize=10)
        return drawn

    return Explorer(
        "Noise",
        draw,
        figure,
        picture=widgets.Dropdown(options=[(c, k) for k, c in enumerate(captions)], description="picture"),
        t=widgets.SelectionSlider(options=times, value=times[len(times) // 2], description="timestep t"),
    )


# ---------------------------------------------------------------- condition


@torch.no_grad()
def explore_condition(
    images, labels: Tensor, z: Tensor, logits: Tensor, portraits, tau_c: float, dim: int, seed: int = 0
) -> Explorer:
    """From logits to the condition c (Eq. 12) under every scheme and temperature: the most probable identities
    with thumbnails, the entropy of p, and the prompts nearest to c.

    images: uint8 [B, 3, H, W] to choose from, with labels [B], features z [B, d] and logits [B, N]; the whole
    batch goes through a scheme, because two schemes normalise over it. portraits: uint8 [N, 3, H, W], a picture of
    each identity. tau_c: where the slider starts. dim: D. The prompts are the N(0, 1) ones of `seed`."""
    modules = {}
    for scheme in SCHEMES:
        torch.manual_seed(seed)
        modules[scheme] = make_condition(scheme, logits.shape[1], z.shape[1], dim, tau_c)
    prompts = modules["correlation-aware"].prompts.detach()

    @torch.no_grad()
    def state(picture: int, scheme: str, tau: float) -> tuple:
        """p of one picture, the identities in falling order, entropy in nats, distances of c to the prompts."""
        modules[scheme].tau_c = tau
        p = (logits[picture].float() / tau).softmax(0)
        c = modules[scheme](logits, z, labels)[picture]
        return p, p.argsort(descending=True), float(-(p * p.clamp_min(1e-30).log()).sum()), (prompts - c).norm(dim=1)

    def used(scheme: str, j: int, own: int) -> bool:
        """Does identity j's prompt enter c?"""
        return scheme != "instance-wise" and (not scheme.startswith("class-wise") or j == own)

    def draw(picture: int, scheme: str, tau: float) -> list[tuple[str, str]]:
        p, order, entropy, distance = state(picture, scheme, tau)
        own = int(labels[picture])
        top = order[:8].tolist()
        if own not in top:
            top[-1] = own  # the truth is always shown
        people = []
        for j in top:
            fill, frame = (
                PALETTE[scheme] if used(scheme, j, own) else "transparent",
                PALETTE["right"] if j == own else "transparent",
            )
            width = max(1, 70 * float(p[j] / p.max()))  # the longest bar is as wide as a picture
            style = f"height:8px;width:{width:.0f}px;background:{fill};border:1px solid currentColor"
            track = "width:72px;margin:2px auto;border-bottom:1px dotted currentColor"
            bar = f'<div style="{track}"><div style="{style}"></div></div>'
            name = f"{'✓ ' if j == own else ''}#{j}<br>p {float(p[j]):.3f}"
            people.append(
                image_html(
                    portraits[j], bar + name, f"identity {j}, probability {float(p[j]):.3f}", f"3px solid {frame}"
                )
            )
        near = ", ".join(f"#{j} ({float(distance[j]):.2f})" for j in distance.argsort()[:4].tolist())
        words = f"Entropy of p: <b>{entropy:.2f}</b> of at most {np.log(len(p)):.2f} nats. "
        if scheme == "instance-wise":
            words += "This scheme has no prompts: c is a projection of the feature, and p does not enter it."
        else:
            words += f"Prompts nearest to c (distance): <b>{near}</b>. Filled bars enter c, open ones do not."
        own_picture = image_html(
            images[picture], f"input<br>identity #{own}", f"the input picture, identity {own}", "3px solid black"
        )
        return [(words, own_picture + "".join(people))]

    def figure():
        import matplotlib.pyplot as plt

        drawn, axes = plt.subplots(2, 2, figsize=(6.4, 6), layout="constrained")
        picture, own = axes.flat[0], int(labels[0])
        picture.imshow(np.asarray(images[0]).transpose(1, 2, 0))
        picture.set(xticks=[], yticks=[], title=f"identity #{own}")
        picture.grid(False)
        for axis, tau in zip(axes.flat[1:], (tau_c / 4, tau_c, 4 * tau_c)):
            p, order, entropy, distance = state(0, "correlation-aware", tau)
            top, nearest = order[:6].tolist(), int(distance.argmin())
            bars = axis.barh(
                [("✓ " if j == own else "") + f"#{j}" for j in top], p[top].numpy(), color=PALETTE["correlation-aware"]
            )
            axis.bar_label(bars, fmt="%.2f", fontsize=10, padding=2)
            axis.invert_yaxis()
            axis.set(
                xlim=(0, 1.2),
                xlabel="probability p",
                title=rf"$\tau_c$ = {tau:.3g}: entropy {entropy:.2f} nats," + f"\nc is nearest to prompt #{nearest}",
            )
        return drawn

    return Explorer(
        "Condition",
        draw,
        figure,
        picture=widgets.Dropdown(
            options=[(f"{k + 1}: identity #{int(y)}", k) for k, y in enumerate(labels)], description="picture"
        ),
        scheme=widgets.Dropdown(options=[*SCHEMES], description="scheme"),
        tau=widgets.FloatLogSlider(
            value=tau_c, min=-2, max=1, step=0.05, readout_format=".3g", description="temperature tau_c"
        ),
    )


# ---------------------------------------------------------------- retrieval

ORDERS = ("as in the data", "worst first", "best first")
TOGETHER = "all, one below the other"


def explore_retrieval(
    models: Mapping, domains: Mapping, classifiers: Collection[str], top: int = 8, start: int = 0
) -> Explorer:
    """Rank lists of every query of every domain under every model, with camera, AP, and on request where a
    trained classifier looks (Grad-CAM of the training identity that the query resembles most).

    models: `ReIDModel`s by name; domains: `data.Domain`s by name; classifiers: names of the models whose classifier
    was trained (a map needs one); top: length of a list; start: the first query shown. Features of all pictures
    are computed here, once."""
    features = {
        (name, target): (model.features(domain.query.images), model.features(domain.gallery.images))
        for name, model in models.items()
        for target, domain in domains.items()
    }

    @lru_cache
    def in_order(target: str, model: str, order: str) -> list[int]:
        """The queries of a domain as they come, or by a model's average precision."""
        asked, searched = domains[target].query, domains[target].gallery
        if order == ORDERS[0]:
            return list(range(len(asked)))
        own, others = features[model, target]
        aps = [rank_list(x, others, identity_of(asked, k, searched), top).ap for k, x in enumerate(own)]
        return np.argsort(np.array(aps) * (1 if order == "worst first" else -1), kind="stable").tolist()

    def answers(target: str, model: str, row: int, cam: bool) -> tuple[str, str]:
        asked, searched = domains[target].query, domains[target].gallery
        own, others = features[model, target]
        found = rank_list(own[row], others, identity_of(asked, row, searched), top)
        images = [asked.images[row], *(searched.images[r] for r in found.rows)]
        if cam and model in classifiers:
            images = _maps(models[model], np.stack(images))
        camera = f"camera {asked.cameras[row]}"
        blocks = [image_html(images[0], f"query<br>{camera}", f"the query, {camera}", "4px solid black")]
        for n, (r, right) in enumerate(zip(found.rows, found.right), 1):
            mark, word, line = ("✓", "right", "solid") if right else ("✗", "wrong", "dashed")
            camera = f"camera {searched.cameras[r]}"
            words = f"rank {n}, {word} person, {camera}"
            blocks.append(image_html(images[n], f"{mark} {n}<br>{camera}", words, f"4px {line} {PALETTE[word]}"))
        words = (
            f"{html.escape(model)} on {target}, query {row}: average precision <b>{found.ap:.2f}</b>, "
            f"{int(found.right.sum())} of the first {len(found.rows)} right."
        )
        if cam and model not in classifiers:
            words += " No map: this model's classifier was never trained."
        return words, "".join(blocks)

    def draw(target: str, model: str, order: str, query: int, cam: bool) -> list[tuple[str, str]]:
        shown = [*models] if model == TOGETHER else [model]
        row = in_order(target, shown[0], order)[query]
        return [answers(target, name, row, cam) for name in shown]

    first = next(iter(domains))
    query = widgets.IntSlider(value=start, min=0, max=len(domains[first].query) - 1, description="query")
    target = widgets.Dropdown(options=[*domains], description="target domain")
    # before the page is drawn: the slider must not point behind the last query of the new domain
    target.observe(lambda change: setattr(query, "max", len(domains[change["new"]].query) - 1), names="value")
    return Explorer(
        "Retrieval",
        draw,
        lambda: rank_figure(models, domains[first].query, domains[first].gallery, [start], top)[0],
        target=target,
        model=widgets.Dropdown(options=[*models, *[TOGETHER] * (len(models) > 1)], description="model"),
        order=widgets.Dropdown(options=ORDERS, description="queries"),
        query=query,
        cam=widgets.Checkbox(value=False, description="show where the model looks (Grad-CAM)"),
    )


def _maps(model, images: np.ndarray) -> list[np.ndarray]:
    """Grad-CAM laid over uint8 images [B, 3, H, W], for the training identity of the highest logit of images[0]."""
    from ..augment import normalise
    from ..cam import cam_maps, overlay

    device = next(model.parameters()).device
    with torch.no_grad():
        identity = int(model.eval()(normalise(torch.from_numpy(images[:1])).to(device))[1].argmax())
    maps = cam_maps(model, images, identity)
    painted = [overlay(image.transpose(1, 2, 0), cam) for image, cam in zip(images, maps)]
    return [(255 * picture).round().astype(np.uint8).transpose(2, 0, 1) for picture in painted]
