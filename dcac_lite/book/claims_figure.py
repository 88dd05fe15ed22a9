"""The paper's printed results in one picture (notebook 00)."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from .notebook import PALETTE


def claims_figure(pairs: pd.DataFrame, several: pd.DataFrame) -> Figure:
    """mAP before and with DCAC. pairs: columns pair, baseline, DCAC; several: columns target, "best earlier", DCAC."""
    figure, (above, below) = plt.subplots(2, 1, figsize=(6.4, 7.6), height_ratios=(2, 1))
    for axis, table, label, before in ((above, pairs, "pair", "baseline"), (below, several, "target", "best earlier")):
        spots = np.arange(len(table))
        axis.hlines(spots, table[before], table["DCAC"], color="lightgrey", lw=4)
        axis.plot(table[before], spots, "o", color=PALETTE["baseline"], label=before)
        axis.plot(table["DCAC"], spots, "D", color=PALETTE["correlation-aware"], label="DCAC")
        axis.set(yticks=spots, yticklabels=table[label], xlabel="mAP on the target (%), as printed in the paper")
        axis.invert_yaxis()
        axis.legend(loc="lower right" if label == "pair" else "upper left")
    gain = pairs["DCAC"] - pairs["baseline"]
    ahead = (several["DCAC"] > several["best earlier"]).sum()
    above.set_title(f"One source: DCAC gains {gain.min():.1f} to {gain.max():.1f} points")
    below.set(title=f"Three sources: ahead on {ahead} of {len(several)}", xlabel="mAP (%)", xlim=(15, 68))
    figure.tight_layout()
    return figure
