"""The sentences of notebook 07 follow the numbers."""

import numpy as np
import pandas as pd

from dcac_lite.book.teaching_findings import ceiling, findings


def test_a_teacher_listens_where_the_interval_says_so():
    own = np.full(6, 0.2)
    errors = {"own": own, "another picture's": own + [0.01, 0.012, 0.011, 0.009, 0.01, 0.011]}
    deaf = {"own": own, "another picture's": own + [0.01, -0.01, 0.012, -0.012, 0.01, -0.01]}
    by_picture = pd.concat({"words": pd.DataFrame(errors), "random prompts": pd.DataFrame(deaf)})
    teachers = ["words", "random prompts"]
    votes = pd.DataFrame({"vote": "tried in full", "teacher": teachers, "rank correlation": [0.5, 0.01]})
    soft = pd.DataFrame(
        {"teacher": 2 * teachers, "tau_c": [0.3, 0.3, 2.0, 2.0], "p": [0.9, 0.9, 0.1, 0.1]}
        | {"rank correlation": [0.0, 0.02, 0.4, 0.03]}
    )
    directions = pd.DataFrame({"teacher": teachers, "with sum p²": [0.1, 0.9], "by chance, either sign": [0.8, 0.9]})
    heard, known, said, instead = findings(by_picture, votes, soft, directions)
    assert "words: yes, a stranger's condition costs +5.3 % [+4.7" in heard and "random prompts: not seen" in heard
    assert "words 0.50, random prompts 0.01" in known
    assert "words: 0.00 where the right person has p = 0.90, 0.40 where he has 0.10" in said
    assert "random prompts: +0.90 (by chance 0.90 of either sign)" in instead


def test_the_ceiling_is_judged_at_the_level_of_the_look():
    """An interval of 95 % may leave zero out where the first look, at 2 %, does not."""

    def said(pairs: int, p: float) -> str:
        row = {"line": "soft labels along true looks", "mean": 0.31, "low": 0.01, "high": 0.61, "n": pairs, "p": p}
        return ceiling(pd.DataFrame([row | {"target": "mean of unseen"}, row | {"target": "D"}]))

    assert "not told from zero at the look's level of 0.02 (p = 0.04)" in said(12, 0.04)
    assert "told from zero at the look's level of 0.02" in said(12, 0.01) and "not told" not in said(12, 0.01)
    assert "too early to tell; by target D +0.31 [+0.01, +0.61]" in said(4, 0.01)
    assert "more than 0.6 points" in said(12, 0.04)
    assert ceiling(pd.DataFrame(columns=["line", "target"])) == ""
