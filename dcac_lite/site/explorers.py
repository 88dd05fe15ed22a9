"""The explorers that the site shows without a kernel. Nothing is trained: what needs a model takes the shipped weights
or published numbers."""

from functools import cache
from pathlib import Path

import ipywidgets as widgets
import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F

from ..book.card_explorer import explore_cards
from ..book.explorers import Explorer, explore_condition, explore_noise, explore_retrieval
from ..book.notebook import PALETTE
from ..book.pages import image_html
from ..data.domains import training_set
from ..data.load import load_domain
from ..diffusion import sample_latents, vae_moments
from ..encoder import ReIDModel
from ..inversion.generator import Generator
from ..inversion.people import shrunk
from ..inversion.recipe import RECIPES
from ..inversion.system import SHIPPED
from ..lite_weights.report import HELD_OUT
from ..paths import figures_root
from ..pretrained.captions import load_text_encoder
from ..pretrained.clip import load_clip_visual
from ..pretrained.files import load_exactly, read_tensors
from ..pretrained.stable_diffusion import load_stable_diffusion
from ..tiers import TIERS, Tier
from ..world.domains import photograph_record, web_sample
from ..world.plan import plan
from ..world.specs import DOMAINS
from .packing import pack

QUERIES = 30  # of the retrieval explorer
DIRECTIONS, NOISES = 3, 3  # of the explorer of cards: all combinations are drawn


def write_explorers(folder: Path, tier: str) -> None:
    """Write NAME.js for each explorer of `pages.EXPLORERS` into the new `folder`. tier: smoke or lite, of whose data
    people are condition and retrieval; the others need none."""
    values = TIERS[tier]
    searched = retrieval(values)
    queries = np.linspace(0, searched.controls["query"].max, QUERIES).round().astype(int)
    packed = {
        "01_explorer": pack(noise(values), "Noise"),
        "02_explorer": pack(searched, "Retrieval", order=[1], cam=[0], query=np.unique(queries)),
        "04_temperature": pack(temperature(), "Temperature"),
        "04_explorer": pack(condition(values), "Condition", picture=range(6), tau=range(0, 61, 2)),
        "B1_explorer": pack(cards(), "Cards", **{f"a{k}": range(0, 9, 2) for k in range(DIRECTIONS)}),
    }
    folder.mkdir(parents=True)
    for name, data in packed.items():
        (folder / f"{name}.js").write_text(f'dcacExplorer("{name}", "{data}")\n')


def noise(tier: Tier) -> Explorer:
    """The people of notebook 01's explorer, with the shipped Stable Diffusion."""
    sd, embed = (
        load_stable_diffusion(tier.stable_diffusion, tier.diffusion_size),
        load_text_encoder(tier.stable_diffusion),
    )
    samples = [web_sample(HELD_OUT + k, writer="full") for k in range(4, 10)]
    images = torch.from_numpy(np.stack([s.picture.image.transpose(2, 0, 1) for s in samples]))
    moments = vae_moments(sd.vae, images, tier.diffusion_size)
    drawn = torch.randn(moments.chunk(2, dim=1)[0].shape, generator=torch.Generator().manual_seed(0))
    latents = sample_latents(moments, sd.vae.config.scaling_factor, drawn)
    captions = [s.caption for s in samples]
    return explore_noise(sd, latents, embed(captions), captions)


def _untrained(tier: Tier) -> ReIDModel:
    return ReIDModel(load_clip_visual(tier.clip, tier.image_size), 2).eval()


def retrieval(tier: Tier) -> Explorer:
    """Rank lists of D by the shipped CLIP."""
    made = explore_retrieval({"zero-shot CLIP": _untrained(tier)}, {"D": load_domain("D", tier.name)}, classifiers=[])
    made.controls["query"].description = "query, worst first"
    return made


def condition(tier: Tier) -> Explorer:
    """Conditions on pictures of MA. In the place of a trained classifier stand prototypes (Eq. 6): the mean feature of
    each person, by the shipped CLIP."""
    data = training_set([load_domain("MA", tier.name)])
    z = _untrained(tier).features(data.images(torch.arange(len(data))))
    prototypes = F.normalize(torch.zeros(data.identities, z.shape[1]).index_add_(0, data.labels, z))
    batch = torch.randperm(len(data), generator=torch.Generator().manual_seed(0))[:64]
    portraits = torch.stack([(data.labels == k).nonzero()[0, 0] for k in range(data.identities)])
    logits, width = (
        z[batch] @ prototypes.T / tier.tau,
        load_text_encoder(tier.stable_diffusion).model.config.hidden_size,
    )
    return explore_condition(
        data.images(batch), data.labels[batch], z[batch], logits, data.images(portraits), tier.tau_c, width
    )


