"""Figures of people who change clothes: kinds of copies side by side, what each is worth, and more real outfits."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ..expansion.domains import truth_of
from ..expansion.findings import CHANGED, differences, levels
from ..expansion.pools import POOLS
from ..expansion.specs import ClothesSpec
from ..expansion.world import worn_mask
from .notebook import PALETTE, name_rows, show_images

#: Lines of the paper's Table A1 whose gain over CAL stands beside arms: copies without progressive learning, and with.
PAPER = {"O2, all from the start": "4 ours + LLM prompts", "O2": "5 ours + LLM prompts + progressive learning"}


def copies_figure(spec: ClothesSpec, name: str, kinds: Sequence[str], count: int = 6) -> Figure:
    """A picture of an embedded domain by its file's name and what its mask leaves of it, then a row of its copies for
    each kind of `pools.POOLS`."""
    sample = truth_of(spec, [name])[0]
    picture = sample.picture.image.transpose(2, 0, 1)
    masked = np.where(worn_mask(sample), np.uint8(255), picture)
    blank = np.full_like(picture, 255)
    rows = {"picture, without clothes": np.stack([picture, masked, *[blank] * (count - 2)])}
    rows |= {kind: POOLS[kind](spec, [name], count)[0] for kind in kinds}
    figure = show_images(np.concatenate(list(rows.values())), columns=count, scale=0.8)
    name_rows(figure, list(rows))
    return figure


def gains_figure(table: pd.DataFrame, paper: pd.DataFrame, measure: str = "mAP") -> Figure:
    """What each arm has more than the batch-matched control when clothes have changed, with 95 % intervals, and the
    paper's gain over CAL on PRCC where it has such a line. table: `expansion/study.py`'s; paper:
    figures/paper/dlcr.csv."""
    found = differences(table, measure)
    gains = paper[(paper["table"] == "A1") & (paper["dataset"] == "PRCC") & (paper["metric"] == measure)]
    gains = gains.set_index("row")["delta"]
    figure, axis = plt.subplots(figsize=(7.2, 0.36 * len(found) + 1.2))
    height = np.arange(len(found))[::-1]
    reach = np.stack([found["mean"] - found["low"], found["high"] - found["mean"]])
    colour = PALETTE["correlation-aware"]
    axis.errorbar(found["mean"], height, xerr=reach, fmt="o", color=colour, capsize=3, label="here, on CP")
    theirs = [(gains[PAPER[name]], y) for name, y in zip(found.index, height) if name in PAPER]
    if theirs:
        axis.plot(*zip(*theirs), "D", color=PALETTE["baseline"], mfc="none", label="the paper, over CAL, on PRCC")
    axis.axvline(0, color="black", lw=0.8)
    axis.set_yticks(height, found.index)
    axis.set_xlabel(f"{measure} more than a second augmentation, clothes changed (points)")
    axis.legend()
    figure.tight_layout()
    return figure


def outfits_figure(table: pd.DataFrame, own: int = 2) -> Figure:
    """mAP when clothes have changed against the number of real outfits of a training person, without copies. own: how
    many they have where an arm does not say."""
    alone = table[table["kind"].isna() & (table["adversarial"]) & (table["protocol"] == CHANGED)]
    found = levels(alone)
    number = alone.drop_duplicates("name").set_index("name")["outfits"].fillna(own)[found.index]
    order = np.argsort(number.to_numpy(), kind="stable")
    figure, axis = plt.subplots(figsize=(5.2, 3.2))
    reach = np.stack([found["mean"] - found["low"], found["high"] - found["mean"]])[:, order]
    x, y = number.to_numpy()[order], found["mean"].to_numpy()[order]
    axis.errorbar(x, y, yerr=reach, fmt="o-", color=PALETTE["correlation-aware"], capsize=3)
    axis.set(xlabel="real outfits of a training person", ylabel="mAP, clothes changed", ylim=(0, None))
    figure.tight_layout()
    return figure


def refinement_figure(table: pd.DataFrame, name: str = "O2", rule: str = "paper") -> Figure:
    """Rank-1 and mAP of an arm against the number of voters (m = 5) and, with all of them, against m; by perfect copies
    and by augmentations of the query, means of all seeds. table: `expansion/refining.py`'s."""
    own = table[table["name"] == name]
    plain = own[own["rule"] == "none"]
    largest = own["l"].max()
    colours = dict(zip(("O2", "second augmentation"), (PALETTE["correlation-aware"], PALETTE["baseline"])))
    figure, axes = plt.subplots(1, 2, figsize=(8.4, 3.2))
    for axis, along, fixed in zip(axes, ("l", "m"), (own["m"] == 5, own["l"] == largest)):
        swept = own[(own["rule"] == rule) & fixed]
        for voters, colour in colours.items():
            means = swept[swept["voters"] == voters].groupby(along)[["R1", "mAP"]].mean()
            axis.plot(means.index, means["R1"], "o-", color=colour, label=f"rank-1, {voters}")
            axis.plot(means.index, means["mAP"], "o--", color=colour, label=f"mAP, {voters}")
        axis.axhline(plain["R1"].mean(), color="black", lw=0.8)
        axis.axhline(plain["mAP"].mean(), color="black", lw=0.8, ls="--")
        axis.set(xlabel={"l": "voters l, m = 5", "m": f"neighbours m, l = {largest}"}[along], ylim=(0, None))
    axes[0].set_ylabel("percent, clothes changed")
    axes[1].legend(fontsize=8)
    figure.tight_layout()
    return figure
