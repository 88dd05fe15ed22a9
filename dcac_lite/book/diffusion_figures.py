"""Figures of notebook 01: the noise schedule, the bound of Eq. 2, and the worth of a caption to the noise predictor."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from .notebook import PALETTE


def schedule_figure(curves: pd.DataFrame) -> Figure:
    """Two schedules against the timestep. curves: columns schedule, t, abar, snr."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.2))
    colours = (PALETTE["correlation-aware"], PALETTE["baseline"])
    for (name, part), colour in zip(curves.groupby("schedule", sort=False), colours):
        left.plot(part.t, part.abar, color=colour, label=name, lw=2)
        right.semilogy(part.t, part.snr, color=colour, label=name, lw=2)
    right.axhline(1, color="black", lw=1, ls=":")
    left.set(
        xlabel="timestep $t$", ylabel=r"share of signal variance $\bar\alpha_t$", title="The signal fades smoothly"
    )
    right.set(xlabel="timestep $t$", ylabel="signal-to-noise ratio", title="... by more than five powers of ten")
    left.legend()
    figure.tight_layout()
    return figure


def bound_figure(a: np.ndarray, bound: np.ndarray, exact: float, best: float) -> Figure:
    """The bound of Eq. 2 for parameters `a`, what it bounds, and the parameter that reverses the forward process."""
    figure, axis = plt.subplots(figsize=(5.2, 3))
    axis.plot(a, bound, color=PALETTE["correlation-aware"], lw=2, label=r"$\mathcal{L}_{ELBO}$, can be computed")
    axis.axhline(exact, color="black", lw=1.5, ls="--", label=r"$-\log p_\theta(x_0)$, what we want")
    axis.axvline(best, color=PALETTE["baseline"], lw=1, ls=":")
    axis.annotate(r"$a=\sqrt{\bar\alpha}$", (best, 2.3), ha="right", xytext=(-4, 0), textcoords="offset points")
    axis.set(xlabel="parameter $a$ of the reverse kernel", ylabel="nats", ylim=(1, 3))
    axis.set_title("The bound touches where the model reverses $q$")
    axis.legend(loc="upper center", bbox_to_anchor=(0.42, 0.98))
    return figure


def caption_figure(table: pd.DataFrame, abar: np.ndarray) -> Figure:
    """The error of the noise predictor under three captions. table: index t, columns right, shuffled and empty
    (errors), "shuffled costs %" and "empty costs %"; abar: of all 1000 timesteps."""
    looks = {"right": ("right", "-"), "shuffled": ("wrong", "--"), "empty": ("baseline", "-.")}
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.5, 3.4))
    for name, (colour, style) in looks.items():
        line = {"color": PALETTE[colour], "linestyle": style, "lw": 2, "marker": "o", "ms": 4}
        left.semilogy(table.index, table[name], label=f"{name} caption", **line)
        if name != "right":
            right.plot(table.index, table[f"{name} costs %"], label=f"{name} caption", **line)
    left.plot(range(0, 1000, 5), abar[::5], color="black", lw=1, ls=":", label=r"straight line, $\bar\alpha_t$")
    right.axhline(0, color=PALETTE["right"], lw=2)
    left.set(xlabel="timestep $t$", ylabel="noise-prediction error (Eq. 3)", title="More noise is easier to name")
    costs = table["shuffled costs %"]
    right.set(xlabel="timestep $t$", ylabel="error above the right caption's (%)")
    right.set_title(f"A wrong caption costs {costs.min():.0f} to {costs.max():.0f} %")
    left.legend(fontsize=8)
    right.legend(fontsize=8)
    figure.tight_layout()
    return figure
