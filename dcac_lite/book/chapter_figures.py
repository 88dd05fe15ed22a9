"""Figures of single chapters, each with its text alternative: a chapter says what is drawn, this says how."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ..studies.tables import paper_value
from .notebook import PALETTE, show_images

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from torch import Tensor

MEAN = "mean of unseen"  # a target of `studies.study.compare`
#: A matplotlib figure and its description.
Described = tuple["Figure", str]


def augmentations(stages: Mapping[str, "Tensor"]) -> Described:
    """Chapter 02: a row per stage, the same images after one change each. stages: normalised [n, 3, H, W] by name."""
    images = np.concatenate([np.asarray(((x + 1) * 127.5).round()).astype(np.uint8) for x in stages.values()])
    columns = len(images) // len(stages)
    titles = [name if k == 0 else "" for name in stages for k in range(columns)]
    return show_images(images, titles, columns=columns), (
        f"{columns} people, in one row each: {'; '.join(stages)}. Flipping mirrors a picture, cropping leaves black "
        "stripes at its edge, erasing covers a rectangle in light grey, jitter shifts, scales and tints all of it."
    )


def hardest_samples(samples: pd.DataFrame, moved: Mapping[int, float]) -> Described:
    """Chapter 02. samples: a row per image of a batch with `identity` and `cosine` to the prototype before the update;
    moved: cosine of each identity's new prototype with the old one."""
    import matplotlib.pyplot as plt

    hardest = samples.groupby("identity")["cosine"].min()
    position = {y: k for k, y in enumerate(hardest.sort_values().index)}
    figure, axis = plt.subplots(figsize=(7, 3.4))
    axis.scatter(samples["identity"].map(position), samples["cosine"], color=PALETTE["baseline"], label="sample")
    axis.scatter(hardest.index.map(position), hardest, marker="v", s=70, color=PALETTE["wrong"], label="hardest sample")
    square = {"marker": "s", "facecolors": "none", "edgecolors": PALETTE["correlation-aware"], "s": 60}
    axis.scatter([position[y] for y in moved], list(moved.values()), **square, label="new prototype")
    axis.set(
        title="Prototypes move most of the way to the hardest sample",
        xlabel="identity of the batch (sorted)",
        ylabel="cosine with the old prototype",
        xticks=range(len(position)),
    )
    axis.set_xticklabels([str(y) for y in position], fontsize=8)
    axis.legend(fontsize=8, loc="lower right")
    figure.tight_layout()
    return figure, (
        f"Cosine with the old prototype for {len(position)} identities: grey circles for the samples, an orange "
        "triangle on the lowest of them, an open blue square for the new prototype. The square lies between the "
        "hardest sample and 1, above the triangle in every column."
    )


def baseline_history(history: pd.DataFrame, identities: int, floor: float) -> Described:
    """Chapter 02: both losses of a run's `history` between ln N and the `floor` of the smoothed ID loss."""
    import matplotlib.pyplot as plt

    figure, axis = plt.subplots(figsize=(7, 3.4))
    for name, label, style in (("id", "ID loss (Eq. 5)", "-"), ("pcl", "prototype loss (Eq. 6)", "--")):
        axis.plot(history["step"], history[name], color=PALETTE[name], linestyle=style, label=label)
    axis.axhline(np.log(identities), color="black", linestyle="--", linewidth=1, label="ln N: knows nothing")
    axis.axhline(floor, color="black", linestyle=":", linewidth=1, label="floor of the smoothed ID loss")
    title, highest = f"Baseline on MA: both losses over {len(history)} steps", 1.4 * np.log(identities)
    axis.set(title=title, xlabel="training step", ylabel="loss (nats)", ylim=(0, highest))
    axis.legend(fontsize=8, ncols=2, loc="upper right")
    figure.tight_layout()
    return figure, (
        f"Two curves over {len(history)} training steps. The ID loss starts at ln N, the dashed line of a model that "
        f"knows nothing, and ends at {history['id'].iloc[-1]:.2f}, above the dotted floor of label smoothing; the "
        f"prototype loss ends at {history['pcl'].iloc[-1]:.2f}."
    )


