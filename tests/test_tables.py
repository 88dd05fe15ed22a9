"""The paper's tables gathered from made-up measurements, their statistics by hand, and the verdicts."""

import math

import pandas as pd
import pytest

from dcac_lite import Experiment
from dcac_lite.book.results import cell_table, difference_plot, in_words, scorecard_plot
from dcac_lite.code_key import RESULTS, code_key
from dcac_lite.studies import gather as gathering
from dcac_lite.studies.gather import gather, measurements, values
from dcac_lite.studies.scorecard import VERDICTS, claims, scorecard, verdict
from dcac_lite.studies.statistics import holm, interval, paired_interval, probability, smallest_effect
from dcac_lite.studies.tables import FIRST_SEED, TABLES, cells, name_of, paper_value, paper_values

SEEDS = 3


def made_up(numbers, gain, tier="lite", seeds=SEEDS, luck=(0.0, 1.0, -1.0)):
    """Measurements of these tables: 30 plus luck that all lines of a seed share, plus `gain(cell)`."""
    rows = []
    for cell in cells(numbers, tier, seeds):
        for k, experiment in enumerate(cell.experiments):
            level = 30 + luck[k] + gain(cell, k)
            about = {"name": name_of(experiment), "seed": experiment.seed, "target": cell.target, "origin": "here"}
            rows.append(about | {"mAP": level, "R1": level + 10, "gradient_ratio": 0.0})
    return pd.DataFrame(rows).drop_duplicates(["name", "seed", "target"])


def the(table, **place):
    for name, value in place.items():
        table = table[table[name] == value]
    (row,) = table.to_dict("records")
    return row


# ---------------------------------------------------------------- what the tables consist of


def test_every_line_of_the_paper_s_own_method_is_there():
    printed = paper_values()
    for number, table in TABLES.items():
        ours = {row.paper for row in table.rows} - {""} | {"Inference"}
        own = printed[(printed["table"] == number) & ((number > 4) | printed["row"].isin(["Baseline", "DCAC"]))]
        assert set(own["row"]) <= ours, number
        directions = set(zip(own["source"], own["target"])) - {("", ""), ("", "Average")}
        assert directions == {("+".join(sources), target) for sources, target in table.directions}


def test_the_paper_s_numbers_are_found_by_their_place():
    assert paper_value(7, "DCAC (Correlation-aware)", ("MA",), "MS", "mAP") == 23.4
    assert paper_value(4, "DCAC", ("D", "MS", "C3"), "MA", "R1") == 80.0
    assert math.isnan(paper_value(4, "", ("D", "MS", "C3"), "MA", "mAP"))


def test_lines_of_a_seed_differ_in_their_condition_only_and_settings_in_lambda_and_tau():
    (cell,) = [c for c in cells([9], "full", 1) if c.row.name == "Rank 16" and c.sources == ("MS",)]
    assert cell.experiments == (
        Experiment("full", ("MS",), rank=16, seed=FIRST_SEED, lambda_=1.0, tau_c=1.0).resolved(),
    )
    by_setting = {c.setting: c.experiments[0] for c in cells([7], "lite", 1) if c.row.name == "Correlation-aware"}
    assert set(by_setting) == {"paper", "tier"} and by_setting["paper"].lambda_ == 1.0


def test_what_is_no_table_is_refused():
    with pytest.raises(ValueError, match="there is no table 1; expected one of 2, 3, 4"):
        cells([1], "lite", 5)
    with pytest.raises(ValueError, match="seeds is 0; expected at least 1"):
        cells([2], "lite", 0)


# ---------------------------------------------------------------- statistics by hand


def test_intervals_and_p_by_hand():
    found = interval([1.0, 2.0, 3.0])  # standard error 1 / sqrt(3), t = 4.3027
    assert (found["low"], found["high"]) == pytest.approx((2 - 4.3027 / 3**0.5, 2 + 4.3027 / 3**0.5), abs=1e-4)
    assert paired_interval([3, 5, 7], [2, 3, 4]) == interval([1, 2, 3])
    assert probability([1.0, 2.0, 3.0]) == pytest.approx(0.0742, abs=1e-4)  # t = 3.4641 with 2 degrees of freedom
    assert (probability([0.0, 0.0]), probability([1.0, 1.0])) == (1.0, 0.0)
    assert math.isnan(interval([])["mean"]) and interval([4.0])["mean"] == 4.0 and math.isnan(interval([4.0])["low"])


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03, float("nan")])[:3] == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == [1.0, 1.0] and math.isnan(holm([float("nan")])[0])


def test_power_agrees_with_published_tables():
    assert smallest_effect(1.0, 10) == pytest.approx(0.996, abs=0.01)
    assert smallest_effect(1.0, 34) == pytest.approx(0.495, abs=0.01)
    assert math.isnan(smallest_effect(1.0, 1)) and smallest_effect(0.0, 5) == 0.0


# ---------------------------------------------------------------- gathering


