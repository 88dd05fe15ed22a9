"""The sub-commands of `python -m dcac_lite clothes` for real data sets: from files of a parser to stage 2."""

import argparse
from pathlib import Path

from ...data.clothes import CLOTHES_DATASETS
from ..copies import COPIES

_SETS = ", ".join(CLOTHES_DATASETS)


def add_real(commands) -> None:
    """Add masks, describe, words and learn to the sub-parsers `commands`."""
    masks = commands.add_parser("masks", help="a human parser's label maps (LIP's 20 labels) as masks")
    masks.add_argument("labels", type=Path, help="folder of PERSON/NAME.png, a label in each pixel")
    masks.add_argument("out", type=Path, help="folder to write, PERSON/NAME.png, 255 where clothes are, 0 elsewhere")
    masks.set_defaults(call=_masks)
    describe = commands.add_parser("describe", help="clothes in words by a vision-language model of your own; resumed")
    describe.add_argument("pictures", type=Path, help="folder of PERSON/NAME.jpg")
    describe.add_argument("out", type=Path, help="folder to write, PERSON/NAME.txt, a line upper | lower | footwear")
    describe.add_argument("--model", type=Path, required=True, metavar="FOLDER", help="as transformers saves it")
    describe.set_defaults(call=_describe)
    words = commands.add_parser("words", help="draw what the copies of real pictures will wear")
    words.add_argument("dataset", choices=CLOTHES_DATASETS, metavar="DATASET", help=f"of {_SETS}")
    words.add_argument("answers", type=Path, help="folder of a line upper | lower | footwear for each training picture")
    words.add_argument("out", type=Path, help="folder to write, a line for each copy, for `clothes paint`")
    words.add_argument("--split", default="train", choices=("train", "query"), help="pictures to copy; default: train")
    words.add_argument("--count", type=int, default=COPIES, metavar="K", help=f"of each picture; default: {COPIES}")
    words.add_argument("--seed", type=int, default=0, help="default: 0")
    words.set_defaults(call=_words)
    learn = commands.add_parser("learn", help="stage 2 on a real data set: train with copies and controls, and score")
    learn.add_argument("dataset", choices=CLOTHES_DATASETS, metavar="DATASET", help=f"of {_SETS}")
    learn.add_argument("--copies", type=Path, metavar="FOLDER", help="that holds what `clothes paint` wrote, or DLCR's")
    learn.add_argument("--query-copies", type=Path, metavar="FOLDER", help="likewise of queries; then they vote")
    learn.add_argument("--arms", nargs="+", metavar="NAME", help="of CAL, second augmentation, copies; default: all")
    learn.add_argument("--seeds", nargs="+", type=int, default=[0], metavar="N", help="default: 0")
    learn.add_argument("--out", type=Path, metavar="FILE", help="also write the tidy table to this csv file")
    learn.set_defaults(call=_learn)
    for command in (words, learn):
        command.add_argument("--tier", default="full", choices=("full", "rehearsal"), help="default: full")


def _masks(arguments: argparse.Namespace) -> None:
    from .parsing import write_masks

    count, empty = write_masks(arguments.labels, arguments.out)
    print(f"{count:,} masks in {arguments.out}, {len(empty):,} of them empty{f': {empty[0]} first' if empty else ''}.")


def _describe(arguments: argparse.Namespace) -> None:
    from .reader import describe_files

    print(f"{describe_files(arguments.pictures, arguments.out, arguments.model):,} pictures described.")


def _words(arguments: argparse.Namespace) -> None:
    from .sets import listed
    from .words import write_words

    listing = listed(arguments.dataset, arguments.tier)
    places = (arguments.split, arguments.answers, arguments.out)
    outfits = write_words(listing, *places, arguments.count, arguments.seed)
    pictures = len(getattr(listing, arguments.split))
    print(f"{pictures:,} pictures, {arguments.count} of {outfits:,} outfits each, in {arguments.out}.")


def _learn(arguments: argparse.Namespace) -> None:
    import pandas as pd

    from ...progress import over
    from ...world.report import write
    from .pool import pool_of
    from .recipe import recipe_of
    from .scores import rows_of
    from .sets import loaded
    from .stage2 import ARMS, check_arms, trained

    arms = arguments.arms or list(ARMS)
    check_arms(arms, arguments.copies)
    domain = loaded(arguments.dataset, arguments.tier)
    copies = pool_of(arguments.dataset, arguments.copies, domain.train) if "copies" in arms else None
    voters = arguments.query_copies and pool_of(arguments.dataset, arguments.query_copies, domain.query)
    recipe, rows = recipe_of(arguments.tier, len(domain.train)), []
    for seed in arguments.seeds:
        for arm in arms:
            model = trained(arm, domain, copies, arguments.tier, recipe, seed)
            facts = {"data set": arguments.dataset, "arm": arm, "seed": seed}
            rows += [facts | row for row in rows_of(model, domain, voters, over("features"))]
            if arguments.out:
                write(pd.DataFrame(rows), arguments.out)
    print(pd.DataFrame(rows).round(1).to_string(index=False))
