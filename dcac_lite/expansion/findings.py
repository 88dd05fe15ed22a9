"""What the table of stage 2 says, in sentences written by rule.

A pair is two arms of one seed: the same first weights, the same views of the same originals in every batch."""

from collections.abc import Sequence

import pandas as pd

from ..studies.statistics import interval, paired_interval
from .arms import REFERENCE

CHANGED, SAME = "clothes-changing", "same clothes"
PERFECT = "O2"


def by_seed(table: pd.DataFrame, measure: str, protocol: str = CHANGED) -> pd.DataFrame:
    """A measure of the runs of `measures.rows_of`: a row a seed, a column an arm, in the table's order."""
    rows = table[table["protocol"] == protocol]
    return rows.pivot(index="seed", columns="name", values=measure)[list(dict.fromkeys(rows["name"]))]


def differences(
    table: pd.DataFrame, measure: str = "mAP", protocol: str = CHANGED, reference: str = REFERENCE
) -> pd.DataFrame:
    """What each arm has more than the reference, paired by seed: a row an arm, columns mean, low, high (95 % t
    interval) and n. Arms with fewer than two pairs are left out."""
    wide = by_seed(table, measure, protocol)
    found = {}
    for name in wide.columns.drop(reference):
        pairs = wide[[name, reference]].dropna()
        if len(pairs) > 1:
            found[name] = paired_interval(pairs[name], pairs[reference])
    return pd.DataFrame.from_dict(found, orient="index", columns=["mean", "low", "high", "n"])


def verdict(row: pd.Series) -> str:
    """What an interval of differences shows."""
    return "more" if row["low"] > 0 else "less" if row["high"] < 0 else "no difference seen"


def levels(table: pd.DataFrame, measure: str = "mAP", protocol: str = CHANGED) -> pd.DataFrame:
    """Mean and 95 % t interval of every arm: columns mean, low, high, n."""
    wide = by_seed(table, measure, protocol)
    found = {name: interval(wide[name].dropna()) for name in wide.columns}
    return pd.DataFrame.from_dict(found, orient="index", columns=["mean", "low", "high", "n"])


def _said(row: pd.Series) -> str:
    return f"{row['mean']:+.2f} [{row['low']:+.2f}, {row['high']:+.2f}] over {row['n']:.0f} pairs: {verdict(row)}"


def _by_verdict(there: pd.DataFrame) -> str:
    """Which arms have more than the reference, which less, and of which nothing is seen."""
    found = there.apply(verdict, axis=1)
    groups = [f"{name.capitalize()}: {'; '.join(found.index[found == name])}." for name in dict.fromkeys(found)]
    return " ".join(groups)


def gains(table: pd.DataFrame) -> pd.DataFrame:
    """What every arm has more than the reference when clothes have changed: a row an arm; mAP and R1 with their 95 %
    intervals, as text, and the pairs."""
    parts = {}
    for measure in ("mAP", "R1"):
        rows = differences(table, measure)
        parts[measure] = rows.apply(lambda row: f"{row['mean']:+.2f} [{row['low']:+.2f}, {row['high']:+.2f}]", axis=1)
    return pd.DataFrame(parts | {"pairs": differences(table)["n"].astype(int)})


def _names(there: pd.DataFrame, wanted: Sequence[str]) -> list[str]:
    return [name for name in wanted if name in there.index]


