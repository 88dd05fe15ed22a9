"""What the runs say about the claims of the two related systems, by the rule of `scorecard.verdict`.

The arms of these systems are no `Experiment`, so their tables are read as they are: a claim selects rows of one table
by the values of columns, and what it is compared with likewise."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import nan

import pandas as pd

from ..paths import figures_root
from .scorecard import MARGIN, VERDICTS, verdict
from .statistics import interval

#: Metrics in points; the margin is one of points, so the others have none.
IN_POINTS = ("mAP", "R1", "misled")


@dataclass(frozen=True)
class RelatedClaim:
    """One claim, as figures/paper/claims-related.toml describes it."""

    id: str
    system: str
    says: str
    where: str
    table: str = ""
    row: Mapping[str, object] = field(default_factory=dict)
    reference: Mapping[str, object] = field(default_factory=dict)
    expects: str = "more"
    metric: str = "mAP"
    paper: float = nan
    untestable: str = ""


def related_claims() -> list[RelatedClaim]:
    """All claims, in the order of the file."""
    file = figures_root() / "paper" / "claims-related.toml"
    return [RelatedClaim(**claim) for claim in tomllib.loads(file.read_text(encoding="utf-8"))["claim"]]


def effects(claim: RelatedClaim, table: pd.DataFrame) -> list[float]:
    """The claim's line less its reference, one number for each seed that both have.

    Raises ValueError where the table has no such line, or more than one of a seed."""
    one, other = (_by_seed(claim, table, rows) for rows in (claim.row, claim.reference))
    return (one - other).dropna().tolist()


def _by_seed(claim: RelatedClaim, table: pd.DataFrame, wanted: Mapping[str, object]) -> pd.Series:
    chosen = table
    for column, value in wanted.items():
        chosen = chosen[chosen[column] == value]
    if chosen.empty or chosen["seed"].duplicated().any():
        raise ValueError(f"claim {claim.id}: {len(chosen)} rows of {claim.table} are {dict(wanted)}, not one a seed.")
    return chosen.set_index("seed")[claim.metric]


def related_scorecard(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """One row for each claim: system, id, says, where, metric, the paper's `paper` effect and ours, `effect`, with
    `low`, `high` (95 % t interval) over `n` seeds, `verdict` and, where there is something to say, `why`. A claim
    that nothing tells apart has no margin unless its metric is in points.

    tables: the published ones, by name."""
    rows = []
    for claim in related_claims():
        why, found = claim.untestable, {"mean": nan, "low": nan, "high": nan, "n": 0}
        reached = "not tested here"
        if not why:
            per_seed = effects(claim, tables[claim.table])
            found = interval(per_seed)
            reached = verdict(per_seed, claim.expects, MARGIN if claim.metric in IN_POINTS else 0.0)
            why = "One seed." if len(per_seed) == 1 else ""
        names = {name: getattr(claim, name) for name in ("system", "id", "says", "where", "metric", "paper")}
        numbers = {"effect": found["mean"], "low": found["low"], "high": found["high"], "n": found["n"]}
        rows.append(names | {"setting": ""} | numbers | {"verdict": reached, "why": why})
    return pd.DataFrame(rows)


def in_words(card: pd.DataFrame) -> list[str]:
    """Verdicts counted for each system, and which of them, in sentences."""
    said = []
    for system in card["system"].unique():
        rows = card[card["system"] == system]
        counts = rows["verdict"].value_counts().reindex(VERDICTS, fill_value=0)
        parts = [f"{n} {name}" for name, n in counts.items() if n]
        line = f"**{system}**, {len(rows)} claims: {', '.join(parts)}."
        for name in ("reproduced", "contradicted", "equivalent to nothing"):
            if len(which := rows[rows["verdict"] == name]):
                line += f" *{name.capitalize()}*: {', '.join(which['id'])}."
        said.append(line)
    return said
