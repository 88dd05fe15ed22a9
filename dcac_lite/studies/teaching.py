"""When does the diffusion model teach? The arms as experiments, their comparison, and the verdicts of the plan.

The plan, written before any of these runs, is `figures/plans/when-it-teaches.md`; what it fixes stands here as
constants. Jobs are ordered so that cheap and decisive arms come first and a table is of use at any time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product

from ..data.registry import DOMAIN_NAMES
from ..experiment import Experiment
from ..paths import figures_root, runs_root
from .statistics import PAIR, equivalence, holm, paired_interval, probability

#: Seeds that nothing else has used: tuning takes 0 to 7, the comparison and the tables 10 and more, pilots 30 to 32.
SEEDS = range(40, 60)
TUNING_SEEDS = range(4, 8)
#: Pairs at which the plan allows a look, and the level of each look; together 0.05.
LOOKS: dict[int, float] = {12: 0.02, 20: 0.03}
REPLICATION = 6  # pairs on MS
MARGIN = 0.3  # points of mAP within which a difference is none
SOFT = 2.0  # tau_c of the arms with words: at the tier's, a gradient through them knows nothing of looks (notebook 07)
TARGETS = tuple(d for d in DOMAIN_NAMES if d != "V")


@dataclass(frozen=True)
class Line:
    """An arm as the study runs it. asks: the question it answers. stage: 1 costs least and decides most. dose: whose
    lambda it takes, a key of `CANDIDATES`, or "" for its own or the tier's. pairs: how many it gets at most."""

    name: str
    asks: str
    stage: int
    options: Mapping[str, object] = field(hash=False)
    dose: str = ""
    pairs: int = len(SEEDS)


def _captions(name: str, asks: str, stage: int, conditioning: str, tau_c: float | None = SOFT) -> Line:
    # the U-Net stays as it is: with adapters it might unlearn the words
    told = {"conditioning": conditioning, "adaptation": "frozen", "tau_c": tau_c}
    return Line(name, asks, stage, told, "captions-predicted")


LINES: tuple[Line, ...] = (
    Line("baseline", "what the others are compared with", 1, {"conditioning": "none"}),
    Line("soft labels along true looks", "what is perfect dark knowledge worth?", 1, {"conditioning": "soft-looks"}),
    Line("label smoothing 0.3", "what is softness worth?", 1, {"conditioning": "label-smoothing"}),
    Line("confidence penalty", "what is doubt worth?", 1, {"conditioning": "confidence-penalty"}),
    Line("DCAC", "the paper's method at this tier's lambda", 2, {}),
    Line("random gradient", "is DCAC more than restlessness?", 2, {"conditioning": "random-gradient"}),
    Line("sum of p squared", "is DCAC a confidence penalty?", 2, {"conditioning": "sum-p-squared"}),
    _captions("captions, predicted", "does a vocabulary make it teach, without cheating?", 2, "captions-predicted"),
    _captions("captions, shuffled", "do the words matter, or only that there are words?", 2, "captions-shuffled"),
    _captions("captions, true", "can this path carry it at all?", 2, "captions-true"),
    Line("DCAC, frozen U-Net", "DCAC as the captions are run", 2, {"adaptation": "frozen"}),
    Line("DCAC, soft", "is it softness, without words?", 2, {"tau_c": SOFT}),
    _captions("captions, sure", "must the pupil be in doubt?", 2, "captions-predicted", tau_c=None),
    Line("DCAC, lambda 1", "the paper's method at the paper's lambda", 3, {"lambda_": 1.0, "tau_c": 0.6}),
    _captions("captions, untrained U-Net", "does the teacher's knowledge matter?", 3, "captions-random-unet"),
    _captions("captions, one pooled token", "are several tokens needed?", 3, "captions-pooled"),
    _captions("captions, anchored", "is a small residual to the empty caption enough?", 3, "captions-anchored"),
    _captions("captions, another view", "identity instead of picture?", 3, "captions-other-view"),
    Line("fast prompts", "can the paper's prompts be learned?", 3, {"conditioning": "fast-prompts"}),
    Line("learned first", "can they, before they teach?", 3, {"conditioning": "learned-first"}),
    Line("captions, contrast", "the signal without the variance?", 4,
         {"conditioning": "captions-contrast", "adaptation": "frozen", "tau_c": SOFT}, "captions-contrast"),
    Line("contrast", "the same with the paper's prompts", 4, {"conditioning": "contrast"}, "captions-contrast"),
    Line("instance-wise, readable", "is the classifier needed?", 4,
         {"conditioning": "instance-readable", "adaptation": "frozen"}, "instance-readable"),
    Line("another view", "the paper's prompts across pictures", 4, {"conditioning": "other-view"}),
    Line("untrained U-Net", "the paper's prompts, a teacher that knows nothing", 4, {"conditioning": "random-unet"}),
    Line("shuffled conditions", "another picture's condition", 4, {"conditioning": "condition-shuffled"}),
    Line("scrambled names", "prompts that mean another person to everyone", 4, {"conditioning": "scrambled-names"}),
    Line("random probabilities", "a check: the encoder hears nothing", 4,
         {"conditioning": "random-probabilities"}, pairs=2),
)  # fmt: skip

