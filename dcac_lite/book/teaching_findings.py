"""Sentences of notebook 07: what its measurements say, written by rule from its tables."""

from typing import TYPE_CHECKING

from ..studies.statistics import paired_interval
from ..studies.teaching import MEAN, level

if TYPE_CHECKING:
    import pandas as pd


def findings(
    by_picture: "pd.DataFrame", votes: "pd.DataFrame", soft: "pd.DataFrame", directions: "pd.DataFrame"
) -> list[str]:
    """Four sentences, one for each measurement. by_picture: mean errors of `instruments.worth`, rows (teacher,
    picture), a column per condition; votes: `vote`, `teacher` and `instruments.help_and_looks`; soft:
    `instruments.by_softness` with `teacher`; directions: `teacher`, "with sum p²", "by chance, either sign".

    A teacher listens where the 95 % interval of what a stranger's condition costs lies above zero."""
    teachers = list(directions["teacher"])
    heard = []
    for teacher in teachers:
        errors = by_picture.loc[teacher]
        found, own = paired_interval(errors["another picture's"], errors["own"]), errors["own"].mean()
        low, mean, high = (100 * found[k] / own for k in ("low", "mean", "high"))
        word = "yes" if low > 0 else "not seen"
        heard.append(f"{teacher}: {word}, a stranger's condition costs {mean:+.1f} % [{low:+.1f}, {high:+.1f}]")
    full = votes[votes["vote"] == "tried in full"].set_index("teacher")["rank correlation"]
    sure, softest = (
        soft.loc[soft["tau_c"] == t].set_index("teacher") for t in (soft["tau_c"].min(), soft["tau_c"].max())
    )
    of_looks = [
        f"{t}: {sure.loc[t, 'rank correlation']:.2f} where the right person has p = {sure.loc[t, 'p']:.2f}, "
        f"{softest.loc[t, 'rank correlation']:.2f} where he has {softest.loc[t, 'p']:.2f}"
        for t in teachers
    ]
    advice = [
        f"{row['teacher']}: {row['with sum p²']:+.2f} (by chance {row['by chance, either sign']:.2f} of either sign)"
        for _, row in directions.iterrows()
    ]
    return [
        f"**Does he listen?** {'; '.join(heard)}.",
        "**Does he know who looks alike?** Rank correlation with looks, whole prompts tried: "
        f"{', '.join(f'{t} {full[t]:.2f}' for t in teachers)}.",
        f"**Does the gradient say so?** {'; '.join(of_looks)}.",
        '**What does it say instead?** Its cosine with the gradient of the sum of $p^2$, "be vaguer": '
        f"{', '.join(advice)}.",
    ]


def ceiling(differences: "pd.DataFrame", oracle: str = "soft labels along true looks") -> str:
    """What there is to win by dark knowledge, in a sentence; "" where the oracle has no two pairs yet. differences:
    `studies.teaching.to_baseline`. Whether it counts as different is decided at the level of the plan's look, which is
    stricter than the 95 % interval."""
    there = differences[differences["line"] == oracle].set_index("target")
    if there.empty:
        return ""
    shown = {target: f"{row['mean']:+.2f} [{row['low']:+.2f}, {row['high']:+.2f}]" for target, row in there.iterrows()}
    mean = there.loc[MEAN]
    limit = level(int(mean["n"]))
    told = "too early to tell" if limit is None else "told from zero" if mean["p"] < limit else "not told from zero"
    at = "" if limit is None else f" at the look's level of {limit:g} (p = {mean['p']:.2f})"
    targets = ", ".join(f"{target} {words}" for target, words in shown.items() if target != MEAN)
    return (
        f"**What there is to win.** Labels softened along true looks, an oracle: {shown[MEAN]} mAP over the unseen "
        f"domains, {mean['n']:.0f} pairs, {told}{at}; by target {targets}. From a teacher who knows no more than that, "
        f"more than {mean['high']:.1f} points would be a surprise."
    )
