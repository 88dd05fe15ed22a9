"""Figures of notebook A1: how the lite weights learned, and what a caption is worth to them."""

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from ..lite_weights.pieces import ALL, NOTHING, SHIPPED
from ..tools.compare import prediction_interval
from .notebook import PALETTE

_UNITS = {"clip": "contrastive losses [nats]", "vae": "squared errors + KL", "unet": "noise prediction error"}


def losses_figure(history: pd.DataFrame, guessing: Mapping[str, float]) -> Figure:
    """The loss of each stage. history: columns stage, step, loss; guessing: the loss of a model that knows nothing,
    where there is one. The titles give the first and the last loss."""
    figure, axes = plt.subplots(3, 1, figsize=(6.4, 8.4))
    for axis, (stage, part) in zip(axes, history.groupby("stage", sort=False)):
        axis.plot(part.step, part.loss, color=PALETTE["correlation-aware"])
        axis.set(ylabel=_UNITS[stage], yscale="log")
        axis.set_title(f"{stage}: {part.loss.iloc[0]:.2f} to {part.loss.iloc[-1]:.3f}")
        if stage in guessing:
            axis.axhline(guessing[stage], color="black", ls="--", lw=1)
            at = {"xytext": (0, -4), "textcoords": "offset points", "ha": "right", "va": "top", "fontsize": 10}
            axis.annotate(f"knowing nothing: {guessing[stage]:.2f}", (part.step.max(), guessing[stage]), **at)
        axis.margins(y=0.1)
        axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.yaxis.set_minor_formatter(NullFormatter())
    axes[-1].set_xlabel("step")
    figure.tight_layout()
    return figure


def _spread(table: pd.DataFrame, centre: str) -> list[pd.Series]:
    return [table[centre] - table["low"], table["high"] - table[centre]]


def caption_worth_figure(profile: pd.DataFrame, title: str) -> Figure:
    """What a wrong and an empty caption cost. profile: columns timesteps, condition (empty or shuffled), mean, low,
    high."""
    figure, axis = plt.subplots(figsize=(6.6, 3.6))
    for kind, colour, shift in (("empty", PALETTE["baseline"], -0.06), ("shuffled", PALETTE["wrong"], 0.06)):
        part = profile[profile["condition"] == kind]
        places = np.arange(len(part)) + shift
        line = {"fmt": "o-", "color": colour, "capsize": 4, "label": f"{kind} minus right"}
        axis.errorbar(places, part["mean"], yerr=_spread(part, "mean"), **line)
    axis.axhline(0, color="black", lw=1)
    ranges = profile["timesteps"].unique()
    axis.set(xticks=range(len(ranges)), xticklabels=ranges, xlabel="timestep", title=title)
    axis.set_ylabel("extra squared error per element")
    axis.legend()
    return figure


def colours_figure(colours: pd.DataFrame, title: str) -> Figure:
    """Shares of pictures with the right colour. colours: an index of names, columns share, low, high, chance."""
    figure, axis = plt.subplots(figsize=(6.4, 2.2))
    both = [PALETTE["right"], PALETTE["baseline"]]
    axis.barh(colours.index, colours["share"], xerr=_spread(colours, "share"), color=both, capsize=4)
    axis.axvline(colours["chance"].iloc[0], color="black", ls="--", lw=1)
    axis.set(xlim=(0, 100), xlabel="torso has the right colour word [%] (dashed: chance)", title=title)
    axis.invert_yaxis()
    return figure


def piece_effects(table: pd.DataFrame) -> pd.DataFrame:
    """A table of `lite_weights.pieces`, one row per change: means of "zero-shot mAP" and "mAP", and whether the mAP is
    `told` from luck, that is outside of the prediction interval of one more run of all pieces."""
    low, high = prediction_interval(table.loc[table["piece"] == ALL, "mAP"])
    means = table.groupby("piece", sort=False)[["zero-shot mAP", "mAP"]].mean()
    return means.assign(told=(means["mAP"] < low) | (means["mAP"] > high))


def pieces_figure(table: pd.DataFrame, title: str) -> Figure:
    """What each change of pre-training makes of a table of `lite_weights.pieces`: mAP on V before fine-tuning, hollow,
    and after, full where it is told from luck; the band is where one more run of all pieces would lie."""
    effects = piece_effects(table)
    changes = effects.drop([ALL, NOTHING, SHIPPED]).sort_values("mAP")
    effects = pd.concat([effects.loc[[NOTHING]], changes, effects.loc[[ALL, SHIPPED]]])
    figure, axis = plt.subplots(figsize=(7.2, 0.34 * len(effects) + 1.2))
    low, high = prediction_interval(table.loc[table["piece"] == ALL, "mAP"])
    axis.axvspan(low, high, color=PALETTE["baseline"], alpha=0.25, lw=0, label="one more run of all pieces")
    axis.hlines(effects.index, effects["zero-shot mAP"], effects["mAP"], color=PALETTE["baseline"], lw=1)
    axis.plot(effects["zero-shot mAP"], effects.index, "o", mfc="white", color=PALETTE["baseline"], label="zero-shot")
    for told, colour, words in ((False, "baseline", "fine-tuned"), (True, "correlation-aware", "... told from luck")):
        part = effects[(effects["told"] == told) & ~effects.index.isin([ALL, NOTHING, SHIPPED])]
        axis.plot(part["mAP"], part.index, "o", color=PALETTE[colour], label=words)
    references = effects.loc[[NOTHING, ALL, SHIPPED]]
    axis.plot(references["mAP"], references.index, "D", color="black", label="references")
    axis.set(xlabel="mAP on V", title=title)
    axis.legend(fontsize=9, loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False)
    return figure
