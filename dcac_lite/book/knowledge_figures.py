"""Figures of notebook 06 about what models know of people: probabilities, features, and drawings of prompts."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from matplotlib.figure import Figure

from .notebook import PALETTE


def probabilities_figure(sweep, tau_c: float, identities: int) -> Figure:
    """Entropy of p, and its rank correlation with the truth, against the temperature; the dotted line is `tau_c`.

    sweep: DataFrame with the columns model, tau_c, entropy, similarity by ("looks" or "attributes") and rank
    correlation; identities: how many p is spread over."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.6, 3.7))
    # smaller marks lie on larger ones, where models agree
    for name, marker, size in zip(sweep.model.unique(), "oDs", (12, 8, 4)):
        look = {"marker": marker, "markersize": size, "color": PALETTE[name]}
        look["markerfacecolor"] = "none" if size > 4 else PALETTE[name]
        for kind, line in (("looks", "-"), ("attributes", "--")):
            part = sweep[(sweep.model == name) & (sweep["similarity by"] == kind)]
            right.semilogx(part.tau_c, part["rank correlation"], line, **look, label=f"{name}, {kind}")
        left.semilogx(part.tau_c, part.entropy, **look)
    highest, best = np.log(identities), sweep.groupby("similarity by")["rank correlation"].max()
    left.axhline(highest, color="black", linewidth=0.8)
    left.set(ylabel="entropy of p (nats)", title=f"From one guess to ln {identities} = {highest:.1f}")
    right.set(ylabel="rank correlation with the truth", ylim=(min(0, sweep["rank correlation"].min() - 0.05), None))
    right.set_title(f"Looks up to {best['looks']:.2f}, attributes up to {best['attributes']:.2f}")
    for axis in (left, right):
        axis.set_xlabel("temperature tau_c")
        axis.axvline(tau_c, color="black", linestyle=":", linewidth=1)
    right.legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5), handlelength=4)
    figure.tight_layout()
    return figure


def components_figure(points, shares: Mapping[str, tuple[float, float]], explained: Sequence[float]) -> Figure:
    """The same points three times, coloured by identity (the six with most pictures), camera (of MA) and domain.

    points: DataFrame with the columns first, second, identity, camera and domain; shares: of the variance between
    the groups of each kind, and between random groups of their sizes; explained: by the two components."""
    figure, axes = plt.subplots(1, 3, figsize=(10.5, 4.1), sharex=True, sharey=True)
    frequent = points.identity.isin(points.identity.value_counts().index[:6])
    named = {
        "identity": points.identity.where(frequent),
        "camera": points.camera.where(points.domain == "MA"),
        "domain": points.domain,
    }
    for axis, (kind, colour) in zip(axes, named.items()):
        axis.scatter(points["first"], points["second"], s=5, color="#dddddd", linewidths=0)
        palette = {name: PALETTE[name] for name in colour.unique()} if kind == "domain" else "colorblind"
        marks = {"style": colour.dropna(), "s": 34} if kind == "identity" else {"s": 10}
        some = points[colour.notna()]
        sns.scatterplot(
            some, x="first", y="second", hue=colour.dropna(), palette=palette, linewidth=0, ax=axis, **marks
        )
        own, chance = shares[kind]
        axis.set_title(f"{kind}: {own:.0%} of the variance ({chance:.0%})", fontsize=10)
        axis.set(xlabel=f"first component ({explained[0]:.0%} of variance)")
        axis.set(ylabel=f"second component ({explained[1]:.0%})")
        axis.legend(
            fontsize=7, loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=3, markerscale=1.2, handletextpad=0.1
        )
    figure.tight_layout()
    return figure


def colours_figure(knowledge, title: str) -> Figure:
    """How often drawings have the right colour, with intervals, beside chance, 50 %. knowledge: DataFrame with the
    columns condition, right colour, low and high, the last three from 0 to 1."""
    figure, axis = plt.subplots(figsize=(7, 2.6))
    percent = 100 * knowledge[["right colour", "low", "high"]]
    reach = [percent["right colour"] - percent.low, percent.high - percent["right colour"]]
    places = np.arange(len(percent))
    axis.errorbar(percent["right colour"], places, xerr=reach, fmt="s", color=PALETTE["correlation-aware"])
    axis.axvline(50, color="black", linewidth=0.8)
    axis.set(yticks=places, yticklabels=knowledge.condition, title=title)
    axis.set_xlabel("nearer to the own garment's colour than to another's (%), 50 = chance")
    axis.invert_yaxis()
    return figure
