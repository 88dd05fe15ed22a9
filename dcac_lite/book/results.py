"""How the notebooks show a table of the paper: as text, as a picture, in sentences, and with one number made again."""

from math import isnan
from statistics import median

#: The settings of lambda and tau_c, in words.
SETTINGS = {"": "", "paper": "paper's λ, τ_c", "tier": "tier's λ, τ_c"}


def cell_table(result, metric: str = "mAP"):
    """A gathered table (`studies.gather.gather`) for reading, a DataFrame of text: paper, here with its interval, the
    difference to the reference with its interval, Holm's p, and seeds. What is not there is a dash."""
    import pandas as pd

    rows = []
    for _, cell in result[result["metric"] == metric].iterrows():
        rows.append(
            {
                "line": cell["row"],
                "setting": SETTINGS[cell["setting"]],
                "trained on": cell["source"] or "all of them",
                "tested on": cell["target"],
                "paper": _number(cell["paper"]),
                "here [95 %]": _with_interval(cell["mean"], cell["low"], cell["high"]),
                "paper's difference": _number(cell["paper_difference"], sign=True),
                "difference here [95 %]": _with_interval(
                    cell["difference"], cell["difference_low"], cell["difference_high"], sign=True
                ),
                "p (Holm)": "–" if isnan(cell["p_holm"]) else f"{cell['p_holm']:.3f}",
                "seeds": f"{cell['n']} of {cell['n'] + cell['lacking']}",
            }
        )
    return pd.DataFrame(rows)


def _number(value: float, sign: bool = False) -> str:
    return "–" if isnan(value) else f"{value:+.1f}" if sign else f"{value:.1f}"


def _with_interval(mean: float, low: float, high: float, sign: bool = False) -> str:
    if isnan(mean):
        return "–"
    form = "+.2f" if sign else ".2f"
    return f"{mean:{form}}" + ("" if isnan(low) else f" [{low:{form}}, {high:{form}}]")


