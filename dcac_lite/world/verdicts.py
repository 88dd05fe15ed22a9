"""What the embedded world shall ask of an encoder, as rules on the table of references."""

from dataclasses import dataclass

import pandas as pd

from ..data.registry import VALIDATION

ANY = "none"  # the source of what was not trained on any domain
#: Largest mAP of the best reference of a kind, relative to the fine-tuned encoder's.
SHARES = {"pixels": 1 / 3, "histograms": 1 / 2, "zero-shot": 1 / 2}
BELOW = ("gradients", "both", "patches", "network")  # kinds that shall only stay below it
SOURCE_RANGE, UNSEEN_RANGE, ORACLE = (65, 95), (20, 55), 95  # percent


@dataclass(frozen=True)
class Verdict:
    """Whether a rule holds for a source; None where what it is about was not measured."""

    source: str
    holds: bool | None
    rule: str
    found: str

    def __str__(self) -> str:
        mark = {True: "holds", False: "FAILS", None: "not measured"}[self.holds]
        return f"{self.source}: {mark}: {self.rule} ({self.found})"


def sources_of(table: pd.DataFrame) -> list[str]:
    """The domains that references of a table were trained on, in its order."""
    return [source for source in table["source"].unique() if source != ANY]


def levels(table: pd.DataFrame, source: str) -> pd.DataFrame:
    """mAP of every reference on its source and, averaged, on the unseen domains, which are all others of the
    table but the one that settings were chosen on: index reference, columns kind, source, unseen."""
    own = table[table["source"].isin([source, ANY])]
    seen = own["target"] == source
    on_source = own[seen].set_index("reference")[["kind", "mAP"]].rename(columns={"mAP": "source"})
    unseen = own[~seen & (own["target"] != VALIDATION)]
    return on_source.join(unseen.groupby("reference")["mAP"].mean().rename("unseen"))


def verdicts(table: pd.DataFrame) -> list[Verdict]:
    """The rules on a table of `report.report`, source by source."""
    found = []
    for source in sources_of(table):
        level = levels(table, source)
        tuned = level[level["kind"] == "fine-tuned"].iloc[0]
        for place, (low, high) in (("source", SOURCE_RANGE), ("unseen", UNSEEN_RANGE)):
            rule = f"fine-tuned encoder on {place} domains within {low} to {high}"
            found.append(Verdict(source, bool(low <= tuned[place] <= high), rule, f"{tuned[place]:.1f}"))
        for kind, share in (SHARES | dict.fromkeys(BELOW, 1.0)).items():
            of_kind = level[level["kind"] == kind]
            found += [_at_most(source, of_kind, tuned, kind, share, place) for place in ("source", "unseen")]
        oracle = table.loc[table["kind"] == "oracle", "mAP"]
        rule = f"oracle at least {ORACLE} on every domain"
        least = None if oracle.empty else bool(oracle.min() >= ORACLE)
        found.append(Verdict(source, least, rule, "no row" if oracle.empty else f"least {oracle.min():.1f}"))
    return found


def _at_most(source: str, level: pd.DataFrame, tuned: pd.Series, kind: str, share: float, place: str) -> Verdict:
    rule = f"{kind} at most {share:.2f} of the fine-tuned encoder on {place} domains"
    if level.empty:
        return Verdict(source, None, rule, "no row")
    best, ratio = level[place].max(), level[place].max() / tuned[place]
    words = f"{ratio:.2f}: {level[place].idxmax()}, {best:.1f} of {tuned[place]:.1f}"
    return Verdict(source, bool(ratio <= share), rule, words)
