"""Write the book as a static site: `python -m dcac_lite book OUT`.

The pages are the committed notebooks with their stored outputs, which are not run again, and what README links to.
Sphinx with MyST-NB makes them; whatever it warns of, and whatever link leads nowhere, fails the build."""

import argparse
import shutil
import tempfile
from pathlib import Path

from ..paths import IN_CLONE, runs_root, temporary_name
from ..tools.reproduce import NOTEBOOKS
from .building import ask_for_packages, run_sphinx
from .pages import title_of
from .printed import browser, print_pages

_MARK = ".dcac-lite-book"  # in a folder that this command made and may replace


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("out", nargs="?", type=Path, help="folder of the site; book/ in the runs folder if not given")
    parser.add_argument("--tier", choices=("smoke", "lite"), default="lite", help="whose people the explorers show")
    parser.add_argument("--pdf", type=Path, metavar="FILE", help="print the chapters into a PDF, too; needs Chromium")
    parser.set_defaults(call=_book)


def _book(arguments: argparse.Namespace) -> None:
    if arguments.pdf is not None:
        browser()  # missing, it is told before the minutes that the site takes
    page = build(arguments.out or runs_root() / "book", arguments.tier)
    print(f"The book: open {page} in a browser.")
    if arguments.pdf is not None:
        print_pages(chapters(page.parent), arguments.pdf)
        print(f"Printed: {arguments.pdf}.")


def chapters(site: Path) -> list[tuple[str, Path]]:
    """What the PDF holds, (title, page) in reading order: the scorecard, the notebooks, the glossary, the tables."""
    notebooks = [
        (title_of(path), site / "notebooks" / f"{path.stem}.html") for path in sorted(NOTEBOOKS.glob("*.ipynb"))
    ]
    around = [(words, site / f"{name}.html") for words, name in (("Scorecard", "index"), ("Glossary", "GLOSSARY"))]
    return [around[0], *notebooks, around[1], ("Tables", site / "figures" / "tables.html")]


def build(out: Path, tier: str = "lite") -> Path:
    """Write the site into the folder `out`, in place of an earlier one, and return its first page.
    `tier`: smoke or lite, whose people the explorers show.

    Raises ValueError where `out` holds something else, where packages or the clone are missing, or where the pages
    have faults, one in a line; nothing is left of what could not be finished."""
    if not IN_CLONE:
        raise ValueError("there are no notebooks here; run this in a clone, not from an installed package.")
    if out.exists() and (not out.is_dir() or (any(out.iterdir()) and not (out / _MARK).exists())):
        raise ValueError(f"{out} holds something other than a book; name a folder that is new or empty.")
    ask_for_packages()  # missing ones are told before the minutes that the explorers take
    from .explorers import write_explorers
    from .pages import write_pages

    part = temporary_name(out.resolve())  # MyST-NB writes beside the folder that it is told
    html = part / "html"
    with tempfile.TemporaryDirectory() as folder:
        pages = Path(folder) / "pages"
        try:
            write_pages(pages)
            write_explorers(pages / "_static" / "explorers", tier)
            run_sphinx(pages, html, settings={"html_static_path": [str(pages / "_static")]})
            (html / _MARK).touch()
            shutil.rmtree(out, ignore_errors=True)
            html.rename(out)
        finally:
            shutil.rmtree(part, ignore_errors=True)
    return out / "index.html"