def before_and_after(results: pd.DataFrame) -> Described:
    """Chapter 02. results: a row per domain, the source MA first, with `role`, `zero-shot mAP` and `fine-tuned mAP`."""
    import matplotlib.pyplot as plt

    home, abroad = results.loc["MA", "fine-tuned mAP"], results.drop(index="MA")["fine-tuned mAP"].mean()
    figure, axis = plt.subplots(figsize=(6.5, 3.4))
    for offset, model, look in ((-0.2, "zero-shot", {"alpha": 0.45, "hatch": "//"}), (0.2, "fine-tuned", {})):
        places, values = np.arange(len(results)) + offset, results[f"{model} mAP"]
        drawn = axis.bar(places, values, 0.38, color=PALETTE["baseline"], label=model, **look)
        axis.bar_label(drawn, fmt="%.1f", fontsize=8)
    axis.set_xticks(range(len(results)), [f"{n}\n({role})" for n, role in results["role"].items()])
    highest = 1.15 * results[["zero-shot mAP", "fine-tuned mAP"]].to_numpy().max()
    title = f"Fine-tuned on MA: {home:.0f} mAP at home, {abroad:.0f} on average abroad"
    axis.set(title=title, xlabel="test domain", ylabel="mAP (%)", ylim=(0, highest))
    axis.legend(fontsize=8)
    figure.tight_layout()
    numbers = "; ".join(f"{n} {r['zero-shot mAP']:.1f} and {r['fine-tuned mAP']:.1f}" for n, r in results.iterrows())
    return figure, (
        f"Bars of mAP per test domain, zero-shot and fine-tuned on MA: {numbers}. MA is the source domain; the others "
        "are unseen."
    )


def dark_knowledge(images: np.ndarray, identities: Sequence[int], top: np.ndarray, p_at: Sequence, taus) -> Described:
    """Chapter 04: a line per input. images: uint8 [lines, 6, H, W, 3], an input and a picture of each of its five most
    probable identities `top` [lines, 5]; identities: whose the inputs are; p_at: p [lines, N] at each of `taus`."""
    import matplotlib.pyplot as plt

    fig, axes = plt.subplots(*images.shape[:2], figsize=(8.4, 9.6), squeeze=False, gridspec_kw={"hspace": 0.6})
    shades = ("#0072B2", "#56B4E9", "#B5DDF5")  # from cold to hot
    for i, line in enumerate(axes):
        for k, axis in enumerate(line):
            axis.imshow(images[i, k])
            axis.set(xticks=[], yticks=[])
            axis.grid(False)
            if k == 0:
                axis.set_title(f"input\nidentity #{identities[i]}", fontsize=10)
                labels = [f"$\\tau_c$ = {tau:.2g}" for tau in taus] if i == 0 else []
                for y, (label, shade) in enumerate(zip(labels, shades)):
                    box = {"facecolor": shade, "alpha": 0.5, "pad": 1, "lw": 0}
                    at = {"ha": "center", "va": "center", "transform": axis.transAxes}
                    axis.text(0.5, -0.09 - 0.07 * y, label, fontsize=9, bbox=box, **at)
                continue
            j = int(top[i, k - 1])
            right = j == int(identities[i])
            axis.set_title(f"{'✓ ' if right else ''}#{j}", fontsize=10, fontweight="normal")
            for spine in axis.spines.values():
                spine.set(visible=True, color=PALETTE["right"] if right else "none", linewidth=3)
            bars = axis.inset_axes((0, -0.28, 1, 0.24))
            values = [float(p[i, j]) for p in p_at]
            bars.barh(range(len(values)), values, color=shades)
            for y, value in enumerate(values):
                inside = value > 0.6
                look = {"ha": "right" if inside else "left", "color": "white" if inside and y == 0 else "black"}
                bars.text(value - 0.03 if inside else value + 0.03, y, f"{value:.2f}", fontsize=8, va="center", **look)
            bars.set(xlim=(0, 1), xticks=[], yticks=[])
            bars.invert_yaxis()
            bars.set_facecolor("none")
    firsts = [float(np.mean([p[i, int(top[i, 0])] for i in range(len(top))])) for p in p_at]
    words = f"the first one's falls from {firsts[0]:.2f} to {firsts[-1]:.2f} with the heat"
    fig.suptitle(f"p of the five most probable identities: {words}", fontsize=11, fontweight="bold", y=0.94)
    return fig, (
        f"{len(images)} rows: an input picture and the five identities the classifier finds most probable, with bars "
        "for their probabilities at three temperatures. The lower the temperature, the more of it goes to the first; "
        "the higher, the more alike the five are."
    )


