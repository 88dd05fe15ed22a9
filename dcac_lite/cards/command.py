"""`python -m dcac_lite cards`: write the generated blocks of the cards of the embedded data and weights."""

import argparse

from ..paths import CLONE, replacing
from . import clothes, domains, weights
from .markdown import fill

CARDS = CLONE / "data_cards"


def generated(measure: bool = False) -> dict[str, dict[str, str]]:
    """The blocks that follow from the code, the shipped weights and the tables of the references, {card: {block:
    Markdown}}; with `measure` also the evaluation of the weights, which takes minutes."""
    blocks = {"lite-domains": domains.blocks(), "clothes-domains": clothes.blocks(), "lite-weights": weights.blocks()}
    if measure:
        blocks["lite-weights"]["evaluation"] = weights.evaluation()
    return blocks


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line of `cards`."""
    parser.add_argument("--measure", action="store_true", help="measure the shipped weights, too (minutes)")
    parser.set_defaults(call=_write)


def _write(arguments: argparse.Namespace) -> None:
    if not CARDS.is_dir():
        raise ValueError(f"there is no folder {CARDS}; run this in a clone, not from an installed package.")
    for name, blocks in generated(arguments.measure).items():
        path = CARDS / f"{name}.md"
        card = fill(path.read_text(encoding="utf-8"), blocks)
        with replacing(path) as temporary:
            temporary.write_text(card, encoding="utf-8")
        print(f"{path.relative_to(CLONE)}: {', '.join(blocks)}")
