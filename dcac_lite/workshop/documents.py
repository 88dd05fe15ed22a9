"""The documents that an edition's notebooks lead to: taken along, so that no link leads out of the edition's folder."""

import os
import re
from collections.abc import Callable, Iterable
from pathlib import PurePosixPath

import nbformat

from ..paths import CLONE

_LINK = re.compile(r"!?\[([^\]]*)\]\(([^)\s#:]+)(#[^)\s]*)?\)")  # relative ones: words, path, place on the page


def relinked(text: str, new: Callable[[str], str | None]) -> str:
    """A text with each relative link leading to `new(path)`; where that is None, only the link's words are left."""

    def changed(link: re.Match) -> str:
        path = new(link[2])
        return link[1] if path is None else link[0].replace(f"({link[2]}", f"({path}")

    return _LINK.sub(changed, text)


def inside(notebook, folder: str):
    """A notebook for a folder of the edition, "" or "solutions": its links to `../PATH` lead to PATH in the edition."""
    up = "../" * bool(folder)
    lead = lambda path: up + path.removeprefix("../") if path.startswith("../") else path  # noqa: E731
    cells = [nbformat.from_dict(cell | {"source": relinked(cell.source, lead)}) if cell.cell_type == "markdown" else
             cell for cell in notebook.cells]  # fmt: skip
    return nbformat.from_dict(notebook | {"cells": cells})


def led_to(notebooks: Iterable) -> set[str]:
    """The files of the clone that notebooks' links lead to, other than notebooks."""
    links = (link for notebook in notebooks for cell in notebook.cells if cell.cell_type == "markdown"
             for link in _LINK.finditer(cell.source))  # fmt: skip
    return {link[2].removeprefix("../") for link in links if link[2].startswith("../")}


def document(name: str, documents: set[str], notebooks: set[str]) -> str:
    """The text of a document of the clone as it lies in the edition, under the same name. Links to what the edition
    has not lose their link and keep their words."""
    folder = PurePosixPath(name).parent

    def lead(path: str) -> str | None:
        there = os.path.normpath(folder / path)
        there = there.removeprefix("notebooks/") if there.removeprefix("notebooks/") in notebooks else there
        return os.path.relpath(there, folder) if there in documents | notebooks else None

    return relinked((CLONE / name).read_text(encoding="utf-8"), lead)
