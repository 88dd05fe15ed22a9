"""Figures of notebook 03: what diffusion costs, whether there is a domain gap, where LoRA sits, and what it learns."""

from collections.abc import Collection, Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from .notebook import PALETTE


def cost_figure(tflops: Mapping[str, float], printed: float, title: str) -> Figure:
    """One stacked bar of the encoder, the VAE and the U-Net, in this order, and the total that the paper prints."""
    figure, axis = plt.subplots(figsize=(6.4, 2))
    left = 0.0
    looks = (("#d9d9d9", ""), ("#f2c48d", "//"), (PALETTE["non-linearity"], ""))
    for (name, value), (colour, hatch) in zip(tflops.items(), looks):
        axis.barh(0, value, left=left, color=colour, hatch=hatch, edgecolor="white")
        words = f"{name}\n{value:.2f}".replace(" (", "\n(").replace("(the ", "(the\n")
        box = {"facecolor": colour, "edgecolor": "none", "pad": 1}
        axis.text(left + value / 2, 0, words, ha="center", va="center", fontsize=10, bbox=box)
        left += value
    axis.axvline(printed, color="black", linestyle="--")
    axis.annotate(
        f"the paper's Table 6\n(frozen): {printed:.2f}", (printed, 0.42), xytext=(5, 0), textcoords="offset points",
        fontsize=10, va="top",
    )  # fmt: skip
    axis.set(title=title, xlabel="TFLOPs for 64 pictures", xlim=(0, 1.28 * max(left, printed)), yticks=[])
    axis.grid(False)
    return figure


def gap_figure(table: pd.DataFrame) -> Figure:
    """Errors of the noise predictor per domain. table: columns domain, timestep, eps_mse, relative."""
    figure, (above, below) = plt.subplots(2, 1, figsize=(6.4, 6.6))
    for (name, part), marker in zip(table.groupby("domain", sort=False), "osD^v"):
        for axis, column in ((above, "eps_mse"), (below, "relative")):
            line = {"marker": marker, "markersize": 4, "linewidth": 2.2 if name == "web" else 1.3, "label": name}
            axis.plot(part["timestep"], part[column], color=PALETTE[name], **line)
    below.axhline(1, color="grey", linestyle=":", linewidth=1)
    above.set(title="The error itself is no measure of the gap", ylabel="eps-MSE", yscale="log")
    below.set(title="Relative to a Gaussian of the same domain", ylabel="U-Net error / Gaussian's error")
    for axis in (above, below):
        axis.set_xlabel("timestep t (0: clean, 999: noise)")
    below.legend(fontsize=10)
    figure.tight_layout()
    return figure


def layers_figure(where: pd.Series, idle: np.ndarray) -> Figure:
    """LoRA parameters by kind of layer; the bars of the kinds in `idle` (bool) are hatched."""
    figure, axis = plt.subplots(figsize=(7, 3))
    bars = axis.barh(where.index, where / 1e3, color=np.where(idle, PALETTE["wrong"], PALETTE["lora"]))
    for bar, hatched in zip(bars, idle):
        bar.set_hatch("//" if hatched else "")
    axis.bar_label(bars, fmt="%.0f", fontsize=10)
    axis.invert_yaxis()
    share = 100 * where[idle].sum() / where.sum()
    axis.set_title(f"{share:.0f} % of the adapter parameters (hatched) can never learn")
    axis.set(xlabel="LoRA parameters of SD 1.5 at rank 8 (thousands)", ylabel="layer in each block")
    figure.tight_layout()
    return figure


def modes_figure(learns: pd.Series, title: str) -> Figure:
    """Learning parameters of a U-Net by mode of Table 5."""
    figure, axis = plt.subplots(figsize=(7, 2.8))
    bars = axis.barh(learns.index, learns / 1e3, color=[PALETTE[mode] for mode in learns.index])
    axis.bar_label(bars, fmt="%.1f", fontsize=10)
    axis.invert_yaxis()
    axis.set(title=title, xlim=(0, 1.15e-3 * learns.max()), ylabel="mode of Table 5")
    axis.set_xlabel("learning parameters of the U-Net (thousands)")
    figure.tight_layout()
    return figure


