"""The whole method in one picture (notebook 00 and the README); ours, not the paper's Fig. 2.

Coordinates are in units of a tenth of an inch. The picture of a person is drawn; the
two latents are illustrations (that picture reduced to 8 x 8, without and with noise)."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyArrowPatch, FancyBboxPatch, Rectangle

from .world.domains import web_sample

_WIDTH, _HEIGHT = 132, 73
_INK, _GRADIENT = "#222222", "#D55E00"
#: What learns: (fill, edge, hatch) of a box.
_KINDS = {
    "trained": ("#CFE4F3", "#0072B2", None),
    "frozen": ("#E4E4E4", "#7f7f7f", None),
    "lora": ("#E4E4E4", "#0072B2", "////"),
    "formula": ("white", "#222222", None),
    "loss": ("#FFF3D6", "#E69F00", None),
}

_Point = tuple[float, float]


def _box(ax: Axes, centre: _Point, size: _Point, kind: str, title: str, note: str = "") -> None:
    fill, edge, hatch = _KINDS[kind]
    corner = centre[0] - size[0] / 2, centre[1] - size[1] / 2
    style = "round,pad=0,rounding_size=1.2"
    ax.add_patch(FancyBboxPatch(corner, *size, style, facecolor=fill, edgecolor="#9CC7E3", hatch=hatch, lw=0, zorder=3))
    ax.add_patch(FancyBboxPatch(corner, *size, style, facecolor="none", edgecolor=edge, lw=1.6, zorder=4))
    common = {"ha": "center", "va": "center", "zorder": 6, "linespacing": 1.25}
    if hatch:
        common["bbox"] = {"boxstyle": "round,pad=0.15", "facecolor": fill, "edgecolor": "none"}
    high = centre[1] + (1.0 + 0.5 * note.count("\n") if note else 0)
    low = centre[1] - 1.3 - 1.1 * title.count("\n")
    ax.text(centre[0], high, title, fontsize=14 if kind == "loss" else 11, weight="bold", **common)
    ax.text(centre[0], low, note, fontsize=9, **common)


def _arrow(ax: Axes, start: _Point, end: _Point, label: str = "", offset: _Point = (0, 1.5)) -> None:
    look = {"arrowstyle": "-|>", "mutation_scale": 13, "lw": 1.5, "color": _INK, "shrinkA": 0, "shrinkB": 0, "zorder": 2}
    ax.add_patch(FancyArrowPatch(start, end, **look))
    middle = (start[0] + end[0]) / 2 + offset[0], (start[1] + end[1]) / 2 + offset[1]
    ax.text(*middle, label, ha="center", va="center", fontsize=11, color=_INK, zorder=6)


def _gradient(ax: Axes, start: _Point, end: _Point) -> None:
    look = {"arrowstyle": "-|>", "mutation_scale": 15, "lw": 2.4, "color": _GRADIENT, "shrinkA": 0, "shrinkB": 0, "zorder": 7}
    ax.add_patch(FancyArrowPatch(start, end, **look))


def _picture(ax: Axes, image: np.ndarray, extent: tuple[float, float, float, float], label: str) -> None:
    left, right, bottom, top = extent
    ax.imshow(image, extent=extent, interpolation="nearest", zorder=3, aspect="auto")
    ax.add_patch(Rectangle((left, bottom), right - left, top - bottom, facecolor="none", edgecolor=_INK, lw=1, zorder=4))
    ax.text((left + right) / 2, bottom - 0.9, label, ha="center", va="top", fontsize=9.5, linespacing=1.25)


def _probabilities(ax: Axes, left: float, bottom: float) -> None:
    heights = np.array([0.6, 1.2, 5.6, 0.5, 3.0, 0.8, 1.7])
    ax.bar(left + 0.6 + 1.1 * np.arange(7), heights, width=0.85, bottom=bottom, color="#0072B2", zorder=4)
    ax.plot([left, left + 7.8], [bottom, bottom], color=_INK, lw=1, zorder=4)
    ax.text(left + 3.9, bottom + 6.6, r"$p$", ha="center", fontsize=12)


def draw_pipeline() -> Figure:
    """One training step of DCAC: boxes are modules, thin dark arrows the forward pass, thick orange
    arrows the way of the diffusion loss's gradient. The colours of the boxes say what learns."""
    # the font decides which words fit into which box, so it must not depend on the machine
    with plt.rc_context({"font.family": "DejaVu Sans", "mathtext.fontset": "dejavusans"}):
        figure = plt.figure(figsize=(_WIDTH / 10, _HEIGHT / 10))
        ax = figure.add_axes((0, 0, 1, 1))
        image = web_sample(20_047).picture.image
        _reid_row(ax, image, y=46.0, loss=62.5)
        _diffusion_row(ax, image, y=16.5)
        _box(ax, (118, 62.5), (24, 6), "loss", r"$L_{total} = L_{ReID} + \lambda\, L_{dif}$")
        _arrow(ax, (97, 62.5), (106, 62.5))
        _arrow(ax, (127.3, 19.5), (127.3, 59.5))
        _legend(ax)
        ax.set(xlim=(0, _WIDTH), ylim=(0, _HEIGHT), aspect="equal")
        ax.axis("off")
    return figure


