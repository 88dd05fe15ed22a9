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
#: The teachers of the notebook: colour, marker.
TEACHERS = {
    "random prompts": (PALETTE["correlation-aware"], "o"),
    "words": (PALETTE["right"], "s"),
    "wrong words": (PALETTE["wrong"], "v"),
}
_CONDITIONS = {"own": ("black", "o"), "another picture's": (PALETTE["wrong"], "v"), "its caption": ("tab:blue", "s")}


def agreements(found: Mapping[str, Mapping[int, float]]) -> Described:
    """found: by teacher `instruments.agreement`, cosine by number of draws."""
    import matplotlib.pyplot as plt

    figure, axis = plt.subplots(figsize=(6, 3.2))
    for teacher, by_draws in found.items():
        colour, marker = TEACHERS[teacher]
        axis.plot(list(by_draws), list(by_draws.values()), marker=marker, color=colour, label=teacher)
    axis.axhline(0, color="black", linewidth=0.8)
    axis.set_xscale("log", base=2)
    axis.xaxis.set_major_formatter("{x:g}")
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
    """table: `instruments.worth` with a column `teacher`. A panel per teacher: by how many percent of the error there a
    condition is better than zeros, against the timestep, with the 95 % interval over pictures."""
    import matplotlib.pyplot as plt

    from ..studies.statistics import interval

    edges = np.linspace(0, 1000, bins + 1)
    teachers, said = table["teacher"].unique(), []
    figure, axes = plt.subplots(1, len(teachers), figsize=(3.3 * len(teachers), 3.2), sharey=True, squeeze=False)
    for axis, teacher in zip(axes.flat, teachers):
        here = table[table["teacher"] == teacher]
        middle = pd.cut(here["timestep"], edges, labels=(edges[1:] + edges[:-1]) / 2, right=False).astype(float)
        errors = here.groupby([middle.rename("middle"), "picture", "condition"])["error"].mean().unstack()
        for shift, (name, (colour, marker)) in enumerate(_CONDITIONS.items()):
            saved = 100 * (errors["zeros"] - errors[name]) / errors["zeros"].groupby("middle").mean()
            found = pd.DataFrame({m: interval(part) for m, part in saved.groupby("middle") if len(part) > 1}).T
            at = found.index + 14 * (shift - 1)
            reach = [found["mean"] - found["low"], found["high"] - found["mean"]]
            axis.errorbar(at, found["mean"], yerr=reach, fmt=f"{marker}-", color=colour, ms=5, lw=1, label=name)
        axis.axhline(0, color="black", linewidth=0.8)
        axis.set(title=teacher, xlabel="timestep")
        total = here.groupby("condition")["error"].mean()
        saved = {name: 100 * (1 - total[name] / total["zeros"]) for name in _CONDITIONS}
        said.append(f"{teacher}: " + ", ".join(f"{name} {value:+.1f} %" for name, value in saved.items()))
    axes[0, 0].set_ylabel("error saved against zeros, %")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="lower center", ncols=len(_CONDITIONS), frameon=False)
    figure.tight_layout(rect=(0, 0.08, 1, 1))
    return figure, (
        "Percent of the denoising error that each condition saves against zeros, by timestep, a panel per teacher. "
        f"Over all timesteps, {'; '.join(said)}."
    )


def softness(table: pd.DataFrame, in_full: Mapping[str, float]) -> Described:
    """What the gradient knows of looks, by how soft the pupil speaks. table: `instruments.by_softness` with a column
    `teacher`; in_full: by teacher the rank correlation when whole prompts are tried, dashed."""
    import matplotlib.pyplot as plt

    figure, axis = plt.subplots(figsize=(6.4, 3.4))
    said = []
    for teacher, part in table.groupby("teacher", sort=False):
        colour, marker = TEACHERS[str(teacher)]
        axis.plot(part["tau_c"], part["rank correlation"], marker=marker, color=colour, label=teacher)
        axis.axhline(in_full[str(teacher)], color=colour, linestyle="--", linewidth=1)
        values = ", ".join(
            f"{r:.2f} at p = {p:.2f} (tau_c {t:g})"
            for r, p, t in zip(part["rank correlation"], part["p"], part["tau_c"])
        )
        said.append(f"{teacher}: {values}; tried in full {in_full[str(teacher)]:.2f}")
    first = table[table["teacher"] == table["teacher"].iloc[0]]
    ticks = [f"{tau_c:g}\np = {p:.2f}" for tau_c, p in zip(first["tau_c"], first["p"])]
    axis.set_xscale("log")
    axis.set_xticks(first["tau_c"], ticks)
    axis.set_xticks([], minor=True)
    axis.axhline(0, color="black", linewidth=0.8)
    axis.set(
        xlabel="$\\tau_c$, and the right person's mean probability: sure to doubtful",
        ylabel="rank correlation with looks",
    )
    axis.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    figure.tight_layout()
    return figure, f"Rank correlation of whose prompt would help with who looks alike. {'. '.join(said)}."


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