def temperature(sweep: pd.DataFrame, identities: int, tau_c: float) -> Described:
    """Chapter 04. sweep: by `tau_c`, the `entropy` of p, and of c the `size`, `predicted size` and `variation`."""
    import matplotlib.pyplot as plt

    fig, (left, right) = plt.subplots(1, 2, figsize=(10, 3.8))
    left.semilogx(sweep["tau_c"], sweep["entropy"], color=PALETTE["correlation-aware"], lw=2)
    most = np.log(identities)
    uniform = f"uniform: ln {identities} = {most:.2f}"
    for height, words, side, k in ((0, "one-hot: 0", "right", -1), (most, uniform, "left", 0)):
        left.axhline(height, color=PALETTE["baseline"], ls="--", lw=1)
        at = {"xy": (sweep["tau_c"].iloc[k], height), "xytext": (0, 4), "textcoords": "offset points"}
        left.annotate(words, **at, fontsize=9, ha=side)
    left.set(xlabel="temperature tau_c", ylabel="entropy of p [nats]", title="p goes from one-hot to uniform")
    left.set(ylim=(-0.2, most * 1.12))
    for name, label, look in (
        ("size", "size of c", {"color": PALETTE["correlation-aware"]}),
        ("predicted size", "sqrt(sum p²)", {"color": "black", "ls": ":"}),
        ("variation", "variation from picture to picture", {"color": PALETTE["instance-wise"]}),
    ):
        right.loglog(sweep["tau_c"], sweep[name], lw=2, label=label, **look)
    right.set(xlabel="temperature tau_c", ylabel="RMS of an entry of c")
    right.set(title="c shrinks, and the differences shrink more")
    right.legend(fontsize=9, loc="lower left", framealpha=1)
    for axis in (left, right):
        axis.axvline(tau_c, color="black", lw=1, ls="-.")
    fig.tight_layout()
    return fig, (
        "Two line charts against the temperature. Left: the entropy of p rises in an S from 0 to ln N. Right: the size "
        "of c falls from 1 to a plateau on its prediction, and the variation from picture to picture falls further and "
        "has no plateau."
    )


def gradients_of_schemes(summary: pd.DataFrame) -> Described:
    """Chapter 04. summary: a row per `state` and `scheme` with the mean gradients `dif` (and its interval `low` to
    `high`) and `reid` at z."""
    import matplotlib.pyplot as plt

    fig, axes = plt.subplots(1, 2, figsize=(10.5, 3.9), sharex=True, sharey=True)
    floor = summary["dif"][summary["dif"] > 0].min() / 5
    for axis, (state, part) in zip(axes, summary.groupby("state", sort=False)):
        for y, row in enumerate(part.itertuples()):
            if row.dif > 0:
                reach = [[row.dif - row.low], [row.high - row.dif]]
                axis.errorbar(row.dif, y, xerr=reach, fmt="o", color=PALETTE[row.scheme], ms=9, capsize=4, lw=2, mew=2)
            else:
                axis.plot(floor, y, "x", color=PALETTE[row.scheme], ms=9, mew=2, mec="black")
                axis.annotate("exactly 0", (floor, y), xytext=(10, -4), textcoords="offset points", fontsize=9)
        axis.axvline(part["reid"].iloc[0], color=PALETTE["baseline"], lw=3)
        strongest, ours = part.loc[part["dif"].idxmax()], part.set_index("scheme").loc["correlation-aware"]
        times = f"{strongest['dif'] / ours['dif']:,.0f}"
        axis.set_title(f"{state}: {strongest['scheme']} sends {times} times\nwhat correlation-aware sends")
        axis.set(xscale="log", xlabel="length of the gradient at z (grey line: Re-ID loss)")
        axis.set(yticks=range(len(part)), yticklabels=part["scheme"])
    axes[0].invert_yaxis()
    fig.tight_layout()
    return fig, (
        "Gradient length at z per conditioning scheme on a logarithmic axis, before and after training. "
        + "; ".join(axis.get_title().replace("\n", " ") for axis in axes)
        + ". The rescaled class-wise scheme sends exactly 0 in both."
    )