#: Candidates of lambda on V, by the arm that is tuned. The first is the quietest.
CANDIDATES: dict[str, tuple[float, ...]] = {
    "captions-predicted": (10.0, 30.0, 100.0, 300.0),
    "captions-contrast": (0.03, 0.1, 0.3),
    "instance-readable": (1.0, 10.0, 30.0),
}


def tuning() -> list[tuple[Experiment, tuple[str, ...]]]:
    """The study `teaching-tuning`: lambda of what has none of its own, trained on MA, measured on V."""
    jobs = [(Experiment(sources="MA", conditioning="none", seed=seed), ("V",)) for seed in TUNING_SEEDS]
    for (arm, candidates), seed in product(CANDIDATES.items(), TUNING_SEEDS):
        for lambda_ in candidates:
            told = {"conditioning": arm, "adaptation": "frozen", "lambda_": lambda_}
            told |= {"tau_c": SOFT} if arm.startswith("captions") else {}
            jobs.append((Experiment(sources="MA", seed=seed, **told), ("V",)))
    return jobs


def choose(table) -> dict[str, float]:
    """The plan's rule on the table of `tuning`: of the candidates of an arm whose mean mAP on V lies within one
    standard error of the best one's (its paired difference to the baseline), the loudest."""
    values = table.set_index(["conditioning", "lambda_", *PAIR])["mAP"]
    baseline, chosen = values.loc["none"].droplevel("lambda_"), {}
    for arm in CANDIDATES:
        found = values.loc[arm].unstack("lambda_").sub(baseline, axis=0).dropna()
        best = found.mean().idxmax()
        enough = found.mean() >= found.mean()[best] - found.sem()[best]
        chosen[arm] = float(max(found.columns[enough]))
    return chosen


def doses() -> dict[str, float]:
    """`choose` on the table of the tuning study: the published one, or that in the runs folder.

    Raises ValueError saying which study comes first."""
    import pandas as pd

    for root in (figures_root(), runs_root()):
        if (file := root / "results" / "teaching-tuning.csv").exists():
            return choose(pd.read_csv(file))
    raise ValueError("lambda has not been chosen on V yet; run python -m dcac_lite study teaching-tuning first.")


def experiment_of(line: Line, source: str, seed: int, chosen: Mapping[str, float]) -> Experiment:
    """A line of the study for one source and seed; chosen: lambda by dose."""
    dose = {"lambda_": chosen[line.dose]} if line.dose else {}
    return Experiment(sources=source, seed=seed, **{**line.options, **dose})


def study() -> list[tuple[Experiment, tuple[str, ...]]]:
    """The study `teaching`, in its order: the pairs of the first look stage by stage, then the replication of stages 1
    and 2 on MS, then the pairs of the second look."""
    chosen, jobs = doses(), []
    first = min(LOOKS)
    for source, stages, seeds in (("MA", (1, 2, 3, 4), SEEDS[:first]), ("MS", (1, 2), SEEDS[:REPLICATION]),
                                  ("MA", (1, 2, 3, 4), SEEDS[first:])):  # fmt: skip
        for stage, seed in product(stages, seeds):
            for line in LINES:
                if line.stage == stage and SEEDS.index(seed) < line.pairs:
                    jobs.append((experiment_of(line, source, seed, chosen), TARGETS))
    return jobs


# ---------------------------------------------------------------- the comparison

#: The hierarchy: each is asked only if the one before it was answered with yes. (better, worse)
PRIMARY = (
    ("captions, predicted", "captions, shuffled"),
    ("captions, predicted", "baseline"),
    ("captions, predicted", "DCAC"),
)
#: Claims of no difference, each tested against MARGIN.
EQUIVALENT = (
    ("DCAC", "baseline"),
    ("DCAC, lambda 1", "baseline"),
    ("DCAC", "random gradient"),
    ("DCAC", "sum of p squared"),
)
MEAN = "mean of unseen"


def named(table):
    """The table of the study with a column `line`, the name of each row's line; rows of no line are left out."""
    lines = {}
    for line in LINES:
        told = {"lambda_": None, "tau_c": None, **line.options}
        e = Experiment(**told).resolved()
        lines.setdefault((e.conditioning, e.adaptation), []).append((line, e))

    def name(row) -> str | None:
        found = lines.get((row.conditioning, row.adaptation), [])
        if len(found) > 1:  # one scheme at several settings; whatever lambda a dose is
            found = [(line, e) for line, e in found if e.tau_c == row.tau_c and (line.dose or e.lambda_ == row.lambda_)]
        return found[0][0].name if found else None

    return table.assign(line=[name(row) for row in table.itertuples()]).dropna(subset="line")