def difference_plot(result, metric: str = "mAP"):
    """A figure: every difference to the reference with its 95 % interval, and the paper's as a diamond; one panel for
    each line if there are many directions, else for each direction."""
    import matplotlib.pyplot as plt

    shown = result[(result["metric"] == metric) & (result["row"] != _reference(result))]
    line = shown["row"] + shown["setting"].map(lambda s: f"\n({SETTINGS[s]})" if s else "")
    way = shown["source"] + " → " + shown["target"]
    shown = shown.assign(line=line, way=way.where(shown["target"] != "mean", "mean"))
    panel, place = ("line", "way") if shown["way"].nunique() > 4 else ("way", "line")
    panels, places = shown[panel].unique(), list(shown[place].unique())
    size = (2.6 + 2.6 * len(panels), 1 + (0.27 if place == "way" else 0.42) * len(places))
    figure, axes = plt.subplots(1, len(panels), figsize=size, sharey=True, squeeze=False, layout="compressed")
    for axis, name in zip(axes.flat, panels):
        here = shown[shown[panel] == name]
        y = [places.index(p) for p in here[place]]
        reach = [here["difference"] - here["difference_low"], here["difference_high"] - here["difference"]]
        axis.errorbar(here["difference"], y, xerr=reach, fmt="o", color="#0072B2", capsize=2, label="here, 95 %")
        axis.plot(here["paper_difference"], y, "D", mfc="none", color="#D55E00", label="paper, one run")
        axis.axvline(0, color="black", linewidth=0.8)
        axis.set(title=name)
        axis.set_yticks(range(len(places)), places)
    axes[0, 0].invert_yaxis()
    figure.supxlabel(f"{metric}, difference to {_reference(result)}", fontsize="medium")
    axes[0, -1].legend(loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def _reference(result) -> str:
    from ..studies.tables import TABLES

    return TABLES[int(result["table"].iloc[0])].reference


def in_words(result, metric: str = "mAP") -> str:
    """What the differences of a gathered table say, in sentences that count them and claim nothing else."""
    shown = result[(result["metric"] == metric) & (result["row"] != _reference(result))]
    known = shown[shown["difference_low"].notna()]
    once = shown[shown["target"] != "mean"].drop_duplicates(["row", "source", "target"])  # not once for each setting
    printed = once["paper_difference"].dropna()
    text = f"The paper prints {len(printed)} differences to {_reference(result)} in {metric}, "
    text += f"{(printed > 0).sum()} above zero. "
    if known.empty:
        return (
            text + "Here there is no difference with an interval yet: fewer than two seeds of each line are finished."
        )
    above, below = (known["difference_low"] > 0).sum(), (known["difference_high"] < 0).sum()
    text += (
        f"Of {len(shown)} differences here, {above} have an interval above zero, {below} below zero, "
        f"{len(known) - above - below} hold zero and {len(shown) - len(known)} are lacking; "
        f"{(known['p_holm'] < 0.05).sum()} remain after Holm's correction. With so many pairs, four times in five, one "
        f"would see a difference of {median(known['visible']):.2f} points (the median over the differences)."
    )
    both = known[known["paper_difference"].notna()]
    outside = (both["paper_difference"] < both["difference_low"]) | (both["paper_difference"] > both["difference_high"])
    return f"{text} The paper's difference lies outside the interval in {outside.sum()} of {len(both)}."


def made_again(number: int, tier: str, seed: int, known) -> str:
    """Train, or find, one line of a table in its first direction, and say in a sentence whether its mAP lies where
    one more seed falls, 19 times in 20, judging by the other seeds in `known` (`studies.gather.measurements`). It is
    the last line that `known` has two other seeds of, or the last."""
    from ..runs import run
    from ..studies.gather import values
    from ..studies.tables import TABLES, name_of
    from ..tools.compare import prediction_interval

    table = TABLES[number]
    sources, target = table.directions[0]
    lines = [(row.name, [*row.settings(sources, tier, seed).values()][-1]) for row in reversed(table.rows)]
    seeds = {line: values(known, name_of(e), target, "mAP").keys() - {seed} for line, e in lines}
    line, experiment = next((line for line in lines if len(seeds[line[0]]) > 1), lines[0])
    measured = float(run(experiment).evaluate(target)["mAP"].iloc[0])
    others = [v for s, v in values(known, name_of(experiment), target, "mAP").items() if s != seed]
    text = f"{line}, {'+'.join(sources)} → {target}, seed {seed}: {measured:.2f} mAP. "
    if len(others) < 2:
        return text + f"There are {len(others)} other seeds to compare with, and a band needs two."
    low, high = prediction_interval(others)
    where = "inside" if low <= measured <= high else "outside"
    return text + f"By the {len(others)} other seeds one more falls between {low:.2f} and {high:.2f}: {where}."


def scorecard_plot(card):
    """A figure: effect and 95 % interval of every claim, the paper's beside; one colour for each verdict."""
    import matplotlib.pyplot as plt

    in_points = card["metric"] != "gradient_ratio"
    shown = card[in_points & (card["effect"].notna() | card["paper"].notna())].reset_index(drop=True)
    figure, axis = plt.subplots(figsize=(9, 1.2 + 0.24 * len(shown)), layout="compressed")
    for verdict, group in shown.groupby("verdict", sort=False):
        reach = [group["effect"] - group["low"], group["high"] - group["effect"]]
        axis.errorbar(
            group["effect"], group.index, xerr=reach, fmt="o", capsize=2, label=verdict, color=COLOURS[verdict]
        )
    axis.plot(shown["paper"], shown.index, "D", mfc="none", color="black", label="paper, one run")
    axis.axvline(0, color="black", linewidth=0.8)
    names = [f"{c.id} ({SETTINGS[c.setting]})" if c.setting else c.id for c in shown.itertuples()]
    axis.set_yticks(range(len(shown)), names)
    axis.invert_yaxis()
    axis.set(xlabel="points, the claim's line minus its reference")
    axis.legend(loc="upper left", bbox_to_anchor=(1, 1))
    return figure


#: Colours of the verdicts, for eyes of all kinds; each point also stands where its interval says.
COLOURS = {
    "reproduced": "#009E73",
    "contradicted": "#D55E00",
    "equivalent to nothing": "#0072B2",
    "not resolved": "#7f7f7f",
    "not measured": "#BBBBBB",
    "not tested here": "#CCBB44",
}
