"""The arms of stage 2 as a table that grows: what it holds need not be trained again."""

from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path

import pandas as pd

from ..paths import replacing
from .arms import ARMS
from .measures import row_key, rows_of


def growing(names: Sequence[str], seeds: Sequence[int], domain: str, tier: str, known: Path) -> Iterator[pd.DataFrame]:
    """The table of `measures.rows_of`, each time that it has grown, seed by seed of each arm. What the file `known`
    holds, made by this code of these data, is taken as it is and stays, also for arms and seeds that are not asked for.

    Raises ValueError for a name that is none of ARMS."""
    if wrong := [name for name in names if name not in ARMS]:
        raise ValueError(f"arm is {wrong[0]!r}; expected one of {', '.join(ARMS)}.")
    rows = _current(known, domain, tier)
    for name, seed in product(names, seeds):
        if (name, seed) not in rows:
            rows[name, seed] = rows_of(ARMS[name], domain, tier, seed)
        yield _table(rows)


def _current(known: Path, domain: str, tier: str) -> dict[tuple[str, int], list[dict]]:
    """The rows of a table that the present code would make of the present data, by arm and seed."""
    rows: dict[tuple[str, int], list[dict]] = {}
    for row in pd.read_csv(known).to_dict("records") if known.exists() else []:
        name, seed = row["name"], int(row["seed"])
        if name in ARMS and row["key"] == row_key(ARMS[name], domain, tier, seed):
            rows.setdefault((name, seed), []).append(row)
    return rows


def _table(rows: dict[tuple[str, int], list[dict]]) -> pd.DataFrame:
    order = {name: place for place, name in enumerate(ARMS)}
    places = sorted(rows, key=lambda p: (order[p[0]], p[1]))
    return pd.DataFrame([row for place in places for row in rows[place]])


def write(table: pd.DataFrame, file: Path) -> None:
    """The table as a csv file, two decimals."""
    with replacing(file) as temporary:
        table.round(2).to_csv(temporary, index=False)
