"""Figures of notebook 06 about what models know of people: probabilities, features, and drawings of prompts."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from matplotlib.figure import Figure

from .map_figures import picture_grid
from .notebook import PALETTE


def probabilities_figure(sweep, tau_c: float, identities: int) -> Figure:
    """Entropy of p, and its rank correlation with the truth, against the temperature; the dotted line is `tau_c`. A
    curve is the mean over the models, the band about it reaches from the lowest of them to the highest.

    sweep: DataFrame with the columns model, tau_c, entropy, similarity by ("looks" or "attributes") and rank
    correlation; identities: how many p is spread over."""
    figure, (above, below) = plt.subplots(2, 1, figsize=(6.4, 6.4), sharex=True)
    spreads = {}
    for kind, line, marker in (("looks", "-", "o"), ("attributes", "--", "s")):
        part = sweep[sweep["similarity by"] == kind]
        panels = (*([(above, "entropy")] if kind == "looks" else []), (below, "rank correlation"))
        for axis, column in panels:
            found = part.groupby("tau_c")[column].agg(["mean", "min", "max"]).dropna()
            axis.fill_between(found.index, found["min"], found["max"], color=PALETTE["correlation-aware"], alpha=0.3)
            axis.semilogx(found.index, found["mean"], line, marker=marker, ms=5, color=PALETTE["correlation-aware"])
            spreads[column] = max(spreads.get(column, 0), (found["max"] - found["min"]).max())
        at = {"xytext": (0, 8), "textcoords": "offset points", "ha": "right"}
        below.annotate(f"by {kind}", (found.index[-1], found["mean"].iloc[-1]), fontsize=10, **at)
    highest, best = np.log(identities), sweep.groupby("similarity by")["rank correlation"].max()
    above.axhline(highest, color="black", linewidth=0.8)
    above.annotate(
        f"all alike: ln {identities} = {highest:.2f}", (sweep.tau_c.min(), highest), xytext=(0, -14),
        textcoords="offset points", fontsize=10,
    )  # fmt: skip
    count = sweep.model.nunique()
    above.set(ylabel="entropy of p (nats)")
    above.set_title(f"{count} models in one curve: they differ by at most {spreads['entropy']:.2f} nats")
    below.set(ylabel="rank correlation", ylim=(min(0, sweep["rank correlation"].min() - 0.05), 1.25 * best.max()))
    below.set_title(
        f"The truth in p: looks up to {best['looks']:.2f}, attributes up to {best['attributes']:.2f}\n"
        f"(models differ by at most {spreads['rank correlation']:.2f})"
    )
    for axis in (above, below):
        axis.axvline(tau_c, color="black", linestyle=":", linewidth=1)
    words = rf"$\tau_c$ = {tau_c:.2g}"
    above.annotate(words, (tau_c, 0.5 * highest), xytext=(-4, 0), textcoords="offset points", ha="right", fontsize=10)
    below.set_xlabel(r"temperature $\tau_c$")
    figure.tight_layout()
    return figure


def components_figure(points, shares: Mapping[str, tuple[float, float]], explained: Sequence[float]) -> Figure:
    """The same points three times, marked by identity (the six with most pictures), camera (of MA) and domain.

    points: DataFrame with the columns first, second, identity, camera and domain; shares: of the variance between
    the groups of each kind, and between random groups of their sizes; explained: by the two components."""
    figure, axes = plt.subplots(3, 1, figsize=(6.4, 10.5), sharex=True, sharey=True, layout="constrained")
    frequent = points.identity.isin(points.identity.value_counts().index[:6])
    named = {
        "identity": points.identity.where(frequent),
        "camera": points.camera.where(points.domain == "MA"),
        "domain": points.domain,
    }
    for axis, (kind, group) in zip(axes, named.items()):
        axis.scatter(points["first"], points["second"], s=5, color="#dddddd", linewidths=0)
        names = sorted(group.dropna().unique())
        colours = [PALETTE[name] for name in names] if kind == "domain" else sns.color_palette("colorblind", len(names))
        for name, colour, marker in zip(names, colours, "osD^vP"):
            part = points[group == name]
            look = {"s": 26 if kind == "identity" else 16, "linewidths": 0.4, "edgecolors": "white", "marker": marker}
            axis.scatter(part["first"], part["second"], color=colour, label=name, **look)
        own, chance = shares[kind]
        axis.set_title(f"{kind}: {own:.0%} of the variance lies between groups ({chance:.0%} by chance)")
        axis.set(ylabel=f"second component ({explained[1]:.0%})")
        axis.legend(fontsize=10, loc="center left", bbox_to_anchor=(1, 0.5), handletextpad=0.1, markerscale=1.6)
    axes[-1].set_xlabel(f"first component ({explained[0]:.0%} of all variance)")
    ordered = sorted(shares, key=lambda kind: shares[kind][0] - shares[kind][1], reverse=True)
    figure.suptitle(f"Features tell {', then '.join(ordered)}", fontsize=12, fontweight="bold")
    return figure


def drawings_figure(pictures: Sequence[np.ndarray], drawn: Mapping[str, np.ndarray]) -> Figure:
    """What the diffusion model draws of people under several conditions, from one noise: a column for each person.

    pictures: of the people, uint8 [H, W, 3]; drawn: by condition uint8 [people, h, w, 3]. The title says how far the
    drawings of one row differ from one another: the mean difference of a pixel from the row's mean, of 255."""
    differ = {name: float(np.abs(row.astype(float) - row.mean(0)).mean()) for name, row in drawn.items()}
    least, most = min(differ, key=differ.__getitem__), max(differ, key=differ.__getitem__)
    title = f"From person to person a pixel changes by {differ[least]:.0f} of 255 under “{least}”, "
    title += f"by {differ[most]:.0f} under “{most}”"
    named = {f"{name.replace(', ', ',' + chr(10))}\n(± {differ[name]:.1f})": [*row] for name, row in drawn.items()}
    return picture_grid({"the person": pictures} | named, title)


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
