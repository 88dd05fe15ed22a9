"""What notebook B1 says of the tables of `inversion.contents` and `inversion.inputs`: shares, differences, a figure."""

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from ..inversion.contents import BLIND, FEATURES, QUESTIONS
from ..studies.people import spread
from ..studies.statistics import interval
from .notebook import PALETTE

REACH = 1.96  # standard errors of a 95 % interval, over people
#: The rows of the figure; noise and vector are the two that are asked about.
DRAWN = FEATURES[:3] + FEATURES[4:6] + FEATURES[7:]
PIXELS, NOISE, VECTOR, _, SMALL_NOISE, UNTRAINED = FEATURES[:6]


def read_right(
    table: pd.DataFrame, question: str, features: str, less: str | None = None
) -> tuple[float, float, float]:
    """Percent of the test people's pictures about which a question is answered right from some features, or how many
    more than from the features `less`, and the ends of the 95 % interval over people drawn anew: (share, low, high).
    table: as `inversion.contents.contents` makes it."""
    own = table[table["question"] == question]
    right = own[features] - (own[less] if less else 0)
    found = spread(100 * right / own["pictures"], own["pictures"])
    return found["mean"], found["mean"] - REACH * found["error"], found["mean"] + REACH * found["error"]


def written(share: tuple[float, float, float], sign: str = "") -> str:
    """A share with its interval, such as "77.6 [75.3, 79.9]"; sign: "+" for a difference."""
    return "{:{s}.1f} [{:{s}.1f}, {:{s}.1f}]".format(*share, s=sign)


def contents_figure(table: pd.DataFrame) -> Figure:
    """A panel for each question: shares answered right from what is listed at the side, with their intervals, and a
    dashed line at the share of the most frequent answer."""
    figure, axes = plt.subplots(1, len(QUESTIONS), figsize=(2.1 * len(QUESTIONS) + 1.5, 2.9), sharey=True)
    colours = {NOISE: PALETTE["correlation-aware"], VECTOR: PALETTE["wrong"]}
    for axis, question in zip(axes, QUESTIONS):
        for place, name in enumerate(DRAWN):
            share, low, high = read_right(table, question, name)
            style = {"color": colours.get(name, PALETTE["baseline"]), "marker": "D" if name in colours else "o"}
            axis.errorbar(share, place, xerr=[[share - low], [high - share]], capsize=3, markersize=5, **style)
        axis.axvline(read_right(table, question, BLIND)[0], color="black", ls="--", lw=1)
        axis.set(title=question, xlim=(0, 100), xlabel="right [%]")
    axes[0].set(yticks=range(len(DRAWN)), yticklabels=DRAWN)
    axes[0].set_ylim(len(DRAWN) - 0.5, -0.5)
    figure.tight_layout()
    return figure


def moved_by(table: pd.DataFrame) -> pd.DataFrame:
    """The shares of `inversion.inputs.inputs`, averaged over its grids, with t intervals over them, as they are
    written: one row for each thing that was looked at."""
    rows = []
    for name, own in table.groupby("of", sort=False):
        found = {part: interval(own[part]) for part in ("person", "noise", "both")}
        rows.append({"what": name} | {part: written((f["mean"], f["low"], f["high"])) for part, f in found.items()})
    return pd.DataFrame(rows)


def compared(table: pd.DataFrame) -> pd.DataFrame:
    """What is read from the vector beside what these numbers must be compared with, as it is written: one row for each
    question, percent right, then differences in points."""
    rows = []
    for question, meaning in QUESTIONS.items():
        less = {
            "noise less vector": (NOISE, VECTOR),
            "32 components of the noise less vector": (SMALL_NOISE, VECTOR),
            "vector less the untrained network's": (VECTOR, UNTRAINED),
        }
        rows.append(
            {"question": f"{question}: {meaning}", "vector": written(read_right(table, question, VECTOR))}
            | {"most frequent answer": f"{read_right(table, question, BLIND)[0]:.1f}"}
            | {name: written(read_right(table, question, *pair), "+") for name, pair in less.items()}
        )
    return pd.DataFrame(rows)


def inventors(table: pd.DataFrame) -> pd.DataFrame:
    """The table of `inversion.rivals.rivals`, as it is written: mean over the seeds, and smallest and largest."""
    rows = []
    for name, own in table.groupby("people from", sort=False):
        said = {
            c: f"{own[c].mean():.2f} ({own[c].min():.2f} to {own[c].max():.2f})" for c in ("spread kept", "nearness")
        }
        rows.append({"people from": name} | said)
    return pd.DataFrame(rows)
