"""The tables of the paper as data: which experiments stand in which line, what they are trained on and measured on.

A line with a condition comes in two settings: lambda and tau_c of the paper, and those of the tier, if it has its own.
Where both are the same numbers, so are the runs."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cache

from ..experiment import Experiment
from ..paths import figures_root
from ..tiers import TIERS, paper_tau_c

#: Where a comparison's seeds begin; the tuning studies have used smaller ones.
FIRST_SEED = 10
DOMAINS = ("MA", "D", "MS", "C3")
#: By name the data sets that a protocol leaves out, as source and as target; DukeMTMC-reID was withdrawn.
PROTOCOLS = {"paper": (), "duke-free": ("D",)}


@dataclass(frozen=True)
class Row:
    """A line of a table. name: ours. paper: the line's name in figures/paper/dcac.csv, "" where the paper has none.
    options: what an `Experiment` of this line is told besides sources, seed and setting."""

    name: str
    paper: str
    options: Mapping[str, object] = field(default_factory=dict, hash=False)

    def settings(self, sources: Sequence[str], tier: str, seed: int) -> dict[str, Experiment]:
        """The experiments of this line by setting, "paper" and "tier"; a baseline has none to choose: ""."""
        values = {"tier": tier, "sources": tuple(sources), "seed": seed} | dict(self.options)
        chosen = Experiment(**values).resolved()
        if chosen.conditioning == "none":
            return {"": chosen}
        paper = replace(chosen, lambda_=1.0, tau_c=paper_tau_c(chosen.sources))
        return {"paper": paper, "tier": chosen} if TIERS[tier].lambda_ else {"paper": paper}


@dataclass(frozen=True)
class Table:
    """A table of the paper. claim: in one sentence. notebook: first letters of the one that shows it. reference: name
    of the line that the others are compared with. directions: (sources, target)."""

    number: int
    title: str
    claim: str
    notebook: str
    rows: tuple[Row, ...]
    reference: str
    directions: tuple[tuple[tuple[str, ...], str], ...]


def _single(*sources: str) -> tuple[tuple[tuple[str, ...], str], ...]:
    return tuple(((source,), target) for source in sources for target in DOMAINS if target != source)


_LEFT_OUT = tuple((tuple(d for d in DOMAINS if d != target), target) for target in DOMAINS)
_ABLATION = ((("MA",), "MS"), (("MS",), "MA"))
_BASELINE = Row("Baseline", "Baseline", {"conditioning": "none"})
_DCAC = Row("DCAC", "DCAC")
_LORA = Row("LoRA", "DCAC (LoRA adaptation)")
_FROZEN = Row("Frozen", "DCAC (Frozen)", {"adaptation": "frozen"})
_PARTIAL = (
    Row("Output blocks", "DCAC (Partial fine-tuning 1)", {"adaptation": "output-blocks"}),
    Row("Middle and output blocks", "DCAC (Partial fine-tuning 2)", {"adaptation": "middle-output-blocks"}),
)
_FULL = Row("Full fine-tuning", "DCAC (Full fine-tuning)", {"adaptation": "full"})
_CONDITIONS = (
    Row("Instance-wise", "DCAC (Instance-wise)", {"conditioning": "instance-wise"}),
    Row("Class-wise, as the text says", "DCAC (Class-wise)", {"conditioning": "class-wise"}),
    Row("Class-wise, as the code does", "DCAC (Class-wise)", {"conditioning": "class-wise-rescaled"}),
    Row("Correlation-aware", "DCAC (Correlation-aware)"),
)

TABLES: dict[int, Table] = {
    table.number: table
    for table in (
        Table(
            2, "Trained on Market1501 or DukeMTMC-reID", "DCAC is better than its baseline on every unseen domain.",
            "08", (_BASELINE, _DCAC), "Baseline", _single("MA", "D"),
        ),
        Table(
            3, "Trained on MSMT17 or CUHK03-NP", "DCAC is better than its baseline on every unseen domain.",
            "08", (_BASELINE, _DCAC), "Baseline", _single("MS", "C3"),
        ),
        Table(
            4, "Trained on three domains, tested on the fourth", "DCAC leads on all four domains but one.",
            "08", (Row("Baseline", "", {"conditioning": "none"}), _DCAC), "Baseline", _LEFT_OUT,
        ),
        Table(
            5, "Ways of adapting the U-Net", "With a frozen U-Net the encoder gets worse; with LoRA it gains most.",
            "09", (_BASELINE, _FROZEN, _LORA, *_PARTIAL, _FULL,
                   Row("From scratch", "DCAC (Train from scratch)", {"adaptation": "scratch"})),
            "Baseline", _ABLATION,
        ),
        Table(
            6, "What the U-Net costs", "LoRA costs little more than a frozen U-Net, and nothing of it at inference.",
            "10", (_BASELINE, _FROZEN, _LORA, *_PARTIAL, _FULL), "Baseline", _ABLATION[:1],
        ),
        Table(
            7, "What the U-Net is told", "The correlation-aware condition teaches most.",
            "11", (_BASELINE, *_CONDITIONS), "Baseline", _ABLATION,
        ),
        Table(
            8, "On the source domain itself", "Hardly any accuracy is lost on the domain trained on.",
            "08", (_BASELINE, *_CONDITIONS), "Baseline", ((("MA",), "MA"), (("MS",), "MS")),
        ),
        Table(
            9, "Rank of the adapters", "The best rank is 8 for Market1501 and 32 for MSMT17.",
            "12", tuple(Row(f"Rank {r}", f"rank={r}", {"rank": r}) for r in (8, 16, 32, 64)), "Rank 8", _ABLATION,
        ),
        Table(
            10, "More intricate conditions", "Layers after the condition take away most of its gain.",
            "13", (_BASELINE, _DCAC,
                   Row("Non-linearity", "+ Non-linearity", {"conditioning": "non-linearity"}),
                   Row("BatchNorm", "+ BatchNorm", {"conditioning": "batch-norm"}),
                   Row("ConditionNet", "+ ConditionNet", {"conditioning": "condition-net"})),
            "Baseline", _ABLATION,
        ),
    )
}  # fmt: skip


def left_out() -> tuple[str, ...]:
    """The data sets that the protocol named in DCAC_PROTOCOL leaves out; without the variable it is the paper's, which
    leaves out none. Raises ValueError for a name that is no protocol."""
    name = os.environ.get("DCAC_PROTOCOL") or "paper"
    if name not in PROTOCOLS:
        raise ValueError(f"DCAC_PROTOCOL is {name!r}; expected one of {', '.join(PROTOCOLS)}.")
    return PROTOCOLS[name]


def directions_of(table: Table) -> tuple[tuple[tuple[str, ...], str], ...]:
    """(sources, target) of a table under the protocol: a data set that is left out is no target, and of the sources
    the others stay, so that leave-one-out goes over three domains where the paper has four."""
    absent = left_out()
    found = {
        (tuple(s for s in sources if s not in absent), target): None
        for sources, target in table.directions
        if target not in absent
    }
    return tuple(direction for direction in found if direction[0])


@dataclass(frozen=True)
class Cell:
    """A place in a table: the experiments of one line and setting, one per seed, and a target."""

    table: int
    row: Row
    setting: str
    sources: tuple[str, ...]
    target: str
    experiments: tuple[Experiment, ...]


def cells(numbers: Sequence[int], tier: str, seeds: int) -> list[Cell]:
    """All places of the tables under the protocol, in their order, with `seeds` seeds from FIRST_SEED on. Raises
    ValueError for a number that is none of the paper's tables of results, and see `left_out`."""
    if unknown := [n for n in numbers if n not in TABLES]:
        raise ValueError(f"there is no table {unknown[0]}; expected one of {', '.join(map(str, TABLES))}.")
    if seeds < 1:
        raise ValueError(f"seeds is {seeds}; expected at least 1.")
    found = []
    for table in (TABLES[n] for n in numbers):
        for row in table.rows:
            for sources, target in directions_of(table):
                by_seed = [row.settings(sources, tier, FIRST_SEED + k) for k in range(seeds)]
                for setting in by_seed[0]:
                    experiments = tuple(settings[setting] for settings in by_seed)
                    found.append(Cell(table.number, row, setting, sources, target, experiments))
    return found


