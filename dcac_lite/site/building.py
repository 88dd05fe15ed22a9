"""Sphinx, run so that whatever it warns of, and whatever link leads nowhere, is an error."""

import re
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ..paths import CLONE
from .links import problems

SETTINGS = Path(__file__).parent  # where conf.py is
PACKAGES = ("sphinx", "myst_nb", "sphinx_revealjs", "furo", "latex2mathml")


def ask_for_packages() -> None:
    """Raises ValueError where one of the packages is missing."""
    if missing := [name for name in PACKAGES if find_spec(name) is None]:
        raise ValueError(f"{missing[0]} is not installed: pip install -e '.[book]' in {CLONE}.")


def run_sphinx(pages: Path, out: Path, builder: str = "html", settings: dict[str, Any] | None = None) -> None:
    """Make the sources in `pages` into the folder `out`, by `builder` with `settings` over those of conf.py.

    Raises ValueError where the pages have faults, one in a line."""
    from sphinx.application import Sphinx
    from sphinx.util.docutils import docutils_namespace

    with tempfile.TemporaryDirectory() as folder:
        made, log = Path(folder) / "doctrees", Path(folder) / "warnings.txt"
        with docutils_namespace(), open(log, "w", encoding="utf-8") as warnings:
            Sphinx(pages, SETTINGS, out, made, builder, settings, status=None, warning=warnings).build()
        warned = re.sub(r"\x1b\[[\d;]*m", "", log.read_text(encoding="utf-8")).replace(f"{pages}/", "")
    if found := warned.splitlines() + problems(out):
        raise ValueError("\n".join(["the book has faults:", *found]))
