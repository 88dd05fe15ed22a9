"""Figures of notebook B1: who the generator draws, and what is read back."""

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from torch import Tensor

from .notebook import PALETTE, name_rows, show_images


def to_eye(pictures: Tensor) -> np.ndarray:
    """Pictures [N, 3, H, W] in [0, 1] as uint8."""
    return (255 * pictures.clamp(0, 1)).round().byte().numpy()


def noise_to_eye(noise: Tensor) -> np.ndarray:
    """Noise [N, 3, H, W] as uint8 pictures: cut at 2.5 SD either way, as the paper shows it."""
    return to_eye((noise / 5 + 0.5).clamp(0, 1))


def rows_figure(rows: Mapping[str, np.ndarray], scale: float = 0.7) -> Figure:
    """Rows of uint8 pictures, each [N, 3, H, W] with the same N, under their names."""
    figure = show_images(np.concatenate(list(rows.values())), columns=len(next(iter(rows.values()))), scale=scale)
    name_rows(figure, list(rows))
    return figure


def losses_figure(histories: Mapping[str, list[dict]]) -> Figure:
    """The loss of each stage against its steps, one panel each, from 0."""
    figure, axes = plt.subplots(1, len(histories), figsize=(3.1 * len(histories), 2.8))
    for axis, (name, history) in zip(axes, histories.items()):
        table = pd.DataFrame(history)
        axis.plot(table.step, table.loss, color=PALETTE["correlation-aware"])
        axis.set(title=name, xlabel="step", ylim=(0, None))
    axes[0].set_ylabel("loss")
    figure.tight_layout()
    return figure


def distances_figure(named: Mapping[str, np.ndarray]) -> Figure:
    """Histograms of distances of pairs, each divided by its own mean."""
    figure, axis = plt.subplots(figsize=(6.6, 3.2))
    colours = (PALETTE["correlation-aware"], PALETTE["baseline"], PALETTE["wrong"])
    bins = np.linspace(0, 2.2, 67)
    for (name, values), colour in zip(named.items(), colours):
        axis.hist(values / values.mean(), bins, density=True, histtype="step", lw=2, color=colour, label=name)
    axis.set(xlabel="distance of two identities, in units of the mean distance", ylabel="density")
    axis.legend()
    figure.tight_layout()
    return figure


def protocols_figure(table: pd.DataFrame) -> Figure:
    """mAP of each feature by the standard protocol and by the published code's. table: columns features, mAP, code
    mAP; the first row is drawn at the top."""
    figure, axis = plt.subplots(figsize=(7.2, 0.36 * len(table) + 1.1))
    places = np.arange(len(table))
    axis.hlines(places, table["mAP"], table["code mAP"], color="#cccccc", lw=2, zorder=1)
    axis.scatter(table["mAP"], places, color=PALETTE["correlation-aware"], label="standard protocol", zorder=2)
    axis.scatter(
        table["code mAP"], places, color=PALETTE["wrong"], marker="D", s=28, label="published code's", zorder=2
    )
    axis.set(yticks=places, yticklabels=table["features"], xlabel="mAP [%]", xlim=(0, None))
    axis.invert_yaxis()
    axis.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, frameon=False)  # above: marks fill the plot
    figure.tight_layout()
    return figure


def moved(vector: Tensor, coordinate: int, steps: Tensor) -> Tensor:
    """A vector [dim] with one coordinate moved by each of `steps` [S]: [S, dim]."""
    many = vector.repeat(len(steps), 1)
    many[:, coordinate] += steps
    return many


def widest(rows: Tensor, count: int) -> list[int]:
    """The coordinates in which the rows [N, dim] differ most, `count` of them."""
    return torch.argsort(rows.std(0), descending=True)[:count].tolist()
