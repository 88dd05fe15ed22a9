"""The paper's claims and what the runs say about each: effect, interval, and a verdict that code reaches."""

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from math import isnan, nan

from ..paths import figures_root
from .gather import measurements, values
from .statistics import interval
from .tables import Cell, cells, name_of, paper_value

#: Points of mAP or R1 within which a difference counts as none.
MARGIN = 0.5
#: Tiers whose numbers say something about the method; the others show that the machinery works.
TELLING = ("lite", "full")
VERDICTS = (
    "reproduced", "contradicted", "equivalent to nothing", "not resolved", "not measured", "not tested here",
)  # fmt: skip


@dataclass(frozen=True)
class Claim:
    """One claim, as figures/paper/claims.toml describes it."""

    id: str
    says: str
    where: str
    tables: tuple[int, ...] = ()
    row: str = ""
    reference: str = ""
    expects: str = "more"
    metric: str = "mAP"
    sources: tuple[str, ...] = ()
    untestable: str = ""


def claims() -> list[Claim]:
    """All claims, in the order of the paper."""
    listed = tomllib.loads((figures_root() / "paper" / "claims.toml").read_text(encoding="utf-8"))["claim"]
    return [Claim(**{k: tuple(v) if isinstance(v, list) else v for k, v in claim.items()}) for claim in listed]


def verdict(effects: Sequence[float], expects: str, margin: float = MARGIN) -> str:
    """What effects, one per seed, say about a claim that expects "more" or "less" than the reference, "no less" than it
    (by `margin`), or "zero" exactly.

    A direction is reproduced or contradicted when the 95 % t interval lies on one side of zero; failing that, the
    effect is equivalent to nothing when its 90 % interval lies within the margin (two one-sided tests at 5 %).
    "No less" is reproduced when the 95 % interval lies above minus the margin, and contradicted when below it."""
    if len(effects) < 2:
        return "not measured"
    if expects == "zero":
        return "reproduced" if not any(effects) else "contradicted"
    wide, narrow = interval(effects), interval(effects, 0.9)
    within = -margin < narrow["low"] and narrow["high"] < margin
    if expects == "no less":
        return "reproduced" if wide["low"] > -margin else "contradicted" if wide["high"] < -margin else "not resolved"
    if expects not in ("more", "less"):
        raise ValueError(f"expects is {expects!r}; expected more, less, no less or zero.")
    right, wrong = (wide["low"] > 0, wide["high"] < 0) if expects == "more" else (wide["high"] < 0, wide["low"] > 0)
    if right or wrong:
        return "reproduced" if right else "contradicted"
    return "equivalent to nothing" if within else "not resolved"


def scorecard(tier: str, seeds: int, known=None):
    """One row for each claim, and for each setting it was tested in, a DataFrame: id, says, where, setting; the paper's
    `paper` effect and ours, `effect`, with `low`, `high` (95 %) over `n` seeds, each the mean over all directions
    of the claim; `lacking` seeds; `verdict` and, where there is something to say, `why`; `same_test_as`, the id of an
    earlier row that compares the same runs, so that nobody counts them twice.

    known: `gather.measurements` of all tables, which are looked for if not given."""
    import pandas as pd

    listed = claims()
    numbers = sorted({n for claim in listed for n in claim.tables})
    places = cells(numbers, tier, seeds)
    known = measurements(places) if known is None else known
    rows: list[dict] = []
    tests: dict[tuple, tuple[str, str]] = {}
    for claim in listed:
        about = {"id": claim.id, "says": claim.says, "where": claim.where, "metric": claim.metric}
        if claim.untestable:
            nothing = {"setting": "", "paper": nan, "effect": nan, "low": nan, "high": nan, "n": 0, "lacking": 0}
            rows.append(about | nothing | {"verdict": "not tested here", "why": claim.untestable, "same_test_as": ""})
            continue
        of_row = [c for c in places if c.table in claim.tables and c.row.name == claim.row and _of(claim, c)]
        if not of_row:
            raise ValueError(f"claim {claim.id}: no table of {claim.tables} has a line {claim.row!r}.")
        for setting in dict.fromkeys(cell.setting for cell in of_row):
            pairs = [(cell, _reference(claim, cell, places)) for cell in of_row if cell.setting == setting]
            test = (claim.metric, claim.expects, *((_runs(cell), _runs(reference)) for cell, reference in pairs))
            first = tests.setdefault(test, (claim.id, setting))
            same = "" if first == (claim.id, setting) else first[0]
            rows.append(about | {"setting": setting} | _tested(claim, pairs, known, tier) | {"same_test_as": same})
    return pd.DataFrame(rows)


def _runs(cell: Cell | None) -> tuple[str, str]:
    """What a place consists of, whatever table it stands in."""
    return ("", "") if cell is None else (name_of(cell.experiments[0]), cell.target)


def _of(claim: Claim, cell: Cell) -> bool:
    return not claim.sources or cell.sources == claim.sources


def _reference(claim: Claim, cell: Cell, places: Sequence[Cell]) -> Cell | None:
    """The place that a place is compared with: the same direction, in the same setting if the line has any."""
    if not claim.reference:
        return None
    same = (cell.table, claim.reference, cell.sources, cell.target)
    found = {c.setting: c for c in places if (c.table, c.row.name, c.sources, c.target) == same}
    if not found:
        raise ValueError(f"claim {claim.id}: table {cell.table} has no line {claim.reference!r}.")
    return found.get(cell.setting) or found[""]


def _tested(claim: Claim, pairs: Sequence[tuple[Cell, Cell | None]], known, tier: str) -> dict:
    def of(cell: Cell | None, seeds: set[int]) -> dict[int, float]:
        if cell is None:
            return dict.fromkeys(seeds, 0.0)
        return values(known, name_of(cell.experiments[0]), cell.target, claim.metric)

    def printed(cell: Cell | None) -> float:
        return 0.0 if cell is None else paper_value(cell.table, cell.row.paper, cell.sources, cell.target, claim.metric)

    wanted = {e.seed for cell, _ in pairs for e in cell.experiments}
    per_direction = []
    for cell, reference in pairs:
        ours, theirs = of(cell, wanted), of(reference, wanted)
        per_direction.append({s: ours[s] - theirs[s] for s in wanted & set(ours) & set(theirs)})
    seeds = sorted(set.intersection(*map(set, per_direction)))
    effects = [sum(by_seed[s] for by_seed in per_direction) / len(per_direction) for s in seeds]
    found = interval(effects)
    paper = sum(printed(cell) - printed(reference) for cell, reference in pairs) / len(pairs)
    facts = {"paper": paper, "effect": found["mean"], "low": found["low"], "high": found["high"], "n": found["n"]}
    facts["lacking"] = len(wanted) - len(seeds)
    if tier not in TELLING:
        why = f"the {tier} tier shows that the machinery works, and nothing about the method."
        return facts | {"verdict": "not tested here", "why": why}
    # the margin is one of points
    reached = verdict(effects, claim.expects, 0.0 if claim.metric == "gradient_ratio" else MARGIN)
    why = f"{len(seeds)} of {len(wanted)} seeds are there." if facts["lacking"] else ""
    if isnan(paper) and claim.reference:
        why = f"{why} The paper prints no number to compare with.".strip()
    return facts | {"verdict": reached, "why": why}
