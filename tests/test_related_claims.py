"""The claims of the two related systems: tables that bear them out, contradict them, or say too little."""

import pandas as pd
import pytest

from dcac_lite.paths import figures_root
from dcac_lite.studies import related
from dcac_lite.studies.related import RelatedClaim, effects, in_words, related_claims, related_scorecard
from dcac_lite.studies.study import results_file

TABLES = {name: pd.read_csv(results_file(name)) for name in {c.table for c in related_claims() if c.table}}


def claim(**told) -> RelatedClaim:
    told = {"table": "t", "row": {"name": "new"}, "reference": {"name": "old"}} | told
    return RelatedClaim("some", "a system", "It helps.", "Sec. 1", **told)


def table(new, old) -> pd.DataFrame:
    rows = [("new", k, v) for k, v in enumerate(new)] + [("old", k, v) for k, v in enumerate(old)]
    return pd.DataFrame(rows, columns=["name", "seed", "mAP"])


def test_differences_are_of_the_same_seed():
    assert effects(claim(), table([3, 5, 9], [1, 2])) == [2, 3]


def test_a_line_that_is_not_there_or_twice_is_named():
    with pytest.raises(ValueError, match="claim some: 0 rows of t are {'name': 'newer'}"):
        effects(claim(row={"name": "newer"}), table([1], [1]))
    with pytest.raises(ValueError, match="claim some: 4 rows of t are {}"):
        effects(claim(row={}), table([1, 2], [1, 2]))


@pytest.mark.parametrize(
    ("new", "expects", "verdict"),
    [
        ([3.0, 3.1, 2.9], "more", "reproduced"),
        ([-3.0, -3.1, -2.9], "more", "contradicted"),
        ([-3.0, -3.1, -2.9], "less", "reproduced"),
        ([0.0, 0.1, -0.1], "more", "equivalent to nothing"),
        ([3.0, -3.1, 1.9], "more", "not resolved"),
        ([3.0], "more", "not measured"),
    ],
)
def test_verdicts_are_those_of_the_scorecard(new, expects, verdict, monkeypatch):
    monkeypatch.setattr(related, "related_claims", lambda: [claim(expects=expects)])
    (row,) = related_scorecard({"t": table(new, [0.0] * len(new))}).itertuples()
    assert row.verdict == verdict and row.n == len(new)
    assert (row.why == "One seed.") == (len(new) == 1)


def test_what_is_no_points_has_no_margin(monkeypatch):
    """Shares of a spread differ by hundredths: none of them is nothing because it is below half a point."""
    monkeypatch.setattr(related, "related_claims", lambda: [claim(metric="spread kept")])
    shares = table([0.70, 0.80, 0.75], [0.71, 0.78, 0.76]).rename(columns={"mAP": "spread kept"})
    assert related_scorecard({"t": shares}).loc[0, "verdict"] == "not resolved"


def test_every_claim_finds_its_rows_in_the_published_tables():
    listed = related_claims()
    assert len({c.id for c in listed}) == len(listed) and {c.system for c in listed} == {"DLCR", "generative Re-ID"}
    card = related_scorecard(TABLES)
    tested = card[card["verdict"] != "not tested here"]
    assert tested["n"].ge(1).all() and card.loc[card["verdict"] == "not tested here", "why"].str.len().gt(0).all()
    said = " ".join(in_words(card))
    assert all(c.id in said for c in tested.itertuples() if c.verdict in ("reproduced", "contradicted"))


def test_printed_effects_are_differences_of_the_papers_table():
    """Of Table A1, trained and tested on PRCC."""
    printed = pd.read_csv(figures_root() / "paper" / "dlcr.csv")
    rows = printed[(printed["table"] == "A1") & (printed["dataset"] == "PRCC")]
    values = {(row.row[0], row.metric): row.value for row in rows.itertuples()}
    checked = 0
    for c in related_claims():
        if c.system == "DLCR" and c.where.startswith("Table A1, rows"):
            one, other = c.where.removeprefix("Table A1, rows ").split(" and ")
            assert c.paper == pytest.approx(values[one, c.metric] - values[other, c.metric]), c.id
            checked += 1
    assert checked == 6
