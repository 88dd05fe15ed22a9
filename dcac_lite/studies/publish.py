"""The published measurements of the tables, and one page with every cell: the paper's number, ours, and how to get it.

The page is made from the published files alone, so it says nothing that they do not."""

from math import isnan
from pathlib import Path

from ..paths import figures_root, replacing, results_folder
from ..tools.status import recording
from .gather import METRICS, PUBLISHED, gather, measurements, shipped
from .tables import FIRST_SEED, TABLES, cells

TIERS_SHOWN = ("lite", "full")


def publish(tier: str, seeds: int, in_place: bool) -> tuple[Path, Path]:
    """Write what the runs of all tables in a tier have measured as a table, unless it is nothing, and the page, into
    `figures/` or the runs folder; returns both files. What no run of this machine has is taken from what was published
    before."""
    path = results_folder(in_place) / f"tables-{tier}.csv"
    known = measurements(cells(list(TABLES), tier, seeds))
    own = known[known["origin"] != "comparison"]  # which is published in a table of its own
    if len(own):
        with recording(path), replacing(path) as temporary:
            own.reindex(columns=list(PUBLISHED)).to_csv(temporary, index=False, float_format="%.5g")
    page = (figures_root() if in_place else path.parent) / "tables.md"
    with replacing(page) as temporary:
        temporary.write_text(as_page({t: shipped(t) for t in TIERS_SHOWN} | {tier: known}), encoding="utf-8")
    return path, page


def as_page(known: dict) -> str:
    """Every cell of every table, as Markdown, from `measurements` by tier."""
    lines = [
        "# The paper's tables, cell by cell",
        "",
        "Written by `python -m dcac_lite tables publish --in-place` from `figures/paper/dcac.csv` and the published",
        "measurements in `figures/results/`. Ours are means over n seeds with 95 % t intervals, at the last epoch; a",
        "dash is what has not been run.",
        "Claims and verdicts stand in notebook 14.",
    ]
    for number, table in TABLES.items():
        (template,) = (figures_root().parent / "notebooks").glob(f"{table.notebook}_*.ipynb")
        lines += ["", f"## Table {number}: {table.title}", ""]
        lines += [
            f"[Notebook {table.notebook}](../notebooks/{template.name}). `make table-{number}`. {table.claim}",
            "",
        ]
        lines += ["| line | setting | trained on | tested on | metric | paper | lite | full |", "|---" * 8 + "|"]
        lines += _cells(number, known)
    lines += ["", *(f"Key of the code, {tier}: {_keys(known[tier])}." for tier in TIERS_SHOWN)]
    return "\n".join(lines) + "\n"


def _cells(number: int, known: dict) -> list[str]:
    from ..book.results import SETTINGS

    ours: dict[tuple, dict[str, str]] = {}
    for tier in TIERS_SHOWN:
        seeds = int(known[tier]["seed"].max()) - FIRST_SEED + 1 if len(known[tier]) else 1
        for cell in gather(number, tier, seeds, known[tier]).to_dict("records"):
            place = (cell["row"], cell["setting"], cell["source"] or "all", cell["target"], cell["metric"])
            texts = ours.setdefault(place, {})
            texts["paper"] = "–" if isnan(cell["paper"]) else f"{cell['paper']:.1f}"
            if cell["n"]:
                interval = "" if cell["n"] < 2 else f" [{cell['low']:.2f}, {cell['high']:.2f}]"
                texts[tier] = f"{cell['mean']:.2f}{interval} n={cell['n']}"
    order = sorted(ours, key=lambda place: METRICS.index(place[-1]))
    return [
        f"| {row} | {SETTINGS[setting]} | {source} | {target} | {metric} | {ours[place]['paper']} | "
        + " | ".join(ours[place].get(tier, "–") for tier in TIERS_SHOWN)
        + " |"
        for place in order
        for row, setting, source, target, metric in [place]
    ]


def _keys(known) -> str:
    keys = known["code_key"].dropna().unique()
    return ", ".join(map(str, keys)) if len(keys) else "–"
