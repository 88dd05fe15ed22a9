"""Figures of notebook 07, each with its text alternative: what a teacher says, and what the arms gained."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ..studies.teaching import LINES, MARGIN, MEAN
from .notebook import PALETTE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Described = tuple["Figure", str]
#: The two teachers of the notebook: colour, marker.
TEACHERS = {"random prompts": (PALETTE["correlation-aware"], "o"), "words": (PALETTE["right"], "s")}


def agreements(found: Mapping[str, Mapping[int, float]]) -> Described:
    """found: by teacher `instruments.agreement`, cosine by number of draws."""
    import matplotlib.pyplot as plt

    figure, axis = plt.subplots(figsize=(6, 3.2))
    for teacher, by_draws in found.items():
        colour, marker = TEACHERS[teacher]
        axis.plot(list(by_draws), list(by_draws.values()), marker=marker, color=colour, label=teacher)
    axis.axhline(0, color="black", linewidth=0.8)
    axis.set_xscale("log", base=2)
    axis.set(xlabel="draws of noise and timestep in a mean", ylabel="cosine of two such means", ylim=(-0.1, 1))
    axis.set_title("How far two independent hearings of the teacher agree")
    axis.legend(fontsize=8)
    figure.tight_layout()
    ends = "; ".join(
        f"{name} {[*d.values()][0]:.2f} at 1 draw, {[*d.values()][-1]:.2f} at {max(d)}" for name, d in found.items()
    )
    return (
        figure,
        f"A line per teacher, cosine between two independent mean gradients against the draws in each: {ends}.",
    )


def worths(table: pd.DataFrame, bins: int = 5) -> Described:
    """table: `instruments.worth` with a column `teacher`. A panel per teacher: by how many percent each condition is
    better than zeros, against the timestep."""
    import matplotlib.pyplot as plt

    edges = np.linspace(0, 1000, bins + 1)
    teachers, said = table["teacher"].unique(), []
    figure, axes = plt.subplots(1, len(teachers), figsize=(4.6 * len(teachers), 3.4), sharey=True, squeeze=False)
    for axis, teacher in zip(axes.flat, teachers):
        here = table[table["teacher"] == teacher]
        own_bin = pd.cut(here["timestep"], edges, labels=(edges[1:] + edges[:-1]) / 2, right=False).astype(float)
        errors = here.groupby([own_bin.rename("middle"), "condition"])["error"].mean().unstack()
        gains = 100 * (1 - errors.drop(columns="zeros").div(errors["zeros"], axis=0))
        for (name, values), marker in zip(gains.items(), "osv^DPX"):
            axis.plot(values.index, values, marker=marker, label=name)
        axis.axhline(0, color="black", linewidth=0.8)
        axis.set(title=teacher, xlabel="timestep: from little noise to much", ylabel="error saved against zeros, %")
        total = here.groupby("condition")["error"].mean()
        said.append(f"{teacher}: own condition {100 * (1 - total['own'] / total['zeros']):+.2f} %")
    axes[0, -1].legend(fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
    figure.tight_layout()
    return figure, (
        "Percent of the denoising error that each condition saves against zeros, by timestep, a panel per teacher. "
        f"Over all timesteps, {'; '.join(said)}."
    )


def arms(differences: pd.DataFrame) -> Described:
    """differences: `studies.teaching.to_baseline`. Every arm's mean over the unseen domains with its 95 % interval, in
    the plan's order; grey where there are too few pairs for a look."""
    import matplotlib.pyplot as plt

    from ..studies.teaching import level

    order = [line.name for line in LINES]
    shown = differences[differences["target"] == MEAN].sort_values("line", key=lambda c: c.map(order.index))
    figure, axis = plt.subplots(figsize=(7.5, 1 + 0.3 * len(shown)), layout="compressed")
    for place, (_, row) in enumerate(shown.iterrows()):
        colour = PALETTE["baseline"] if level(int(row["n"])) is None else PALETTE["correlation-aware"]
        reach = [[row["mean"] - row["low"]], [row["high"] - row["mean"]]]
        axis.errorbar(row["mean"], place, xerr=reach, fmt="o", color=colour, capsize=2)
    axis.axvline(0, color="black", linewidth=0.8)
    axis.axvspan(-MARGIN, MARGIN, color="#eeeeee", zorder=0)
    axis.set_yticks(range(len(shown)), [f"{row.line} ({row.n})" for row in shown.itertuples()])
    axis.invert_yaxis()
    axis.set(
        xlabel="mAP over the unseen domains, difference to the baseline", title="Arms (pairs), with 95 % intervals"
    )
    words = "; ".join(f"{r['line']} {r['mean']:+.2f} [{r['low']:+.2f}, {r['high']:+.2f}]" for _, r in shown.iterrows())
    return (
        figure,
        f"Difference of every arm to the baseline in mean unseen mAP, the margin of no difference shaded: {words}.",
    )
