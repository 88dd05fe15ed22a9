"""What bfloat16 does to a result: the same runs with it and in float32, from the table of the study `precision`."""

from .statistics import paired_interval

#: (what is compared, its runs less those runs)
QUANTITIES = (
    ("baseline", "none", None),
    ("DCAC", "correlation-aware", None),
    ("DCAC less baseline", "correlation-aware", "none"),
)


def rounding(table, metric: str = "mAP"):
    """How far bfloat16 moves the mean of `metric` over the unseen targets, a DataFrame with a row each for the
    baseline, DCAC and their difference of the same seed: `mean` of the value with bfloat16 less that in float32, `low`
    and `high` (95 % over seeds), `n` seeds; `scatter`, the standard deviation of the value in float32 over seeds, which
    is what another seed does. Seeds that lack one of the four runs are left out; needs two that lack none."""
    import pandas as pd

    unseen = table[table["target"] != table["sources"]]
    means = unseen.pivot_table(index="seed", columns=["precision", "conditioning"], values=metric).dropna()
    rows = []
    for name, scheme, less in QUANTITIES:
        rounded, exact = (
            means[precision][scheme] - (means[precision][less] if less else 0) for precision in ("bf16", "no")
        )
        rows.append({"what": name} | paired_interval(rounded, exact) | {"scatter": exact.std()})
    return pd.DataFrame(rows)


def sentence(row) -> str:
    """What a row of `rounding` says."""
    by = f"{row['mean']:+.2f} mAP [{row['low']:+.2f}, {row['high']:+.2f}], {row['n']} seeds"
    if row["low"] > 0 or row["high"] < 0:
        told = "bfloat16 moves it"
    else:
        told = "bfloat16 is not seen to move it"
    less = "less" if abs(row["mean"]) < row["scatter"] else "more"
    return f"{row['what']}: {told}, {by}; {less} than the {row['scatter']:.2f} that it varies by from seed to seed."
