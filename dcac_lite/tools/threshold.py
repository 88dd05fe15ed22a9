"""`python -m dcac_lite threshold ENCODER FOLDER`: below which distance do two pictures show the same person?

The threshold at a false-alarm rate, with an interval over people, and what it does on other data sets."""

import argparse
import json
from pathlib import Path

from ..paths import replacing
from ..release.encoded import ENCODER, FOLDER, encode, load_encoder
from ..verification import Verification

_NO_CAMERAS = (
    "{}: the file names tell no cameras, so pairs within a camera, which are easier, count too; expect more false "
    "alarms and fewer people recognised between cameras."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("encoder", metavar="ENCODER", help=ENCODER)
    parser.add_argument("folder", metavar="FOLDER", help=FOLDER)
    parser.add_argument("--targets", nargs="+", default=[], metavar="FOLDER", help="try the same threshold on these")
    about = "share of pairs of two persons that may be taken for one; default: 0.01"
    parser.add_argument("--false-alarm", type=float, default=0.01, metavar="RATE", help=about)
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="also write threshold.json, .csv and .png there")
    parser.set_defaults(call=_threshold)


def measure(measured: dict[str, Verification], false_alarm: float):
    """A DataFrame with a row for each data set: its own threshold at `false_alarm` with the ends of its 95 % interval
    (low, high), the rates of the first one's threshold with theirs, and what does not depend on a threshold."""
    import pandas as pd

    rows, first = [], None
    for name, pairs in measured.items():
        own = pairs.threshold(false_alarm)
        first = own if first is None else first
        of_own = pairs.rates(own)
        low, high = pairs.threshold_interval(of_own)
        row = {"data set": name, "people": pairs.people, "genuine pairs": pairs.genuine_pairs}
        row |= {"impostor pairs": pairs.impostor_pairs, "threshold": own, "threshold_low": low, "threshold_high": high}
        of_first = of_own if own == first else pairs.rates(first)
        rows.append(row | of_first._asdict() | {"eer": pairs.eer, "auc": pairs.auc})
    return pd.DataFrame(rows)


def text(table, false_alarm: float):
    """The table of `measure` as read by people."""

    def with_interval(name: str, factor: float, digits: int) -> list[str]:
        ends = (table[column] * factor for column in (name, f"{name}_low", f"{name}_high"))
        return [f"{value:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]" for value, low, high in zip(*ends)]

    first = table.iloc[0]
    shown = table[["data set", "people"]].assign(
        **{
            "genuine pairs": [f"{n:,}" for n in table["genuine pairs"]],
            "impostor pairs": [f"{n:,}" for n in table["impostor pairs"]],
            f"threshold at {100 * false_alarm:g} %": with_interval("threshold", 1, 3),
            f"FPR at {first.threshold:.3f}": with_interval("fpr", 100, 2),
            f"TPR at {first.threshold:.3f}": with_interval("tpr", 100, 1),
            "EER": [f"{100 * value:.1f}" for value in table["eer"]],
            "AUC": [f"{100 * value:.1f}" for value in table["auc"]],
        }
    )
    return shown.to_string(index=False)


def verdict(table, false_alarm: float) -> str:
    """What follows from the table of `measure`, in a sentence or two."""
    first, others = table.iloc[0], table.iloc[1:].sort_values("fpr")
    said = (
        f"Below {first.threshold:.3f}, {100 * first.tpr:.0f} of 100 pairs of one person of {first['data set']} are "
        f"recognised, and of 1,000 pictures of other people {1000 * first.fpr:.2g} are taken for the one asked for."
    )
    if len(others):
        best, worst = others.iloc[0], others.iloc[-1]
        said += (
            f" Elsewhere the same threshold lets {1000 * best.fpr:.2g} ({best['data set']}) to {1000 * worst.fpr:.2g} "
            f"({worst['data set']}) of 1,000 pass, where {1000 * false_alarm:g} were allowed, and recognises "
            f"{100 * others['tpr'].min():.0f} to {100 * others['tpr'].max():.0f} of 100: set it where it will be used."
        )
    return said


def _threshold(arguments: argparse.Namespace) -> None:
    extractor, measured = load_encoder(arguments.encoder), {}
    for place in (arguments.folder, *arguments.targets):
        domain = encode(extractor, place)
        try:
            measured[place] = Verification(domain.query, domain.gallery)
            measured[place].threshold(arguments.false_alarm)  # refused before others are encoded
        except ValueError as error:
            raise ValueError(f"{place}: {error}") from error
        if not domain.cameras_known:
            print(_NO_CAMERAS.format(place))
    table = measure(measured, arguments.false_alarm)
    print("Rates in percent, 95 % intervals over people in brackets; distances are 1 - cosine, between cameras.")
    print(text(table, arguments.false_alarm))
    print(verdict(table, arguments.false_alarm))
    if arguments.out:
        _write(arguments, measured, table)


def _write(arguments: argparse.Namespace, measured: dict[str, Verification], table) -> None:
    from ..book.threshold_figure import curves, threshold_figure

    first, drawn = table.iloc[0], curves(measured)
    figure = threshold_figure(drawn, first.threshold, (first.threshold_low, first.threshold_high))
    told = {"encoder": arguments.encoder, "false alarm": arguments.false_alarm, "data sets": table.to_dict("records")}
    out: Path = arguments.out
    with replacing(out / "threshold.json") as temporary:
        temporary.write_text(json.dumps(told, indent=1) + "\n")
    with replacing(out / "threshold.csv") as temporary:
        drawn.to_csv(temporary, index=False)
    with replacing(out / "threshold.png") as temporary:
        about = {"Description": verdict(table, arguments.false_alarm)}
        figure.savefig(temporary, format="png", dpi=144, metadata=about)
    print(f"{out}: threshold.json (the table), threshold.csv (the curves), threshold.png")
