"""Sentences of notebook 07: what its measurements say, written by rule from its tables."""

from typing import TYPE_CHECKING

from ..studies.statistics import paired_interval

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
