"""Figures of notebook 06 about maps: pictures and maps side by side, and measures of maps by definition and model."""

from collections.abc import Iterable, Mapping, Sequence
from textwrap import fill

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from matplotlib.figure import Figure

from .notebook import PALETTE

_COLOURS = PALETTE | {"untrained": "#000000"}
_MARKERS = {"untrained": "x", "baseline": "o", "instance-wise": "D", "correlation-aware": "s"}
_BOLD = {"fontsize": 11, "fontweight": "bold"}


def _ordered(models: Iterable[str]) -> list[str]:
    return [name for name in _MARKERS if name in set(models)]


def picture_grid(rows: Mapping[str, Sequence], title: str, columns: Sequence[str] = ()) -> Figure:
    """Pictures [H, W, 3], uint8 or 0 to 1, in named rows, all drawn in a person's proportions, 2 to 1, and names above
    the columns."""
    count = max(map(len, rows.values()))
    wide = min(0.9, 6.2 / count)
    size = wide * count + 1.2, (2 * wide + 0.06) * len(rows) + 0.5
    figure, axes = plt.subplots(len(rows), count, figsize=size, squeeze=False, layout="compressed")
    figure.get_layout_engine().set(w_pad=0.02, h_pad=0.03, wspace=0, hspace=0)
    for line, (name, pictures) in zip(axes, rows.items()):
        for axis, picture in zip(line, pictures):
            axis.imshow(picture, interpolation="nearest", aspect="auto")
            axis.set_box_aspect(2)
            axis.set(xticks=[], yticks=[])
            axis.grid(False)
        line[0].set_ylabel(name, rotation=0, ha="right", va="center", fontsize=10)
    for axis, name in zip(axes[0], columns):
        axis.set_title(name, fontsize=10, fontweight="normal")
    figure.suptitle(fill(title, 64), **_BOLD)
    return figure


def agreement(maps: Sequence[np.ndarray]) -> float:
    """How alike maps of the same pictures are: the Pearson correlation over a picture's pixels, averaged over all pairs
    of the several `maps` [pictures, H, W] and over the pictures. A map without any variation is left out."""
    flat = np.stack([m.reshape(len(m), -1) for m in maps])  # [several, pictures, pixels]
    found = []
    for one in range(len(flat)):
        for other in range(one):
            for a, b in zip(flat[one], flat[other]):
                if a.std() > 0 and b.std() > 0:
                    found.append(np.corrcoef(a, b)[0, 1])
    return float(np.mean(found)) if found else float("nan")


def grids_figure(picture: np.ndarray, right: np.ndarray, wrong: np.ndarray, title: str) -> Figure:
    """A picture beside its patches in the right grid and in the transposed one, all uint8 [rows, columns, 3]."""
    figure, axes = plt.subplots(1, 3, figsize=(6.4, 3.8))
    named = ("the picture", picture), *((f"{x.shape[0]} rows, {x.shape[1]} columns", x) for x in (right, wrong))
    for axis, (name, shown), unit in zip(axes, named, ("pixels", "patches", "patches")):
        axis.imshow(shown, interpolation="nearest")
        axis.set(xlabel=f"column ({unit})", ylabel=f"row ({unit})")
        axis.set_title(name, fontsize=10)
        axis.grid(False)
    figure.suptitle(fill(title, 64), **_BOLD)
    figure.tight_layout()
    return figure


