"""What bfloat16 does to a result, on tables with a known answer."""

import pandas as pd
import pytest

from dcac_lite.studies.rounding import rounding, sentence


def table(shift: float, seeds: int = 4) -> pd.DataFrame:
    """Runs of `seeds` seeds on MA; bfloat16 adds `shift` to DCAC's mAP on every unseen target, give or take 0.01."""
    rows = []
    for seed in range(seeds):
        for scheme, gain in (("none", 0.0), ("correlation-aware", 0.3 * (-1) ** seed)):
            for precision in ("no", "bf16"):
                moved = shift + 0.01 * (-1) ** seed if (scheme, precision) == ("correlation-aware", "bf16") else 0.0
                facts = {"sources": "MA", "conditioning": scheme, "precision": precision, "seed": seed}
                values = {
                    "MA": 90.0 + seed * 100 * moved,
                    "D": 50 + seed + gain + moved,
                    "C3": 40 + seed + gain + moved,
                }
                rows += [facts | {"target": target, "mAP": value} for target, value in values.items()]
    return pd.DataFrame(rows)


def test_a_shift_of_unseen_targets_is_found_and_the_source_is_left_out():
    found = rounding(table(0.2)).set_index("what")
    assert found.loc["baseline", "mean"] == 0 and found.loc["DCAC", "mean"] == pytest.approx(0.2)
    assert found.loc["DCAC less baseline", "low"] > 0.15 and set(found["n"]) == {4}
    assert found.loc["DCAC less baseline", "scatter"] == pytest.approx(0.3 * (4 / 3) ** 0.5)


def test_the_sentence_says_moved_or_not_and_beside_what():
    moved, still = (rounding(table(shift)).iloc[2] for shift in (0.2, 0.0))
    assert sentence(moved).startswith("DCAC less baseline: bfloat16 moves it, +0.20 mAP") and "less than" in sentence(
        moved
    )
    assert "is not seen to move it" in sentence(still)
    assert "more than the" in sentence(rounding(table(3.0)).iloc[2])


def test_a_seed_that_lacks_a_run_is_left_out():
    whole = table(0.1)
    lacking = whole[~((whole["seed"] == 2) & (whole["precision"] == "no") & (whole["conditioning"] == "none"))]
    assert set(rounding(lacking)["n"]) == {3}
