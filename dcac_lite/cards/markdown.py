"""Markdown tables, and cards with blocks between marks that code fills."""

import re
from collections.abc import Iterable, Mapping, Sequence


def table(head: Sequence[str], rows: Iterable[Sequence]) -> str:
    """A Markdown table; whole numbers get a thousands separator, other numbers as few digits as they need."""

    def cell(value) -> str:
        return f"{value:,}" if isinstance(value, int) else f"{value:g}" if isinstance(value, float) else str(value)

    lines = ["| " + " | ".join(map(cell, line)) + " |" for line in (head, *rows)]
    return "\n".join([lines[0], "|" + "---|" * len(head), *lines[1:]])


def fill(card: str, blocks: Mapping[str, str]) -> str:
    """A card's text with the content between `<!-- begin NAME -->` and `<!-- end NAME -->` replaced for each of
    `blocks`. Raises ValueError for a block that the card has not."""
    for name, content in blocks.items():
        begin, end = f"<!-- begin {name} -->\n", f"<!-- end {name} -->"
        if card.count(begin) != 1 or card.count(end) != 1:
            raise ValueError(f"The card has no block {name!r}; expected one line {begin.strip()!r} and one {end!r}.")
        old = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
        filled = f"{begin}\n{content.strip()}\n\n{end}"
        card = old.sub(lambda _, filled=filled: filled, card)
    return card