def among(p: np.ndarray, at: float, tau: float) -> np.ndarray:
    """Probabilities at temperature `tau` among some identities, [k] with sum 1, of which `p` [k] are those at
    temperature `at`: logits differ by `at` times the difference of log p, whoever else there is."""
    logits = np.log(p) * at
    p = np.exp((logits - logits.max()) / tau)
    return p / p.sum()


def temperature() -> Explorer:
    """Figure 4.1 at every temperature: its three pictures and the five people that the trained baseline found most
    probable, from what is published of them; the entropies are published too."""
    published, sweep = (pd.read_csv(figures_root() / f"04_{name}.csv") for name in ("dark_knowledge", "temperature"))
    column = published.columns[-1]
    highest = float(column.rsplit(" ", 1)[-1])
    spec = DOMAINS["MA"]
    taken = sorted((r for r in plan(spec) if r.split == "train"), key=lambda r: (r.pid, r.camera, r.index))
    first = {r.pid: r for r in reversed(taken)}  # the portrait: a person's first picture
    people = [first[pid] for pid in sorted(first)]
    entropy = dict(zip(sweep["tau_c"], sweep["entropy"]))
    rows = list(published.groupby("picture", sort=False))
    pictures = {
        record: photograph_record(spec, record).picture.image.transpose(2, 0, 1)
        for picture, part in rows
        for record in (taken[picture], *(people[j] for j in part["identity"]))
    }

    def draw(picture: int, tau: float) -> list[tuple[str, str]]:
        row, part = rows[picture]
        p = among(part[column].to_numpy(), highest, tau)
        own = int(part["true"].iloc[0])
        frame = f"3px solid {PALETTE['right']}"
        blocks = [image_html(pictures[taken[row]], "input", f"the input picture, identity {own}", "3px solid black")]
        for j, share in zip(part["identity"], p):
            style = f"height:8px;width:{max(1, 70 * share):.0f}px;border:1px solid currentColor"
            bar = f'<div style="{style};background:{PALETTE["correlation-aware"]}"></div>'
            track = f'<div style="width:72px;margin:2px auto;border-bottom:1px dotted currentColor">{bar}</div>'
            name = f"{track}{'✓ ' if j == own else ''}#{j}<br>{share:.3f}"
            words = f"identity {j}, {share:.3f} of the five"
            blocks.append(image_html(pictures[people[j]], name, words, *[frame] * (j == own)))
        words = f"tau_c = {tau:.3g}: of what these five hold together, the first guess has <b>{p[0]:.1%}</b>. Over all "
        words += f"people and several hundred pictures the entropy is <b>{entropy[tau]:.2f}</b> nats."
        return [(words, "".join(blocks))]

    return Explorer(
        "Temperature",
        draw,
        lambda: None,
        picture=widgets.Dropdown(
            options=[(f"{k + 1}: identity #{part['true'].iloc[0]}", k) for k, (_, part) in enumerate(rows)],
            description="picture",
        ),
        tau=widgets.SelectionSlider(
            options=[(f"{t:.3g}", t) for t in entropy],
            value=min(entropy, key=lambda t: abs(t - TIERS["lite"].tau_c)),
            description="temperature tau_c",
        ),
    )


def cards() -> Explorer:
    """The cards of notebook B1, with the shipped generator and its training people, of whom only those are
    photographed who come near."""
    recipe, spec, file = RECIPES["lite"], DOMAINS["MA"], SHIPPED / "generator.safetensors"
    generator = Generator(spec.train_ids, recipe.dim, recipe.depths, recipe.blocks)
    load_exactly(generator, read_tensors(file), file)

    @cache
    def photographs(person: int) -> list[np.ndarray]:
        own = [record for record in plan(spec) if record.split == "train" and record.pid == person + 1][:2]
        images = np.stack([photograph_record(spec, record).picture.image.transpose(2, 0, 1) for record in own])
        return [*shrunk(images, recipe.size).numpy()]

    return explore_cards(generator.eval(), recipe.size, recipe.picture_steps, photographs, DIRECTIONS, NOISES)