def differences(
    table, pairs: Sequence[tuple[str, str]], source: str = "MA", metric: str = "mAP", planned: bool = False
):
    """Paired differences of lines, (one, other), a DataFrame: `line`, `reference`, `target` ("mean of unseen" and every
    target), `mean`, `low`, `high` (95 %), `n`, `p` (two-sided t test), `p_equal` (TOST, MARGIN). Pairs of lines that do
    not share two seeds yet are left out. planned: of as many seeds as the last look that was reached asks for."""
    import pandas as pd

    here = named(table[table["sources"] == source])
    values = here.pivot_table(index=["line", *PAIR], columns="target", values=metric)
    values[MEAN] = values.drop(columns=source, errors="ignore").mean(axis=1)
    there = set(values.index.get_level_values("line")) if len(values) else set()
    rows = []
    for one, other in pairs:
        if not {one, other} <= there:
            continue
        change = (values.loc[one] - values.loc[other]).dropna()
        change = change[: max((look for look in LOOKS if look <= len(change)), default=None)] if planned else change
        for target in change.columns if len(change) > 1 else ():
            found = change[target]
            facts = {"line": one, "reference": other, "target": target}
            tests = {"p": probability(found), "p_equal": equivalence(found, MARGIN)}
            rows.append(facts | paired_interval(found, 0 * found) | tests)
    columns = ["line", "reference", "target", "mean", "low", "high", "n", "p", "p_equal"]
    return pd.DataFrame(rows, columns=columns)


def to_baseline(table, source: str = "MA", metric: str = "mAP", planned: bool = False):
    """`differences` of every line to the baseline."""
    return differences(table, [(line.name, "baseline") for line in LINES[1:]], source, metric, planned)


def level(pairs: int) -> float | None:
    """The level at which the plan lets so many pairs decide, None before the first look."""
    reached = [look for look in LOOKS if look <= pairs]
    return LOOKS[max(reached)] if reached else None


# ---------------------------------------------------------------- sentences


def _points(row) -> str:
    return f"{row['mean']:+.2f} mAP [{row['low']:+.2f}, {row['high']:+.2f}], {row['n']} pairs"


def verdicts(table, source: str = "MA") -> list[str]:
    """What the plan says of a table of the study, however far it has come: the hierarchy, the claims of no difference,
    and the other arms after Holm's correction. Sentences; nobody types one."""
    lines, going = [], True
    asked = differences(table, PRIMARY, source, planned=True)
    asked = asked[asked["target"] == MEAN].set_index(["line", "reference"])
    for one, other in PRIMARY:
        what = f"{one}, against {other}"
        if (one, other) not in asked.index:
            lines.append(f"{what}: not measured yet.")
            going = False
            continue
        row = asked.loc[(one, other)]
        limit = level(int(row["n"]))
        if limit is None:
            lines.append(f"{what}: {_points(row)}; too early, the plan looks at {min(LOOKS)} pairs.")
            going = False
        elif not going:
            lines.append(f"{what}: {_points(row)}; not asked, since the question before it was not answered with yes.")
        else:
            going = bool(row["p"] < limit and row["mean"] > 0)
            word = "better" if going else "worse" if row["p"] < limit else "not told apart"
            lines.append(f"{what}: {word}, {_points(row)}.")
    equal = differences(table, EQUIVALENT, source, planned=True)
    for _, row in equal[equal["target"] == MEAN].iterrows():
        limit = level(int(row["n"]))
        word = "too early" if limit is None else "equal" if row["p_equal"] < limit else "not shown to be equal"
        lines.append(f"{row['line']} and {row['reference']} within {MARGIN} points: {word}, {_points(row)}.")
    asked_before = {one for one, other in PRIMARY + EQUIVALENT if other == "baseline"}
    rest = to_baseline(table, source, planned=True)
    rest = rest[(rest["target"] == MEAN) & ~rest["line"].isin(asked_before)]
    corrected = dict(zip(rest["line"], holm(rest["p"])))
    found = [
        f"{row['line']} ({_points(row)})"
        for _, row in rest.iterrows()
        if (limit := level(int(row["n"]))) is not None and corrected[row["line"]] < limit
    ]
    early = sum(level(int(n)) is None for n in rest["n"])
    lines.append(
        f"Of the {len(rest)} other arms measured so far, {early} of them too early to tell, "
        f"{len(found)} differ from the baseline after Holm's correction{': ' * bool(found)}{'; '.join(found)}."
    )
    return lines