def test_a_table_has_means_pairs_and_the_paper_s_numbers():
    small = (0.9, 1.0, 1.1)
    known = made_up([7], lambda cell, k: small[k] if cell.row.name == "Correlation-aware" else 0.0)
    table = gather(7, "lite", SEEDS, known)
    row = the(table, row="Correlation-aware", setting="paper", source="MA", target="MS", metric="mAP")
    assert row["mean"] == pytest.approx(31.0) and (row["n"], row["pairs"], row["lacking"]) == (3, 3, 0)
    reach = 4.3027 * 0.1 / 3**0.5  # the luck that both lines share has gone
    assert (row["difference_low"], row["difference_high"]) == pytest.approx((1 - reach, 1 + reach), abs=1e-4)
    assert (row["paper"], row["paper_difference"]) == pytest.approx((23.4, 1.4))
    mean = the(table, row="Correlation-aware", setting="paper", target="mean", metric="mAP")
    assert mean["difference"] == pytest.approx(1.0) and mean["paper_difference"] == pytest.approx((1.4 + 1.1) / 2)
    baseline = the(table, row="Baseline", target="mean", metric="R1")
    assert baseline["pairs"] == 0 and math.isnan(baseline["difference"]) and baseline["mean"] == pytest.approx(40.0)


def test_a_hole_is_shown_and_takes_nothing_else_with_it():
    known = made_up([5], lambda cell, k: 0.1 * k)
    lost = (known["name"].str.contains("frozen")) & (known["seed"] == FIRST_SEED)
    lost |= known["name"].str.contains("scratch") & known["name"].str.startswith("MA")
    table = gather(5, "lite", SEEDS, known[~lost])
    frozen = the(table, row="Frozen", setting="paper", source="MA", metric="mAP")
    assert (frozen["n"], frozen["lacking"], frozen["pairs"]) == (2, 1, 2)
    scratch = the(table, row="From scratch", setting="tier", source="MA", metric="mAP")
    assert (scratch["n"], scratch["lacking"]) == (0, 3) and math.isnan(scratch["mean"])
    shown = cell_table(table).query("line == 'From scratch' and `trained on` == 'MA'")
    assert (
        set(shown["here [95 %]"]) == {"–"}
        and set(shown["seeds"]) == {"0 of 3"}
        and 21.9 == float(shown["paper"].iloc[0])
    )
    assert "lacking" in in_words(table)
    assert the(table, row="Full fine-tuning", setting="tier", source="MA", metric="mAP")["lacking"] == 0


def test_without_any_run_the_table_is_there_all_the_same():
    empty = pd.DataFrame(columns=["name", "seed", "target", "mAP", "R1", "gradient_ratio"])
    for number in TABLES:
        table = gather(number, "lite", SEEDS, empty)
        assert (table["n"] == 0).all() and table["paper"].notna().any()
        assert "no difference with an interval yet" in in_words(table)
        difference_plot(table)
    assert set(scorecard("lite", SEEDS, empty)["verdict"]) == {"not measured", "not tested here"}


def test_runs_are_asked_for_by_what_they_are(monkeypatch, tmp_path):
    """A run that is damaged, and one that is not there, are holes; nothing is trained."""
    from dcac_lite import runs

    places = cells([2, 8], "smoke", 2)
    there = {name_of(c.experiments[0]) for c in places if c.row.name == "Baseline"}
    monkeypatch.setattr(runs, "find", lambda e: e if name_of(e) in there else None)

    def rows(run, targets):
        if run.seed == FIRST_SEED:
            raise ValueError("damaged")
        if targets == ["MS"]:
            raise FileNotFoundError("this data set is not there")
        facts = {"sources": "+".join(run.sources), "data": "as drawn", "mAP": 1.0, "R1": 2.0, "gradient_ratio": 0.0}
        facts["precision"] = "no"
        return [facts | {"seed": run.seed, "target": t} for t in targets]

    monkeypatch.setattr("dcac_lite.studies.study.rows_of_run", rows)
    facts = {"name": "MA-baseline", "tier": "smoke", "sources": "MA", "seed": FIRST_SEED, "target": "MA", "mAP": 9.0}
    facts |= {"code_key": code_key(RESULTS), "data": "as drawn", "precision": "no"}
    others = [facts | {"target": "D", "code_key": "of other code"}, facts | {"target": "C3", "data": "of other people"}]
    others.append(facts | {"seed": FIRST_SEED + 1, "target": "MS", "precision": "bf16"})  # this seed's runs are not
    pd.DataFrame([facts, *others]).to_csv(tmp_path / "tables-smoke.csv", index=False)
    monkeypatch.setattr("dcac_lite.studies.study.results_file", lambda study: tmp_path / f"{study}.csv")
    known = measurements(places)
    assert values(known, "MA-baseline", "MA", "mAP") == {FIRST_SEED: 9.0, FIRST_SEED + 1: 1.0}
    for target in ("D", "C3"):  # what is of other code, data or precision stands beside nothing
        assert values(known, "MA-baseline", target, "mAP") == {FIRST_SEED + 1: 1.0}
    assert values(known, "MA-baseline", "MS", "mAP") == {} and sum(known["origin"] == "tables") == 1


