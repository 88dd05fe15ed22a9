"""The cards of the embedded data and weights: what follows from code is written by code.

A generated block of a card lies between the lines `<!-- begin NAME -->` and `<!-- end NAME -->`. `python -m
dcac_lite.cards` writes the blocks that follow from the code and from the shipped weights; a test fails while one of
them is out of date. `--measure` measures the weights as well (minutes) and writes the block `evaluation`."""

import argparse
import re
from collections.abc import Iterable, Mapping, Sequence

from .paths import CLONE, replacing

CARDS = CLONE / "data_cards"


def table(head: Sequence[str], rows: Iterable[Sequence]) -> str:
    """A Markdown table; whole numbers get a thousands separator, other numbers as few digits as they need."""

    def cell(value) -> str:
        return f"{value:,}" if isinstance(value, int) else f"{value:g}" if isinstance(value, float) else str(value)

    lines = [head, ["---"] * len(head), *rows]
    return (
        "\n".join("| " + " | ".join(map(cell, line)) + " |" for line in lines)
        .replace("| --- ", "|---")
        .replace("---|", "---|")
    )


def fill(card: str, blocks: Mapping[str, str]) -> str:
    """A card's text with the content of the named blocks replaced. Raises ValueError for a block that the card has
    not."""
    for name, content in blocks.items():
        begin, end = f"<!-- begin {name} -->\n", f"<!-- end {name} -->"
        if card.count(begin) != 1 or card.count(end) != 1:
            raise ValueError(f"The card has no block {name!r}; expected one line {begin.strip()!r} and one {end!r}.")
        card = re.sub(
            re.escape(begin) + ".*?" + re.escape(end),
            lambda _: f"{begin}\n{content.strip()}\n\n{end}",
            card,
            flags=re.DOTALL,
        )
    return card


def generated(measure: bool = False) -> dict[str, dict[str, str]]:
    """The blocks of each card that follow from the code and the shipped files, {card: {block: Markdown}}."""
    from .lite_weights import card as weights
    from .world import card as world

    blocks = {"lite-domains": world.blocks(), "lite-weights": weights.blocks()}
    if measure:
        blocks["lite-weights"]["evaluation"] = weights.evaluation()
    return blocks


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m dcac_lite.cards", description="Write the generated blocks of the data cards."
    )
    parser.add_argument("--measure", action="store_true", help="measure the shipped weights, too (minutes)")
    for name, blocks in generated(parser.parse_args().measure).items():
        path = CARDS / f"{name}.md"
        with replacing(path) as temporary:
            temporary.write_text(fill(path.read_text(), blocks))
        print(f"{path.relative_to(CLONE)}: {', '.join(blocks)}")


if __name__ == "__main__":
    main()
