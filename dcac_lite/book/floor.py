"""How notebook 14 shows what a comparison finds where there is nothing, and what other people would have changed."""


def floor_plot(floor):
    """A figure of `studies.floor.against_itself`: for each source the differences of all halves of the baseline's
    seeds as dots, and what as many pairs can see, if their runs share a seed and if they do not, as brackets."""
    import matplotlib.pyplot as plt
    import numpy as np

    figure, axis = plt.subplots(figsize=(7.5, 1.1 + 0.9 * len(floor)), layout="compressed")
    for place, row in enumerate(floor.to_dict("records")):
        found = np.sort(row["differences"])
        heights = place + 0.22 * np.cos(np.arange(len(found)) * 2.4)  # so that equal ones lie beside each other
        axis.plot(
            found, heights, "o", ms=4, alpha=0.6, color="#7f7f7f", label="baseline − baseline" if not place else None
        )
        for width, colour, text in ((row["sees_pairs"], "#0072B2", "seen by pairs of one seed"),
                                    (row["sees_strangers"], "#D55E00", "seen by pairs of other seeds")):  # fmt: skip
            axis.vlines([-width, width], place - 0.36, place + 0.36, color=colour, label=text if not place else None)
    axis.axvline(0, color="black", linewidth=0.8)
    axis.set_yticks(range(len(floor)), [f"{row.source}, {row.seeds} seeds" for row in floor.itertuples()])
    axis.set(xlabel="points of mean unseen mAP", ylim=(len(floor) - 0.5, -0.5))
    axis.legend(loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def floor_in_words(floor) -> list[str]:
    """A sentence for each source of `studies.floor.against_itself`, or one that says that there is none."""
    if not len(floor):
        return [
            "No source has four finished seeds of the baseline, which is the least that can be halved and compared."
        ]
    return [
        f"{row.source}: the two halves of {row.seeds} baselines differ by up to "
        f"{max(map(abs, row.differences)):.2f} points, with nothing to find; a t test at 5 % takes {row.told_apart} of "
        f"{len(row.differences)} such differences for real. Over seeds the baseline scatters by "
        f"{row.between_seeds:.2f}, a paired difference by {row.between_pairs:.2f}: {row.seeds} pairs of one seed see "
        f"{row.sees_pairs:.2f} points four times in five, pairs of other seeds {row.sees_strangers:.2f}."
        for row in floor.itertuples()
    ]


def luck_in_words(luck) -> str:
    """What `studies.people.luck` says of the mean of the unseen targets."""
    row = luck.set_index("target").loc["mean of unseen"]
    return (
        f"Over the {row['people']:.0f} people asked for, the baseline's mean unseen mAP has a standard error of "
        f"{row['baseline_error']:.2f} points, which no seed removes. DCAC less the baseline is "
        f"{row['difference']:+.2f}, with an error of {row['difference_error']:.2f} over people and of "
        f"{row['seeds_error']:.2f} over these seeds."
    )