def test_the_comparison_s_runs_are_lines_of_the_tables():
    """No run is needed for what was published: baseline and DCAC, trained on MA and MS."""
    known = gathering.shipped("lite")
    assert set(known["origin"]) == {"comparison"} or set(known["origin"]) == {"comparison", "tables"}
    table = gather(7, "lite", 8, known)
    line = the(table, row="Correlation-aware", setting="tier", source="MA", target="MS", metric="mAP")
    assert line["pairs"] == 8 and line["difference_low"] < line["difference"] < line["difference_high"]


# ---------------------------------------------------------------- verdicts


@pytest.mark.parametrize(
    ("effects", "expects", "reached"),
    [
        ([1.0, 1.1, 0.9], "more", "reproduced"),
        ([1.0, 1.1, 0.9], "less", "contradicted"),
        ([-1.0, -1.1, -0.9], "less", "reproduced"),
        ([-1.0, -1.1, -0.9], "more", "contradicted"),
        ([0.1, -0.1, 0.0, 0.1, -0.1], "more", "equivalent to nothing"),
        ([2.0, -2.0, 1.0], "more", "not resolved"),
        ([0.1, -0.1, 0.0, 0.1, -0.1], "no less", "reproduced"),
        ([2.0, -2.0, 1.0], "no less", "not resolved"),
        ([3.0, 3.1, 2.9], "no less", "reproduced"),
        ([-3.0, -3.1, -2.9], "no less", "contradicted"),
        ([-0.3, -0.3, -0.3], "no less", "reproduced"),  # an effect, and too small to care about
        ([0.0, 0.0], "zero", "reproduced"),
        ([0.0, 1e-9], "zero", "contradicted"),
        ([5.0], "more", "not measured"),
        ([], "no less", "not measured"),
    ],
)
def test_the_verdict_follows_the_interval(effects, expects, reached):
    assert verdict(effects, expects) == reached and reached in VERDICTS


def test_a_claim_in_a_wrong_word_is_refused():
    with pytest.raises(ValueError, match="expects is 'better'; expected more, less, no less or zero"):
        verdict([1.0, 2.0], "better")


def test_every_claim_names_lines_that_are_there():
    listed = claims()
    assert len(listed) >= 25 and len({claim.id for claim in listed}) == len(listed)
    for claim in listed:
        assert claim.untestable or claim.tables
        for number in claim.tables:
            names = {row.name for row in TABLES[number].rows} | {""}
            assert claim.row in names and claim.reference in names and claim.row, claim.id
    # where the paper prints both numbers, they are on the claimed side
    card = scorecard("full", 2, pd.DataFrame(columns=["name", "seed", "target", "mAP", "R1", "gradient_ratio"]))
    expects = {claim.id: claim.expects for claim in listed}
    for row in card[card["paper"].notna() & (card["metric"] != "gradient_ratio")].itertuples():
        assert {"more": row.paper > 0, "less": row.paper < 0, "no less": row.paper > -0.5}[expects[row.id]], row.id


def test_the_scorecard_computes_its_verdicts_from_the_runs():
    numbers = sorted({n for claim in claims() for n in claim.tables})
    wobble = (0.0, 0.02, -0.02)
    known = made_up(
        numbers, lambda c, k: wobble[k] + (2.0 if c.row.name in ("Correlation-aware", "DCAC", "LoRA") else 0)
    )
    card = scorecard("lite", SEEDS, known)
    frozen = the(card, id="lora-over-frozen", setting="paper")
    assert frozen["verdict"] == "reproduced" and frozen["effect"] == pytest.approx(2.0, abs=0.02)
    assert frozen["paper"] == pytest.approx(((23.4 - 21.3) + (52.1 - 50.8)) / 2)
    assert the(card, id="class-wise-code-is-silent", setting="paper")["verdict"] == "reproduced"
    assert the(card, id="source-kept", setting="tier")["verdict"] == "reproduced"  # a gain costs nothing
    assert set(card.loc[card["id"] == "dark-knowledge-helps", "same_test_as"]) == {"lora-helps"}
    assert set(card.loc[card["id"] == "lora-helps", "same_test_as"]) == {""}
    assert scorecard_plot(card)
    smoke = scorecard("smoke", SEEDS, made_up(numbers, lambda c, k: 0.0, "smoke"))
    assert set(smoke["verdict"]) == {"not tested here"}


def test_table_6_counts_to_the_digit():
    from dcac_lite.studies.overhead import forward_cost, parameters

    counted = parameters()
    assert (counted["counted"].round(2) == counted["paper"]).all() and len(counted) == 7
    cost = dict(zip(forward_cost()["part"], forward_cost()["TFLOP"]))
    assert cost["image tower"] == pytest.approx(1.451, abs=1e-3)
    assert cost["image tower"] + cost["projecting the patches"] == pytest.approx(1.458, abs=1e-3)
    assert sum(cost.values()) == pytest.approx(8.52, rel=0.01)
    assert sum(cost.values()) - cost["adapters"] == pytest.approx(8.50, rel=0.01)