def measures_figure(values, lines: Mapping[str, tuple[float, float]], label: str, title: str) -> Figure:
    """Means over identities with 95 % bootstrap intervals, a panel for each measure, a line for each definition.

    values: DataFrame with a row for each identity, definition and model, and the measures as columns. lines: for each
    measure what an even map has (black) and what the fixed blob has (dotted). label: of the horizontal axes."""
    order = _ordered(values.model)
    grid = sns.catplot(
        values.melt(["identity", "model", "definition"], [*lines], "measure", "value"),
        kind="point", x="value", y="definition", col="measure", col_wrap=1, hue="model", palette=_COLOURS, dodge=0.6,
        linestyle="none", hue_order=order, markers=[_MARKERS[name] for name in order], errorbar=("ci", 95), n_boot=400,
        height=4, aspect=1.6, err_kws={"linewidth": 1.5}, sharex=False, markersize=6, seed=0,
    )  # fmt: skip
    for measure, axis in grid.axes_dict.items():
        even, blob = lines[measure]
        axis.axvline(even, color="black", linewidth=0.8)
        axis.axvline(blob, color="black", linewidth=1.2, linestyle=":")
        # a pale band for every second definition tells whose marks are whose
        for k in range(0, values.definition.nunique(), 2):
            axis.axhspan(k - 0.5, k + 0.5, color="black", alpha=0.05, linewidth=0)
        top = {"xytext": (3, -3), "textcoords": ("offset points", "offset points"), "fontsize": 10, "va": "top"}
        axis.annotate("even map", (even, 1), xycoords=axis.get_xaxis_transform(), **top)
        if blob != even:
            axis.annotate("blob", (blob, 1), xycoords=axis.get_xaxis_transform(), **top)
        axis.set_ylim(values.definition.nunique() - 0.5, -0.9)
    grid.set_axis_labels(label, "").set_titles("{col_name}")
    for axis in grid.axes.flat:  # with their own ranges the upper panels need their numbers, too
        axis.tick_params(labelbottom=True)
        axis.set_xlabel(label)
    sns.move_legend(grid, "upper center", bbox_to_anchor=(0.5, 1.005), ncol=len(order), title=None, fontsize=10)
    grid.figure.set_size_inches(6.6, 8)
    grid.tight_layout(rect=(0, 0, 1, 0.97))
    grid.figure.suptitle(fill(title, 60), y=1.05, **_BOLD)
    return grid.figure


def intervals_figure(panels: Mapping[str, object], label: str, title: str) -> Figure:
    """Means with intervals, a line for each definition, one panel or rows of two by name.

    panels: DataFrames with the columns definition, model, mean, low and high; label: of the horizontal axes."""
    columns = min(2, len(panels))
    rows = len(panels) // columns
    size = 6.4, (3.2 if columns == 1 else 3.6) * rows + 0.6
    figure, axes = plt.subplots(rows, columns, figsize=size, squeeze=False, sharey=True, sharex="col")
    for axis, (name, part) in zip(axes.flat, panels.items()):
        definitions, models = part.definition.unique(), _ordered(part.model)
        for k, model in enumerate(models):
            found = part[part.model == model].set_index("definition").loc[definitions]
            places = np.arange(len(definitions)) + 0.6 * ((k + 0.5) / len(models) - 0.5)
            reach = [found["mean"] - found.low, found.high - found["mean"]]
            look = {"fmt": _MARKERS[model], "color": _COLOURS[model], "label": model}
            axis.errorbar(found["mean"], places, xerr=reach, **look)
        axis.axvline(0, color="black", linewidth=0.8)
        axis.set_title(name, fontsize=10)
        axis.set(yticks=range(len(definitions)), yticklabels=definitions)
        axis.locator_params(axis="x", nbins=4)
    for axis in axes[-1]:
        axis.set_xlabel(label)
    axes[0, 0].invert_yaxis()
    figure.suptitle(fill(title, 64), **_BOLD)
    handles = axes[0, 0].get_legend_handles_labels()
    figure.legend(*handles, loc="upper center", ncols=2, bbox_to_anchor=(0.55, 0.01), fontsize=10)
    figure.tight_layout()
    return figure


def targets_figure(values, label: str, title: str) -> Figure:
    """A measure under each identity asked about, a panel for each definition, a line for each model, with intervals
    over seeds. values: DataFrame with the columns definition, model, target and value."""
    order = _ordered(values.model)
    grid = sns.catplot(
        values, kind="point", x="target", y="value", hue="model", hue_order=order, col="definition", col_wrap=2,
        palette=_COLOURS, markers=[_MARKERS[name] for name in order], linestyles=[":", "-", "--", "-"], dodge=0.3,
        errorbar=("ci", 95), seed=0, n_boot=400, height=2.7, aspect=1.2, err_kws={"linewidth": 1.5},
    )  # fmt: skip
    sns.move_legend(grid, "lower center", bbox_to_anchor=(0.5, -0.02), ncol=2, title=None, fontsize=10)
    for axis in grid.axes.flat:
        axis.tick_params(axis="x", rotation=20)
        axis.axhline(0, color="black", linewidth=0.8)
    grid.set_axis_labels("asked about", label).set_titles("{col_name}")
    grid.figure.set_size_inches(6.6, 8)
    grid.tight_layout(rect=(0, 0.06, 1, 1))
    grid.figure.suptitle(fill(title, 60), y=1.03, **_BOLD)
    return grid.figure