def _reid_row(ax: Axes, image: np.ndarray, y: float, loss: float) -> None:
    ax.text(1.5, 70.5, "Re-ID model", fontsize=15, weight="bold", va="center")
    look = {"facecolor": "#F1F9F5", "edgecolor": "#009E73", "lw": 1.4, "ls": ":"}
    ax.add_patch(FancyBboxPatch((13.4, y - 7), 37.4, 17.2, "round,pad=0,rounding_size=1.5", **look))
    ax.text(14.8, y + 8, "all that is used at test time", fontsize=10.5, color="#00684c", va="center", style="italic")
    _picture(ax, image, (2, 9.5, y - 7.5, y + 7.5), "image $x$,\naugmented")
    _arrow(ax, (9.9, y), (15.3, y))
    _box(ax, (25, y), (19.4, 10.5), "trained", "CLIP image\nencoder $E_\\psi$", "(patch projection frozen)")
    _arrow(ax, (34.7, y), (40.5, y), "$f$")
    _box(ax, (45, y), (9, 10.5), "trained", "BN\nneck")
    _arrow(ax, (49.5, y), (59, y), "$z$", (1.6, 1.5))
    _box(ax, (65, y), (12, 10.5), "trained", "classifier", "$w_1 \\ldots w_N$")
    _arrow(ax, (71, y), (79.4, y), "logits", (-1.5, 1.5))
    _box(ax, (84.4, y), (10, 10.5), "formula", "softmax", r"logits$\,/\,\tau_c$")
    _arrow(ax, (89.4, y), (94, y))
    _probabilities(ax, 94.5, y - 2.4)
    _arrow(ax, (102.7, y), (107, y))
    _box(ax, (115.5, y), (17, 10.5), "trained", "ID prompts", "$e_1 \\ldots e_N$")
    _arrow(ax, (53.5, y), (53.5, loss - 3))
    _box(ax, (53.5, loss), (9, 6), "loss", r"$L_{pcl}$")
    _box(ax, (33.5, loss), (21, 6), "formula", "prototype memory", "one per identity")
    _arrow(ax, (44, loss), (49, loss))
    _arrow(ax, (77.2, y), (77.2, loss - 3))
    _box(ax, (77.2, loss), (9, 6), "loss", r"$L_{id}$")
    ax.text(65.3, loss, "+", fontsize=16, ha="center", va="center")
    ax.text(84, loss, r"$=\;L_{ReID}$", fontsize=14, va="center")
    back = y - 3.4
    for start, end in ((107, 89.6), (79.2, 71.2), (58.8, 49.7), (40.3, 34.9)):
        _gradient(ax, (start, back), (end, back))
    words = r"the diffusion loss teaches the encoder: its gradient comes back through $c$, $p$ and the logits"
    ax.text(16, y - 9.5, words, fontsize=11.5, color=_GRADIENT, weight="bold", va="center")


def _diffusion_row(ax: Axes, image: np.ndarray, y: float) -> None:
    pooled = image.reshape(8, 8, 8, 4, 3).mean((1, 3)) / 255
    noise = np.random.default_rng(2).normal(size=pooled.shape)
    noisy = np.clip(0.5 + 0.5 * (0.6 * (2 * pooled - 1) + 0.55 * noise), 0, 1)
    squashed = image.reshape(32, 2, 32, 3).mean(1).astype(np.uint8)
    ax.text(1.5, 29, "Diffusion model", fontsize=15, weight="bold", va="center")
    _picture(ax, squashed, (2, 13, y - 5.5, y + 5.5), "same image $x_0$,\nnot augmented")
    _arrow(ax, (13.4, y), (18.5, y))
    _box(ax, (26, y), (15, 10.5), "frozen", "VAE encoder", "$E_{vae}$")
    _arrow(ax, (33.5, y), (39.1, y))
    _picture(ax, pooled, (39.5, 48.5, y - 4.5, y + 4.5), "latent $F_0$")
    _arrow(ax, (48.9, y), (55.1, y))
    ax.add_patch(Circle((57, y), 1.9, facecolor="white", edgecolor=_INK, lw=1.4, zorder=3))
    ax.text(57, y, "+", ha="center", va="center", fontsize=15, zorder=4)
    _arrow(ax, (57, y + 7), (57, y + 1.9))
    ax.text(57, y + 8.6, "noise $\\epsilon_t$, step $t$", ha="center", va="center", fontsize=11)
    _arrow(ax, (58.9, y), (65.1, y))
    _picture(ax, noisy, (65.5, 74.5, y - 4.5, y + 4.5), "noisy latent $F_t$")
    _arrow(ax, (74.9, y), (88, y))
    note = "pre-trained weights frozen,\nLoRA adapters trained"
    _box(ax, (101.5, y), (27, 12), "lora", r"denoising U-Net $E_\theta$", note)
    _arrow(ax, (113.5, 40.75), (113.5, y + 6), r"$c=\sum_j\, p_j\, e_j$", (6.7, 0))
    _gradient(ax, (109, y + 6.2), (109, 40.5))
    _arrow(ax, (115, y), (123, y), "$\\hat\\epsilon$", (0, 1.9))
    _box(ax, (127.3, y), (8.6, 6), "loss", "$L_{dif}$")
    _gradient(ax, (122.8, y - 2), (115.3, y - 2))
    ax.text(127.3, y - 5.2, r"$\| \epsilon_t - \hat\epsilon \|^2$", fontsize=12, ha="center", va="center")


def _legend(ax: Axes) -> None:
    entries = {
        "trained": "trained",
        "frozen": "frozen",
        "lora": "frozen, with trained adapters",
        "formula": "nothing to learn",
        "loss": "loss",
    }
    x = 4.0
    for kind, words in entries.items():
        _box(ax, (x, 3), (3.4, 2.4), kind, "")
        ax.text(x + 2.6, 3, words, fontsize=10.5, va="center")
        x += 7.5 + 0.78 * len(words)
    _arrow(ax, (x - 1.5, 3), (x + 3.5, 3))
    ax.text(x + 4.3, 3, "forward", fontsize=10.5, va="center")
    _gradient(ax, (x + 17, 3), (x + 12, 3))
    ax.text(x + 18, 3, "gradient of $L_{dif}$", fontsize=10.5, va="center")
