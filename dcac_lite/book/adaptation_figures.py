"""Figures of notebook 03: what diffusion costs, whether there is a domain gap, where LoRA sits, and what it learns."""

from collections.abc import Collection, Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from .notebook import PALETTE


def cost_figure(tflops: Mapping[str, float], printed: float, title: str) -> Figure:
    """One stacked bar of the encoder, the VAE and the U-Net, in this order, and the total that the paper prints."""
    figure, axis = plt.subplots(figsize=(7, 1.9))
    left = 0.0
    for (name, value), colour in zip(tflops.items(), (PALETTE["baseline"], "black", PALETTE["correlation-aware"])):
        axis.barh(["forward pass"], value, left=left, color=colour, label=f"{name}: {value:.2f}")
        left += value
    label = f"paper, Table 6 (frozen): {printed:.2f}"
    axis.axvline(printed, color=PALETTE["instance-wise"], linestyle="--", label=label)
    axis.set(title=title, xlabel="TFLOPs for 64 pictures", xlim=(0, 9.5))
    axis.legend(fontsize=7, ncols=2, loc="upper center", bbox_to_anchor=(0.45, -0.45))
    return figure


def gap_figure(table: pd.DataFrame) -> Figure:
    """Errors of the noise predictor per domain. table: columns domain, timestep, eps_mse, relative."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4))
    for (name, part), marker in zip(table.groupby("domain", sort=False), "osD^v"):
        for axis, column in ((left, "eps_mse"), (right, "relative")):
            line = {"marker": marker, "markersize": 4, "linewidth": 2.2 if name == "web" else 1.3, "label": name}
            axis.plot(part["timestep"], part[column], color=PALETTE[name], **line)
    right.axhline(1, color="grey", linestyle=":", linewidth=1)
    left.set(title="The error itself is no measure of the gap", ylabel="eps-MSE", yscale="log")
    right.set(title="Relative to a Gaussian of the same domain", ylabel="U-Net error / Gaussian's error")
    for axis in (left, right):
        axis.set_xlabel("timestep t (0: clean, 999: noise)")
    right.legend(fontsize=8)
    figure.tight_layout()
    return figure


def layers_figure(where: pd.Series, idle: np.ndarray) -> Figure:
    """LoRA parameters by kind of layer; the bars of the kinds in `idle` (bool) are hatched."""
    figure, axis = plt.subplots(figsize=(7, 3))
    bars = axis.barh(where.index, where / 1e3, color=np.where(idle, PALETTE["wrong"], PALETTE["lora"]))
    for bar, hatched in zip(bars, idle):
        bar.set_hatch("//" if hatched else "")
    axis.bar_label(bars, fmt="%.0f", fontsize=8)
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
    axis.bar_label(bars, fmt="%.1f", fontsize=8)
    axis.invert_yaxis()
    axis.set(title=title, xlim=(0, 1.15e-3 * learns.max()), ylabel="mode of Table 5")
    axis.set_xlabel("learning parameters of the U-Net (thousands)")
    figure.tight_layout()
    return figure


def adaptation_figure(curves: pd.DataFrame) -> Figure:
    """Errors while a U-Net learns. curves: columns run, step, "measured on" (MA or web), eps_mse; step 0 is frozen."""
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.4))
    styles = {
        "lora on MA": (PALETTE["lora"], "-", "o"),
        "full on MA": (PALETTE["full"], "--", "s"),
        "lora on web": (PALETTE["baseline"], "-.", "^"),
    }
    titles = {"MA": "Does it adapt? (held-out Re-ID)", "web": "Does it forget? (held-out web)"}
    for axis, (place, title) in zip(axes, titles.items()):
        there = curves[curves["measured on"] == place]
        for run, (colour, style, marker) in styles.items():
            part = there[there["run"] == run]
            axis.plot(part["step"], part["eps_mse"], style, color=colour, marker=marker, markersize=4, label=run)
        axis.axhline(there.loc[there["step"] == 0, "eps_mse"].iloc[0], color="grey", linestyle=":", label="frozen")
        axis.set(xlabel="training step", ylabel=f"eps-MSE on held-out {place}", title=title)
        axis.set(xscale="symlog", xlim=(-0.2, 1.2 * curves["step"].max()))
    axes[0].legend(fontsize=8)
    figure.tight_layout()
    return figure


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
    axis.set_xticks(places, norms.index, rotation=25, ha="right", fontsize=8)
    axis.set_title("With one context token, attn2's query and key adapters get no gradient")
    axis.set(xlabel="kind of layer", ylabel="gradient norm of B", yscale="log", ylim=(floor, 1e8 * floor))
    axis.legend(fontsize=8, ncols=2, loc="upper right")
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
    axis.legend(fontsize=8, loc="upper left")
    figure.tight_layout()
    return figure
