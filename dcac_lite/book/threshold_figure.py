"""The distances of genuine and impostor pairs with a threshold between them, and the ROC of every data set."""

from collections.abc import Mapping
from itertools import cycle

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ..verification import STEP, Verification
from .notebook import PALETTE

_POINTS = 512  # drawn per unit of distance


def curves(measured: Mapping[str, Verification]) -> pd.DataFrame:
    """What `threshold_figure` draws: the rates fpr and tpr of each data set at many thresholds, and whether there are
    people enough to tell so small an fpr (told)."""
    parts = []
    for name, verification in measured.items():
        every = slice(None, None, round(1 / STEP) // _POINTS)
        distance = np.arange(len(verification.fpr))[every] * STEP
        rates = {"fpr": verification.fpr[every], "tpr": verification.tpr[every]}
        rates["told"] = rates["fpr"] >= verification.smallest_rate
        parts.append(pd.DataFrame({"data set": name, "threshold": distance} | rates))
    return pd.concat(parts, ignore_index=True)


def threshold_figure(table: pd.DataFrame, threshold: float, interval: tuple[float, float]) -> Figure:
    """Above, of the first data set in `curves`, how often each distance occurs among genuine and impostor pairs, with
    the threshold and its interval; below the ROC of all of them, a dot where this threshold lies."""
    figure = Figure(figsize=(6.4, 7.4), layout="constrained")
    above, below = figure.subplots(2, 1)
    (first, *_), several = table["data set"].unique(), table["data set"].nunique() > 1
    own = table[table["data set"] == first]
    merged = own[:: _POINTS // 64]  # bars wide enough to be seen
    for column, label, colour in (("tpr", "one person", PALETTE["right"]), ("fpr", "two persons", PALETTE["wrong"])):
        density = np.diff(merged[column]) / np.diff(merged["threshold"])
        above.stairs(density, merged["threshold"], fill=True, alpha=0.5, color=colour, label=f"pairs of {label}")
    above.axvspan(*interval, color="black", alpha=0.2, linewidth=0)
    above.axvline(threshold, color="black", label="threshold, 95 % interval")
    seen = merged["threshold"][(merged["tpr"] > 0) & (merged["fpr"] < 1)]
    above.set(xlim=(0, seen.max() * 1.05), xlabel="distance (1 - cosine)", ylabel="density", title=f"Pairs of {first}")
    above.legend(fontsize=10)
    leftmost = 1.0
    styles = cycle(("-", "--", "-.", ":"))
    for (name, rates), style in zip(table.groupby("data set", sort=False), styles):
        told = rates[rates["told"]]
        (line,) = below.plot(told["fpr"], told["tpr"], style, label=name, color=PALETTE.get(str(name)))
        fpr, tpr = (np.interp(threshold, rates["threshold"], rates[column]) for column in ("fpr", "tpr"))
        below.plot(fpr, tpr, "o", color=line.get_color())
        leftmost = min(leftmost, told["fpr"].min(), 0.8 * fpr or 1)
    below.set(xscale="log", xlim=(leftmost, 1), ylim=(0, 1.02), title="ROC, as far as people suffice")
    below.set(xlabel="two persons taken for one (FPR)", ylabel="persons recognised (TPR)")
    below.legend(fontsize=10, title=f"dots: the threshold of {first}" if several else None)
    return figure