def name_of(experiment: Experiment) -> str:
    """What distinguishes a resolved experiment within the tables, whatever its seed: "MA-frozen-lambda1-tau0.6"."""
    e = experiment
    source = "+".join(e.sources)
    if e.conditioning == "none":
        return f"{source}-baseline"
    how = f"lora{e.rank}" if e.adaptation == "lora" else e.adaptation
    return f"{source}-{e.conditioning}-{how}-lambda{e.lambda_:g}-tau{e.tau_c:g}"


def identity(experiment: Experiment) -> tuple:
    """Equal for experiments that differ in their seed only."""
    return tuple(asdict(replace(experiment, seed=0)).items())


@cache
def paper_values():
    """Every number that the paper prints, a DataFrame: table, row, source, target, metric, value."""
    import pandas as pd

    file = figures_root() / "paper" / "dcac.csv"
    return pd.read_csv(file, dtype={"source": str, "target": str}, keep_default_na=False)


def paper_value(table: int, row: str, sources: Sequence[str], target: str, metric: str) -> float:
    """The number in a place of a table of the paper, NaN where it prints none."""
    known = paper_values()
    here = (known["table"] == table) & (known["row"] == row) & (known["source"] == "+".join(sources))
    found = known.loc[here & (known["target"] == target) & (known["metric"] == metric), "value"]
    return float(found.iloc[0]) if len(found) else float("nan")


def printed_gain(source: str, target: str, metric: str = "mAP") -> float:
    """DCAC minus the baseline as the paper prints them for one source, Tables 2 and 3; NaN where it prints none."""
    number = 2 if source in ("MA", "D") else 3
    dcac, baseline = (paper_value(number, line, (source,), target, metric) for line in ("DCAC", "Baseline"))
    return dcac - baseline