def adaptation_figure(curves: pd.DataFrame) -> Figure:
    """Errors while a U-Net learns, in percent of the frozen one's; the titles give the last of them. curves: columns
    run, step, "measured on" (MA or web), eps_mse; step 0 is frozen."""
    figure, axes = plt.subplots(2, 1, figsize=(6.4, 6.4), sharex=True)
    styles = {
        "lora on MA": (PALETTE["lora"], "-", "o"),
        "full on MA": (PALETTE["full"], "--", "s"),
        "lora on web": ("#555555", "-.", "^"),
    }
    for axis, place in zip(axes, ("MA", "web")):
        there = curves[curves["measured on"] == place].assign(change=_against_frozen)
        ends = there[there["step"] == there["step"].max()].set_index("run")["change"]
        for run, (colour, style, marker) in styles.items():
            part = there[there["run"] == run]
            axis.plot(part["step"], part["change"], style, color=colour, marker=marker, markersize=5)
        axis.axhline(0, color="black", linewidth=0.8)
        # one label a curve at its end, no two on each other
        reach = there["change"].max() - there["change"].min()
        height = -np.inf
        for run in ends.sort_values().index:
            height = max(ends[run], height + 0.11 * reach)
            at = {"xytext": (1.15 * there["step"].max(), height), "fontsize": 10, "va": "center"}
            at["arrowprops"] = {"arrowstyle": "-", "color": styles[run][0]}
            box = {"facecolor": "white", "edgecolor": "none", "pad": 1}
            words = f"{run}: {ends[run].round(1) + 0:+.1f} %"
            axis.annotate(words, (there["step"].max(), ends[run]), bbox=box, **at)
        words = f"LoRA {ends['lora on MA']:+.1f} %, all weights {ends['full on MA']:+.1f} %"
        axis.set(title=f"Held-out {place} after training on MA: {words}", ylabel="error against frozen (%)")
        axis.set(xscale="symlog", xlim=(-0.2, 8 * curves["step"].max()))
    axes[-1].set_xlabel("training step")
    figure.tight_layout()
    return figure


def _against_frozen(there: pd.DataFrame) -> pd.Series:
    return 100 * (there["eps_mse"] / there.loc[there["step"] == 0, "eps_mse"].iloc[0] - 1)


def gradients_figure(norms: pd.DataFrame, idle: Collection[str]) -> Figure:
    """Gradient norms by kind of layer, a column per kind of context; kinds in `idle` have none in the first column."""
    floor = 1e-6 * norms.to_numpy().max()
    figure, axis = plt.subplots(figsize=(8, 3.2))
    places = np.arange(len(norms))
    looks = ((-0.2, PALETTE["correlation-aware"], ""), (0.2, PALETTE["baseline"], "//"))
    for column, (offset, colour, hatch) in zip(norms, looks):
        axis.bar(places + offset, norms[column].clip(lower=floor), 0.38, color=colour, hatch=hatch, label=column)
    for kind in idle:
        axis.annotate("0", (norms.index.get_loc(kind) - 0.2, floor * 1.5), ha="center", fontweight="bold")
    axis.set_xticks(places, norms.index, rotation=25, ha="right", fontsize=10)
    axis.set_title("With one context token, attn2's query and key adapters get no gradient")
    axis.set(xlabel="kind of layer", ylabel="gradient norm of B", yscale="log", ylim=(floor, 1e8 * floor))
    axis.legend(fontsize=10, ncols=2, loc="upper right")
    figure.tight_layout()
    return figure


def biases_figure(biased: pd.DataFrame) -> Figure:
    """How far random biases move a prediction, per seed and on average. biased: columns "biases on", change (%)."""
    means = biased.groupby("biases on", sort=False)["change"].mean()
    figure, axis = plt.subplots(figsize=(6, 3))
    axis.bar(means.index, means, color=PALETTE["baseline"], alpha=0.5)
    axis.set_xticks(range(len(means)), [f"{label}\n(mean {m:.1f} %)" for label, m in means.items()])
    axis.scatter(biased["biases on"], biased["change"], color="black", s=14, zorder=3, label="one seed")
    axis.set(xlabel="random biases on", ylabel="change of the output (%)", ylim=(0, 1.25 * biased["change"].max()))
    axis.set_title(f"Random biases alone change the output by {means['all three']:.1f} %")
    axis.legend(fontsize=10, loc="upper left")
    figure.tight_layout()
    return figure
