"""Figures of notebook 01: the noise schedule, the bound of Eq. 2, and the worth of a caption to the noise predictor."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from .notebook import PALETTE


def schedule_figure(curves: pd.DataFrame) -> Figure:
    """Two schedules against the timestep. curves: columns schedule, t, abar, snr."""
    figure, (above, below) = plt.subplots(2, 1, figsize=(6.4, 6))
    looks = ((PALETTE["correlation-aware"], "-"), (PALETTE["baseline"], "--"))
    for (name, part), (colour, style) in zip(curves.groupby("schedule", sort=False), looks):
        above.plot(part.t, part.abar, style, color=colour, label=name, lw=2)
        below.semilogy(part.t, part.snr, style, color=colour, label=name, lw=2)
    below.axhline(1, color="black", lw=1, ls=":")
    above.set(
        xlabel="timestep $t$", ylabel=r"share of signal variance $\bar\alpha_t$", title="The signal fades smoothly"
    )
    below.set(xlabel="timestep $t$", ylabel="signal-to-noise ratio", title="... by more than five powers of ten")
    above.legend()
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
    figure, (above, below) = plt.subplots(2, 1, figsize=(6.4, 6.6))
    for name, (colour, style) in looks.items():
        line = {"color": PALETTE[colour], "linestyle": style, "lw": 2, "marker": "o", "ms": 4}
        above.semilogy(table.index, table[name], label=f"{name} caption", **line)
        if name != "right":
            below.plot(table.index, table[f"{name} costs %"], label=f"{name} caption", **line)
    above.plot(range(0, 1000, 5), abar[::5], color="black", lw=1, ls=":", label=r"straight line, $\bar\alpha_t$")
    below.axhline(0, color=PALETTE["right"], lw=2)
    above.set(xlabel="timestep $t$", ylabel="noise-prediction error (Eq. 3)", title="More noise is easier to name")
    costs = table["shuffled costs %"]
    below.set(xlabel="timestep $t$", ylabel="error above the right caption's (%)")
    below.set_title(f"A wrong caption costs {costs.min():.0f} to {costs.max():.0f} %")
    above.legend(fontsize=10)
    below.legend(fontsize=10)
    figure.tight_layout()
    return figure