def paired_differences(unseen: pd.DataFrame) -> Described:
    """Chapter 05. unseen: rows of `studies.study.compare` on unseen targets, a panel per source; the mean over them is
    set apart. The paper's own differences (Tables 2 and 3) stand beside ours."""
    import matplotlib.pyplot as plt

    sources = list(unseen["source"].unique())
    figure, axes = plt.subplots(1, len(sources), figsize=(4.8 * len(sources), 3.6), sharex=True, squeeze=False)
    looks = {"paper": ("o", "#56B4E9", "the paper's"), "tier": ("s", "#0072B2", "this tier's")}
    shown = {}
    for axis, source in zip(axes[0], sources):
        group = unseen[unseen["source"] == source]
        targets = [t for t in group["target"].unique() if t != MEAN] + [MEAN]
        places = np.arange(len(targets), dtype=float)
        places[-1] += 0.4
        for k, (arm, part) in enumerate(group.groupby("arm")):
            marker, colour, whose = looks[arm]
            part = part.set_index("target").loc[targets]
            label = rf"{whose} $\lambda$ = {part['lambda_'].iloc[0]:g}, {part['n'].min()} pairs"
            error = [part["mean"] - part["low"], part["high"] - part["mean"]]
            shown[label] = axis.errorbar(part["mean"], places + 0.2 * (k - 0.5), xerr=error, fmt=marker, color=colour)
        paper = [_printed_gain(source, target) for target in targets[:-1]]
        label = "the paper, one run"
        (shown[label],) = axis.plot([*paper, np.mean(paper)], places, "D", mfc="none", color="black", ls="none")
        axis.axvline(0, color="black", linewidth=0.8)
        axis.axhspan(places[-1] - 0.55, places[-1] + 0.55, color="black", alpha=0.06, linewidth=0)
        axis.set(yticks=places, yticklabels=[*targets[:-1], "mean"], title=f"Trained on {source}")
        axis.set(xlabel="mAP difference to the baseline (points)")
        axis.invert_yaxis()
        axis.grid(axis="y", visible=False)
    inside = unseen[(unseen["low"] < 0) & (unseen["high"] > 0)]
    means = unseen[unseen["target"] == MEAN]
    beyond = sum(
        np.mean([_printed_gain(r.source, t) for t in ("MA", "D", "MS", "C3") if t != r.source]) > r.high
        for r in means.itertuples()
    )
    words = f"{len(inside)} of {len(unseen)} intervals hold zero; "
    words += f"the paper's mean gain lies beyond {beyond} of {len(means)} intervals of the mean"
    figure.suptitle(words, fontsize="medium", fontweight="bold")
    figure.tight_layout(rect=(0, 0.1, 1, 1))
    figure.legend([*shown.values()], [*shown], loc="lower center", ncols=3, fontsize="small")
    return figure, (
        "Mean difference of mAP between DCAC and the baseline with 95 per cent intervals, a panel per source, a line "
        f"per unseen target and one for their mean; the paper's own differences as diamonds. {words}."
    )


def _printed_gain(source: str, target: str) -> float:
    """DCAC minus the baseline in Table 2 or 3."""
    number = 2 if source in ("MA", "D") else 3
    dcac, baseline = (paper_value(number, line, (source,), target, "mAP") for line in ("DCAC", "Baseline"))
    return dcac - baseline


def learning_rates(epochs, rate: Mapping, travel: Mapping, batches: Mapping[str, int]) -> Described:
    """Chapter A2: the warm-up of `rate["code"]` and `rate["text"]`, and how far a prompt's entry can `travel` by the
    end of each epoch for each source, which makes so many `batches` an epoch."""
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(9.5, 3.3))
    for name, look in (("code", "o-"), ("text", "s--")):
        colour = "black" if name == "code" else PALETTE["baseline"]
        left.plot(epochs[:12], 1e6 * rate[name][:12], look, ms=4, color=colour, label=name)
    left.set(title=f"Epoch 1 runs at {1e6 * rate['code'][0]:.2f}, not {1e6 * rate['text'][0]:.2f}")
    left.set(xlabel="epoch", ylabel="learning rate (millionths)")
    left.legend()
    for name, style in (("MS", "--"), ("MA", "-")):
        label = f"{name}, {batches[name]} steps an epoch"
        right.plot(epochs, travel[name], style, color=PALETTE[name], lw=2, label=label)
    right.axhline(1, color="black", lw=1)
    words = "standard deviation of a prompt's entries"
    right.annotate(words, (1, 1), xytext=(0, -11), textcoords="offset points", fontsize=9)
    right.set(yscale="log", ylim=(1e-4, 2), xlabel="epoch", ylabel="farthest an entry can be")
    ends = {name: f"{travel[name][-1]:.3f}" for name in ("MA", "MS")}
    right.set_title(f"Prompts travel at most {ends['MA']} (MA), {ends['MS']} (MS)")
    right.legend(loc="lower right")
    figure.tight_layout()
    return figure, (
        "Left: two parallel warm-up ramps, the code's above the text's, meeting after epoch 10. Right: the farthest a "
        f"prompt entry can travel rises to {ends['MA']} on MA and {ends['MS']} on MS, far below a line at 1."
    )
