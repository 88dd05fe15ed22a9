"""Figures of single chapters, each with its text alternative: a chapter says what is drawn, this says how."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ..studies.tables import printed_gain
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
    axis.set_xticklabels([str(y) for y in position], fontsize=10)
    axis.legend(fontsize=10, loc="lower right")
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
    axis.legend(fontsize=10, ncols=2, loc="upper right")
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
        axis.bar_label(drawn, fmt="%.1f", fontsize=10)
    axis.set_xticks(range(len(results)), [f"{n}\n({role})" for n, role in results["role"].items()])
    highest = 1.15 * results[["zero-shot mAP", "fine-tuned mAP"]].to_numpy().max()
    title = f"Fine-tuned on MA: {home:.0f} mAP at home, {abroad:.0f} on average abroad"
    axis.set(title=title, xlabel="test domain", ylabel="mAP (%)", ylim=(0, highest))
    axis.legend(fontsize=10)
    figure.tight_layout()
    numbers = "; ".join(f"{n} {r['zero-shot mAP']:.1f} and {r['fine-tuned mAP']:.1f}" for n, r in results.iterrows())
    return figure, (
        f"Bars of mAP per test domain, zero-shot and fine-tuned on MA: {numbers}. MA is the source domain; the others "
        "are unseen."
    )


def patches(picture: np.ndarray, patch: int) -> Described:
    """Chapter 02: a uint8 picture [3, H, W], and the same pulled apart into its patches of `patch` pixels a side."""
    import matplotlib.pyplot as plt

    rows, columns = picture.shape[1] // patch, picture.shape[2] // patch
    gap = patch // 4
    grid = picture.reshape(3, rows, patch, columns, patch)
    exploded = np.full((3, rows, patch + gap, columns, patch + gap), 255, np.uint8)
    exploded[:, :, :patch, :, :patch] = grid
    exploded = exploded.reshape(3, rows * (patch + gap), -1)[:, :-gap, :-gap]
    figure, (whole, apart) = plt.subplots(1, 2, figsize=(5.4, 5.4))
    whole.imshow(picture.transpose(1, 2, 0), interpolation="nearest")
    whole.set(title="the picture", xlabel="column (pixels)", ylabel="row (pixels)")
    apart.imshow(exploded.transpose(1, 2, 0), interpolation="nearest")
    middles = np.arange(max(rows, columns)) * (patch + gap) + (patch - 1) / 2
    every = -(-rows // 16)  # of many patches not all are numbered
    apart.set_xticks(middles[:columns:every], range(1, columns + 1, every))
    apart.set_yticks(middles[:rows:every], range(1, rows + 1, every))
    apart.set(
        title=f"{rows} x {columns} = {rows * columns} tokens", xlabel="column of patches", ylabel="row of patches"
    )
    for axis in (whole, apart):
        axis.grid(False)
    figure.tight_layout()
    return figure, (
        f"A training picture of a person, and the same picture pulled apart into {rows} rows of {columns} square "
        f"patches of {patch} by {patch} pixels. A head fills about one patch, a shirt a few."
    )


def schedules(rates: pd.DataFrame) -> Described:
    """Chapter 02. rates: a learning rate `lr` for each `schedule` and `epoch`; a panel for each schedule."""
    import matplotlib.pyplot as plt

    count = rates["schedule"].nunique()
    figure, axes = plt.subplots(count, 1, figsize=(6.4, 3 * count), squeeze=False)
    said = []
    for axis, (name, part) in zip(axes[:, 0], rates.groupby("schedule", sort=False)):
        epoch, lr = part["epoch"].to_numpy(), part["lr"].to_numpy()
        highest = int(epoch[lr.argmax()])
        drops = [int(e) for e, before, now in zip(epoch[1:], lr, lr[1:]) if now < 0.9 * before]
        axis.step(epoch, lr, where="mid", color="black", marker="o", markersize=3)
        for drop in drops:
            at = {"xytext": (4, -2), "textcoords": "offset points", "fontsize": 10, "va": "top"}
            axis.annotate(f"epoch {drop}", (drop, lr[epoch < drop][-1]), **at)
        falls = f"down at {' and '.join(map(str, drops))}" if drops else "then level"
        said.append(f"{name}: up until epoch {highest}, {falls}")
        axis.set(title=said[-1], ylabel="learning rate", yscale="log")
        axis.xaxis.get_major_locator().set_params(integer=True)
    axes[-1, 0].set_xlabel("epoch")
    figure.tight_layout()
    return figure, f"Learning rate against the epoch on a logarithmic axis, {count} panels. {'. '.join(said)}."


def matching_curves(curves: pd.DataFrame, domain: str) -> Described:
    """Chapter 02. curves: the share `CMC` (%) of queries of `domain` answered within `rank`, for each `model`."""
    import matplotlib.pyplot as plt

    figure, axis = plt.subplots(figsize=(6.4, 3.8))
    first = {}
    looks = (("--", "white", "black"), ("-", PALETTE["correlation-aware"], PALETTE["correlation-aware"]))
    for (name, part), (style, face, colour) in zip(curves.groupby("model", sort=False), looks):
        look = {"marker": "o", "markersize": 5, "mfc": face, "color": colour}
        axis.plot(part["rank"], part["CMC"], style, **look)
        first[name], last = part["CMC"].iloc[0], part["rank"].iloc[-1]
        at = {"xytext": (0, -8), "textcoords": "offset points", "ha": "right", "va": "top", "fontsize": 11}
        axis.annotate(name, (last, part["CMC"].iloc[-1]), color=colour, **at)
    words = ", ".join(f"{name} {value:.0f} %" for name, value in first.items())
    axis.set(title=f"First answer right on {domain}, unseen: {words}", xlabel="rank k", xticks=range(1, last + 1, 3))
    axis.set(ylabel="answered within k (%)")
    figure.tight_layout()
    return figure, (
        f"Two rising curves, the share of queries of {domain} answered within rank k, from 1 to {last}. "
        f"At rank 1: {words}."
    )


LOSSES = {"id": "ID loss (Eq. 5)", "pcl": "Prototype loss (Eq. 6)", "dif": "Diffusion loss (Eq. 11)"}


def training_history(history: pd.DataFrame) -> Described:
    """Chapter 05. history: of a run, a row per `step` with its `epoch` and the losses it has; a panel for each loss,
    grey for single steps, coloured for a running mean, whose first and last value the title gives."""
    import matplotlib.pyplot as plt

    losses = [name for name in LOSSES if name in history]
    figure, axes = plt.subplots(len(losses), 1, figsize=(6.4, 2.4 * len(losses) + 0.5), sharex=True, squeeze=False)
    said = []
    for axis, name in zip(axes[:, 0], losses):
        mean = history[name].rolling(max(2, len(history) // 20)).mean()
        axis.plot(history["step"], history[name], color="#bbbbbb", linewidth=0.8)
        axis.plot(history["step"], mean, color=PALETTE[name], linewidth=2)
        said.append(f"{LOSSES[name]}: {mean.dropna().iloc[0]:.2f} to {mean.iloc[-1]:.2f}")
        axis.set(title=said[-1], ylabel="loss")
    ends = history.groupby("epoch")["step"].max()
    above = axes[0, 0].secondary_xaxis("top")  # epochs as an axis of their own: lines would look like a grid
    some = ends[len(ends) % 2 :: 2] if len(ends) > 6 else ends
    some = some[:: -(-len(some) // 12)]
    above.set_xticks(some, some.index, fontsize=10)
    above.set_xlabel("epoch, at its end", fontsize=10)
    axes[-1, 0].set_xlabel("training step")
    figure.tight_layout()
    return figure, (
        f"A panel for each loss over {len(history)} training steps, grey for single steps, coloured for a running "
        f"mean. The mean's first and last value: {'; '.join(said)}."
    )


def dark_knowledge(images: np.ndarray, identities: Sequence[int], top: np.ndarray, p_at: Sequence, taus) -> Described:
    """Chapter 04: a line per input. images: uint8 [lines, 6, H, W, 3], an input and a picture of each of its five most
    probable identities `top` [lines, 5]; identities: whose the inputs are; p_at: p [lines, N] at each of `taus`."""
    import matplotlib.pyplot as plt

    lines, columns = images.shape[:2]
    fig, axes = plt.subplots(lines, columns, figsize=(6.9, 3.2 * lines), squeeze=False, gridspec_kw={"hspace": 0.65})
    shades = ("#0072B2", "#56B4E9", "#B5DDF5")  # from cold to hot
    for i, line in enumerate(axes):
        for k, axis in enumerate(line):
            axis.imshow(images[i, k])
            axis.set(xticks=[], yticks=[])
            axis.grid(False)
            if k == 0:
                axis.set_title(f"input\n#{identities[i]}", fontsize=10)
                for y, tau in enumerate(taus):
                    at = {"ha": "right", "va": "center", "transform": axis.transAxes}
                    axis.text(1.05, -0.08 - 0.1 * y, rf"$\tau_c$ = {tau:.2g}", fontsize=10, **at)
                continue
            j = int(top[i, k - 1])
            right = j == int(identities[i])
            axis.set_title(f"{'✓ ' if right else ''}#{j}", fontsize=10, fontweight="normal")
            for spine in axis.spines.values():
                spine.set(visible=True, color=PALETTE["right"] if right else "none", linewidth=3)
            bars = axis.inset_axes((0, -0.33, 1, 0.3))
            values = [float(p[i, j]) for p in p_at]
            bars.barh(range(len(values)), values, color=shades)
            for y, value in enumerate(values):
                inside = value > 0.6
                look = {"ha": "right" if inside else "left", "color": "white" if inside and y == 0 else "black"}
                bars.text(value - 0.03 if inside else value + 0.03, y, f"{value:.2f}", fontsize=10, va="center", **look)
            bars.set(xlim=(0, 1), xticks=[], yticks=[])
            bars.invert_yaxis()
            bars.grid(False)
            bars.set_facecolor("none")
    firsts = [float(np.mean([p[i, int(top[i, 0])] for i in range(len(top))])) for p in p_at]
    found = sum(int(top[i, 0]) == int(identities[i]) for i in range(len(top)))
    words = f"p of the five most probable identities: the first one's falls from {firsts[0]:.2f} to {firsts[-1]:.2f}"
    words += f"\nwith the heat; it is the right one in {found} of {len(top)}"
    fig.suptitle(words, fontsize=11, fontweight="bold", y=0.96)
    return fig, (
        f"{len(images)} rows: an input picture and the five identities the classifier finds most probable, with bars "
        "for their probabilities at three temperatures. The lower the temperature, the more of it goes to the first; "
        f"the higher, the more alike the five are. The first is the right one in {found} of {len(top)}."
    )


def temperature(sweep: pd.DataFrame, identities: int, tau_c: float) -> Described:
    """Chapter 04. sweep: by `tau_c`, the `entropy` of p, and of c the `size`, `predicted size` and `variation`."""
    import matplotlib.pyplot as plt

    fig, (above, below) = plt.subplots(2, 1, figsize=(6.4, 6.6))
    above.semilogx(sweep["tau_c"], sweep["entropy"], color=PALETTE["correlation-aware"], lw=2)
    most = np.log(identities)
    uniform = f"uniform: ln {identities} = {most:.2f}"
    for height, words, side, k in ((0, "one-hot: 0", "right", -1), (most, uniform, "left", 0)):
        above.axhline(height, color=PALETTE["baseline"], ls="--", lw=1)
        at = {"xy": (sweep["tau_c"].iloc[k], height), "xytext": (0, 4), "textcoords": "offset points"}
        above.annotate(words, **at, fontsize=10, ha=side)
    above.set(xlabel=r"temperature $\tau_c$", ylabel="entropy of p [nats]", title="p goes from one-hot to uniform")
    above.set(ylim=(-0.2, most * 1.12))
    for name, label, look in (
        ("size", "size of c", {"color": PALETTE["correlation-aware"]}),
        ("predicted size", "sqrt(sum p²)", {"color": "black", "ls": ":"}),
        ("variation", "variation from picture to picture", {"color": PALETTE["instance-wise"], "ls": "--"}),
    ):
        below.loglog(sweep["tau_c"], sweep[name], lw=2, label=label, **look)
    below.set(xlabel=r"temperature $\tau_c$", ylabel="RMS of an entry of c")
    below.set(title="c shrinks, and the differences shrink more")
    below.legend(fontsize=10, loc="lower left", framealpha=1)
    for axis in (above, below):
        axis.axvline(tau_c, color="black", lw=1, ls="-.")
    fig.tight_layout()
    return fig, (
        "Two charts against the temperature. Above: the entropy of p rises in an S from 0 to ln N. Below: the size "
        "of c falls from 1 to a plateau on its prediction, and the variation from picture to picture falls further and "
        "has no plateau."
    )


def gradients_of_schemes(summary: pd.DataFrame) -> Described:
    """Chapter 04. summary: a row per `state` and `scheme` with the mean gradients `dif` (and its interval `low` to
    `high`) and `reid` at z."""
    import matplotlib.pyplot as plt

    fig, axes = plt.subplots(2, 1, figsize=(6.4, 7), sharex=True, sharey=True)
    floor = summary["dif"][summary["dif"] > 0].min() / 5
    for axis, (state, part) in zip(axes, summary.groupby("state", sort=False)):
        for y, row in enumerate(part.itertuples()):
            if row.dif > 0:
                reach = [[row.dif - row.low], [row.high - row.dif]]
                axis.errorbar(row.dif, y, xerr=reach, fmt="o", color=PALETTE[row.scheme], ms=9, capsize=4, lw=2, mew=2)
            else:
                axis.plot(floor, y, "x", color=PALETTE[row.scheme], ms=9, mew=2, mec="black")
                axis.annotate("exactly 0", (floor, y), xytext=(10, -4), textcoords="offset points", fontsize=10)
        axis.axvline(part["reid"].iloc[0], color=PALETTE["baseline"], lw=3)
        strongest, ours = part.loc[part["dif"].idxmax()], part.set_index("scheme").loc["correlation-aware"]
        times = f"{strongest['dif'] / ours['dif']:,.0f}"
        axis.set_title(f"{state}: {strongest['scheme']} sends {times} times\nwhat correlation-aware sends")
        axis.set(xscale="log", xlabel="length of the gradient at z (grey line: Re-ID loss)")
        axis.set(yticks=range(len(part)), yticklabels=part["scheme"])
    axes[0].set_ylim(summary["scheme"].nunique() - 0.5, -0.5)
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
    size = (6.4, 3.3 * len(sources) + 0.9)
    figure, axes = plt.subplots(len(sources), 1, figsize=size, sharex=True, squeeze=False, layout="constrained")
    looks = {"paper": ("o", "#56B4E9", "the paper's"), "tier": ("s", "#0072B2", "this tier's")}
    shown, gains = {}, {}
    for axis, source in zip(axes[:, 0], sources):
        group = unseen[unseen["source"] == source]
        targets = [t for t in group["target"].unique() if t != MEAN] + [MEAN]
        places = np.arange(len(targets), dtype=float)
        places[-1] += 0.3
        for k, (arm, part) in enumerate(group.groupby("arm")):
            marker, colour, whose = looks[arm]
            part = part.set_index("target").loc[targets]
            label = rf"{whose} $\lambda$ = {part['lambda_'].iloc[0]:g}, {part['n'].min()} pairs, 95 %"
            error = [part["mean"] - part["low"], part["high"] - part["mean"]]
            look = {"fmt": marker, "color": colour, "capsize": 3}
            shown[label] = axis.errorbar(part["mean"], places + 0.3 * (k - 0.5), xerr=error, **look)
        paper = [printed_gain(source, target) for target in targets[:-1]]
        gains[source] = float(np.mean(paper))
        (shown["the paper, one run"],) = axis.plot([*paper, gains[source]], places, "D", mfc="none", color="black")
        for gain, place in zip([*paper, gains[source]], places):
            axis.annotate(f"{gain:+.1f}", (gain, place), xytext=(7, -4), textcoords="offset points", fontsize=10)
        axis.axvline(0, color="black", linewidth=0.8)
        axis.axhspan(places[-1] - 0.5, places[-1] + 0.5, color="black", alpha=0.06, linewidth=0)
        axis.set(yticks=places, yticklabels=[*targets[:-1], "mean"], ylim=(places[-1] + 0.5, -0.5))
        axis.set(title=f"Trained on {source}, tested on", xmargin=0.1)
        axis.grid(axis="y", visible=False)
    axes[-1, 0].set_xlabel("mAP of DCAC minus mAP of the baseline (points)")
    inside = unseen[(unseen["low"] < 0) & (unseen["high"] > 0)]
    means = unseen[unseen["target"] == MEAN]
    beyond = sum(gains[r.source] > r.high for r in means.itertuples())
    words = f"{len(inside)} of {len(unseen)} intervals hold zero; "
    words += f"the paper's mean gain lies beyond {beyond} of {len(means)} intervals of the mean"
    figure.suptitle(words.replace("; ", ";\n"), fontsize=12, fontweight="bold")
    figure.legend([*shown.values()], [*shown], loc="outside lower center", fontsize=10)
    return figure, (
        "Mean difference of mAP between DCAC and the baseline with 95 per cent intervals, a panel per source, a line "
        f"per unseen target and one for their mean; the paper's own differences as diamonds. {words}."
    )


def gradient_ratio(ratio: pd.Series) -> Described:
    """Chapter 05. ratio: lambda |dL_dif/dz| / |dL_ReID/dz| by epoch."""
    import matplotlib.pyplot as plt

    figure, axis = plt.subplots(figsize=(6.4, 3.4))
    axis.plot(ratio.index, ratio, "o-", color=PALETTE["dif"])
    axis.set(xlabel="epoch", ylabel=r"$\lambda\,|\partial L_{dif}/\partial z|\;/\;|\partial L_{ReID}/\partial z|$")
    axis.set_title(f"The diffusion loss speaks at {ratio.median():.2g} of the Re-ID losses' volume")
    axis.set_ylim(bottom=0)
    figure.tight_layout()
    return figure, (
        f"The ratio of the two gradients at z by epoch: {ratio.iloc[0]:.2g} in the first, {ratio.iloc[-1]:.2g} in the "
        f"last, {ratio.median():.2g} in the median."
    )


def learning_rates(epochs, rate: Mapping, travel: Mapping, batches: Mapping[str, int]) -> Described:
    """Chapter A2: the warm-up of `rate["code"]` and `rate["text"]`, and how far a prompt's entry can `travel` by the
    end of each epoch for each source, which makes so many `batches` an epoch."""
    import matplotlib.pyplot as plt

    figure, (above, below) = plt.subplots(2, 1, figsize=(6.4, 6.4))
    for name, look in (("code", "o-"), ("text", "s--")):
        colour = "black" if name == "code" else PALETTE["baseline"]
        above.plot(epochs[:12], 1e6 * rate[name][:12], look, ms=4, color=colour, label=name)
    above.set(title=f"Epoch 1 runs at {1e6 * rate['code'][0]:.2f}, not {1e6 * rate['text'][0]:.2f}")
    above.set(xlabel="epoch", ylabel="learning rate (millionths)")
    above.legend()
    for name, style in (("MS", "--"), ("MA", "-")):
        label = f"{name}, {batches[name]} steps an epoch"
        below.plot(epochs, travel[name], style, color=PALETTE[name], lw=2, label=label)
    below.axhline(1, color="black", lw=1)
    words = "standard deviation of a prompt's entries"
    below.annotate(words, (1, 1), xytext=(0, -11), textcoords="offset points", fontsize=10)
    below.set(yscale="log", ylim=(1e-4, 2), xlabel="epoch", ylabel="farthest an entry can be")
    ends = {name: f"{travel[name][-1]:.3f}" for name in ("MA", "MS")}
    below.set_title(f"Prompts travel at most {ends['MA']} (MA), {ends['MS']} (MS)")
    below.legend(loc="lower right")
    figure.tight_layout()
    return figure, (
        "Above: two parallel warm-up ramps, the code's above the text's, meeting after epoch 10. Below: the farthest a "
        f"prompt entry can travel rises to {ends['MA']} on MA and {ends['MS']} on MS, far below a line at 1."
    )