def findings(table: pd.DataFrame) -> list[str]:
    """Sentences on the table as far as it has come: the levels, each arm against the batch-matched control, what a
    method without knowledge of clothes has of the perfect one's gain, same clothes, and what features know of
    clothes."""
    level, first, same = levels(table), levels(table, "R1"), levels(table, protocol=SAME)
    changed, rank1 = differences(table), differences(table, "R1")
    said = [
        "**Levels.** mAP and rank-1 when clothes have changed, and mAP when not: "
        + "; ".join(
            f"{name} {level.loc[name, 'mean']:.2f} and {first.loc[name, 'mean']:.2f}, {same.loc[name, 'mean']:.2f}"
            for name in level.index[:4]
        )
        + ".",
        f"**Against {REFERENCE}**, mAP when clothes have changed. {_by_verdict(changed)}",
        f"**Rank-1 likewise.** {_by_verdict(rank1)}",
    ]
    if PERFECT in changed.index and changed.loc[PERFECT, "low"] > 0:
        whole = changed.loc[PERFECT, "mean"]
        kinds = table.drop_duplicates("name").set_index("name")["kind"].dropna()
        others = [
            name for name in changed.index if name in kinds and kinds[name] not in kinds[[PERFECT, REFERENCE]].values
        ]
        parts = [f"{name} {100 * changed.loc[name, 'mean'] / whole:.0f} %" for name in others]
        said.append(f"**Of what perfect painting gains** ({whole:+.2f} mAP): {', '.join(parts)}.")
    else:
        said.append("**Perfect painting gains nothing that these pairs can see**, so no method can be judged by it.")
    among = differences(table, reference=PERFECT)
    if ways := _names(among, [name for name in among.index if name.startswith(f"{PERFECT}, ")]):
        said.append(
            f"**How copies are shown**, against {PERFECT} (pairs, a pool that grows). "
            + "; ".join(f"{name}: {_said(among.loc[name])}" for name in ways)
            + "."
        )
    plain = f"{REFERENCE}, without CAL"
    if plain in set(table["name"]):
        rest = differences(table, reference=plain)
        names = _names(rest, [name for name in rest.index if name.endswith("without CAL")])
        said.append(
            f"**Without the clothes losses**, against {plain}. "
            + "; ".join(f"{name}: {_said(rest.loc[name])}" for name in names)
            + "."
        )
    astray, colours = levels(table, "misled"), levels(table, "colours")
    known = _names(astray, ["ID loss only", "CAL", REFERENCE, PERFECT])
    said.append(
        "**Clothes.** Of the wrong first answers wear the query's outfit: "
        + ", ".join(f"{name} {astray.loc[name, 'mean']:.0f} %" for name in known)
        + ". Colours of tops that a linear reader names: "
        + ", ".join(f"{name} {colours.loc[name, 'mean']:.0f} %" for name in known)
        + "."
    )
    return said


def refinement_gains(table: pd.DataFrame, measure: str, count: int = 6, m: int = 5) -> pd.DataFrame:
    """What voters add to a measure on the same heads, paired by seed, from a table of `refining.rows_of`: a row for
    each (name, voters, rule), columns as in `differences`. count, m: l and m of the rules; the mean feature
    knows no m."""
    plain = table[table["rule"] == "none"].set_index(["name", "seed"])[measure]
    at = table[(table["l"] == count) & table["m"].isin([0, m]) & (table["rule"] != "none")]
    found = {}
    for place, rows in at.groupby(["name", "voters", "rule"], sort=False):
        both = rows.set_index(["name", "seed"])[measure]
        if len(both) > 1:
            found[place] = paired_interval(both, plain[both.index])
    return pd.DataFrame.from_dict(found, orient="index", columns=["mean", "low", "high", "n"])


def refinement_findings(table: pd.DataFrame, name: str = PERFECT) -> list[str]:
    """Sentences on refinement of one arm's answers, six voters and m = 5."""
    plain = table[(table["rule"] == "none") & (table["name"] == name)][["mAP", "R1"]].mean()
    bound = table[(table["name"] == name) & (table["m"] == 5)]["bound"].dropna().mean()
    said = [
        f"**Before.** {name}: mAP {plain['mAP']:.2f}, rank-1 {plain['R1']:.2f}; no refinement with m = 5 can lift "
        f"rank-1 over rank-5, {bound:.2f}."
    ]
    for measure in ("R1", "mAP"):
        gains = refinement_gains(table, measure)
        of = [f"{rule}, {voters}: {_said(row)}" for (arm, voters, rule), row in gains.iterrows() if arm == name]
        said.append(f"**What six voters add to {measure}.** {'; '.join(of)}.")
    return said
