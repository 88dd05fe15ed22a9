"""Figures of notebook 06 about maps: pictures and maps side by side, and measures of maps by definition and model."""

from collections.abc import Iterable, Mapping, Sequence

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
    """Pictures in named rows, all drawn in a person's proportions, 2 to 1, and names above the columns. A picture is
    [H, W, 3], uint8 or 0 to 1, or a map [H, W] of values 0 to 1, which is drawn in colours."""
    count = max(map(len, rows.values()))
    size = 0.9 * count + 1.2, 1.75 * len(rows) + 0.5
    figure, axes = plt.subplots(len(rows), count, figsize=size, squeeze=False, layout="compressed")
    for line, (name, pictures) in zip(axes, rows.items()):
        for axis, picture in zip(line, pictures):
            axis.imshow(picture, cmap="viridis", vmin=0, vmax=1, interpolation="nearest", aspect="auto")
            axis.set_box_aspect(2)
            axis.set(xticks=[], yticks=[])
            axis.grid(False)
        line[0].set_ylabel(name, rotation=0, ha="right", va="center", fontsize=9)
    for axis, name in zip(axes[0], columns):
        axis.set_title(name, fontsize=9, fontweight="normal")
    figure.suptitle(title, **_BOLD)
    return figure


def grids_figure(picture: np.ndarray, right: np.ndarray, wrong: np.ndarray, title: str) -> Figure:
    """A picture beside its patches in the right grid and in the transposed one, all uint8 [rows, columns, 3]."""
    figure, axes = plt.subplots(1, 3, figsize=(6.6, 3.6))
    named = ("the picture", picture), *((f"{x.shape[0]} rows, {x.shape[1]} columns", x) for x in (right, wrong))
    for axis, (name, shown), unit in zip(axes, named, ("pixels", "patches", "patches")):
        axis.imshow(shown, interpolation="nearest")
        axis.set(xlabel=f"column ({unit})", ylabel=f"row ({unit})")
        axis.set_title(name, fontsize=10)
        axis.grid(False)
    figure.suptitle(title, **_BOLD)
    figure.tight_layout()
    return figure


def measures_figure(values, lines: Mapping[str, tuple[float, float]], label: str, title: str) -> Figure:
    """Means over identities with 95 % bootstrap intervals, a panel for each measure, a line for each definition.

    values: DataFrame with a row for each identity, definition and model, and the measures as columns. lines: for each
    measure what an even map has (black) and what the fixed blob has (dotted). label: of the horizontal axes."""
    order = _ordered(values.model)
    grid = sns.catplot(
        values.melt(["identity", "model", "definition"], [*lines], "measure", "value"),
        kind="point", x="value", y="definition", col="measure", hue="model", palette=_COLOURS, dodge=0.45, seed=0,
        linestyle="none", hue_order=order, markers=[_MARKERS[name] for name in order], errorbar=("ci", 95), n_boot=400,
        height=3.6, aspect=1.1, err_kws={"linewidth": 1.5}, sharex=False,
    )  # fmt: skip
    for measure, axis in grid.axes_dict.items():
        even, blob = lines[measure]
        axis.axvline(even, color="black", linewidth=0.8)
        axis.axvline(blob, color="black", linewidth=1.2, linestyle=":")
    grid.set_axis_labels(label, "").set_titles("{col_name}")
    grid.figure.suptitle(title, y=1.05, **_BOLD)
    return grid.figure


def intervals_figure(panels: Mapping[str, object], label: str, title: str) -> Figure:
    """Means with intervals, a line for each definition, one panel or rows of two by name.

    panels: DataFrames with the columns definition, model, mean, low and high; label: of the horizontal axes."""
    columns = min(2, len(panels))
    rows = len(panels) // columns
    size = 4.7 * columns + 1.4 * (columns == 1), 2.9 * rows + 0.6
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
        axis.locator_params(axis="x", nbins=5)
    for axis in axes[-1]:
        axis.set_xlabel(label)
    axes[0, 0].invert_yaxis()
    figure.suptitle(title, **_BOLD)
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="upper center", ncols=4, bbox_to_anchor=(0.55, 0.01))
    figure.tight_layout()
    return figure


def targets_figure(values, label: str, title: str) -> Figure:
    """A measure under each identity asked about, a panel for each definition, a line for each model, with intervals
    over seeds. values: DataFrame with the columns definition, model, target and value."""
    order = _ordered(values.model)
    grid = sns.catplot(
        values, kind="point", x="target", y="value", hue="model", hue_order=order, col="definition", col_wrap=3,
        palette=_COLOURS, markers=[_MARKERS[name] for name in order], linestyles=[":", "-", "--", "-"], dodge=0.3,
        errorbar=("ci", 95), seed=0, n_boot=400, height=2.5, aspect=1.15, err_kws={"linewidth": 1.5},
    )  # fmt: skip
    for axis in grid.axes.flat:
        axis.axhline(0, color="black", linewidth=0.8)
    grid.set_axis_labels("asked about", label).set_titles("{col_name}")
    grid.figure.suptitle(title, y=1.03, **_BOLD)
    return grid.figure
