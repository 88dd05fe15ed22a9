"""Slides for a lecture, made from the cells of notebooks that are tagged for it.

The tag is Jupyter's own, `slideshow.slide_type` in a cell's metadata: `slide` begins a slide, `-` goes on with it and
`fragment` too, at a click. `slideshow.title` is the slide's title; without it the cell's
heading is, or the bold words that it begins with. What is not
tagged is on no slide; its words are the speaker's notes of the slide before. A code cell shows what it made, a reader's
own cell the options of a prediction, what holds, or the right answer."""

import base64
import html
import inspect
import io
import re
import tempfile
import textwrap
from collections.abc import Iterator
from pathlib import Path

import nbformat
from PIL import Image

from ..workshop.cells import asked, stub, tagged
from ..workshop.documents import relinked
from ..workshop.edition import committed, new_folder
from ..workshop.exercises import exercise, prediction
from .building import ask_for_packages, run_sphinx
from .pages import STATIC

SIZE = {"width": 1280, "height": 720}  # of a slide; reveal.js scales it to the window
#: What Sphinx is told beside conf.py.
_SETTINGS = {
    "extensions": ["myst_nb", "sphinx_revealjs"],
    "revealjs_static_path": [str(STATIC)],
    "revealjs_css_files": ["pygments.css", "slides.css"],
    "revealjs_style_theme": "white",
    "revealjs_script_conf": {**SIZE, "margin": 0, "hash": True, "center": False, "transition": "none"},
    "revealjs_script_plugins": [{"src": "revealjs/plugin/notes/notes.js", "name": "RevealNotes"}],
}
_KEYS = "Arrow keys go on and back, `S` opens the speaker's notes, `F` fills the screen, `?` lists the other keys."
_HEADING = re.compile(r"#+ (?:\d+\. )?(.*)\n*")
_LEAD = re.compile(r"\*\*(.+?)[.:]?\*\*\s+")  # bold words that a paragraph begins with


def write_slides(out: Path) -> int:
    """Write a deck for each notebook with tagged cells to the new folder `out`, with an index; returns their number.

    Raises ValueError where `out` is taken, packages or notebooks are missing, or the slides have faults."""
    ask_for_packages()
    decks = {path.stem: text for path in committed() if (text := deck(path))}
    with new_folder(out) as folder, tempfile.TemporaryDirectory() as pages:
        for stem, text in decks.items():
            (Path(pages) / f"{stem}.md").write_text(text, encoding="utf-8")
        (Path(pages) / "index.md").write_text(_index(list(decks)), encoding="utf-8")
        run_sphinx(Path(pages), folder, "revealjs", _SETTINGS)
    return len(decks)


def _index(stems: list[str]) -> str:
    links = "\n".join(f"* [](./{stem}.md)" for stem in stems)
    toctree = "\n".join(stems)
    return f"# Slides\n\n{links}\n\n{_KEYS}\n\n```{{toctree}}\n:hidden:\n\n{toctree}\n```\n"


def deck(path: Path) -> str:
    """The slides of a notebook as MyST Markdown, a heading of the second level each; empty if no cell is tagged."""
    notebook = nbformat.read(path, as_version=4)
    slides: list[list[str]] = []
    notes: list[str] = []
    for cell in notebook.cells:
        kind = cell.metadata.get("slideshow", {}).get("slide_type")
        if kind is None:
            notes += [cell.source] if cell.cell_type == "markdown" else []
            continue
        words = cell.source
        if kind == "slide":
            _close(slides, notes)
            title, words = _title(cell)
            slides.append([f"## {title}"])
        shown = relinked(words, _nowhere) if cell.cell_type == "markdown" else "\n\n".join(_made(cell))
        slides[-1].append(_container("fragment", shown) if kind == "fragment" else shown)
    if not slides:
        return ""
    _close(slides, notes)
    title = notebook.cells[0].source.splitlines()[0]
    return "\n\n".join([title, _KEYS, *("\n\n".join(slide) for slide in slides)])


def _close(slides: list[list[str]], notes: list[str]) -> None:
    """Gives the last slide its notes; what comes before the first slide is no note."""
    if slides and notes:
        paragraphs = "\n".join(f"<p>{html.escape(words)}</p>" for note in notes for words in note.split("\n\n"))
        slides[-1].append(_html(f'<aside class="notes">\n{paragraphs}\n</aside>'))
    notes.clear()


def _title(cell) -> tuple[str, str]:
    """The title of the slide that a cell begins, and what is left of its words without it."""
    words = "" if cell.cell_type == "code" else cell.source
    given = cell.metadata.slideshow.get("title")
    named = None if given else _HEADING.match(words) or _LEAD.match(words)
    return given or (named[1] if named else ""), words[named.end() :] if named else words


def _container(name: str, text: str) -> str:
    fence = "`" * (1 + max(map(len, re.findall("`+", text)), default=2))
    return f"{fence}{{container}} {name}\n{text}\n{fence}"


def _html(text: str) -> str:
    return f"```{{raw}} html\n{text}\n```"


def _nowhere(path: str) -> None:
    """Where the links of a slide lead: their words stay."""


def _made(cell) -> Iterator[str]:
    """What a code cell puts on a slide, as Markdown."""
    if tagged(cell, "exercise"):
        yield from _answered(stub(cell))
    elif any("image/png" in output.get("data", {}) for output in cell.outputs):
        yield _drawn(cell)
    else:
        yield from _printed(cell)


def _answered(code: str) -> Iterator[str]:
    if name := asked(code, "predict"):
        yield "\n".join(f"* **{letter}** {option}" for letter, option in zip("ABCDE", prediction(name).options))
    elif name := asked(code, "reveal"):
        yield f"**{prediction(name).right}**"
        yield prediction(name).why
    elif name := asked(code, "check"):
        done = exercise(name)
        if callable(done.solution):
            yield f"```python\n{textwrap.dedent(inspect.getsource(done.solution)).rstrip()}\n```"
        yield done.right


def _drawn(cell) -> str:
    """A figure with its caption: below it, or beside it where the figure is tall."""
    parts, tall = [], False
    for output in cell.outputs:
        data = output.get("data", {})
        if png := data.get("image/png"):
            width, height = Image.open(io.BytesIO(base64.b64decode(png))).size
            tall = tall or height > 0.7 * width
            alt = html.escape(output.metadata.get("image/png", {}).get("alt", ""))
            parts.append(_html(f'<img class="figure" alt="{alt}" src="data:image/png;base64,{png.strip()}">'))
        elif "text/markdown" in data:
            parts.append(relinked(data["text/markdown"], _nowhere))
    return _container("drawn tall" if tall else "drawn", "\n\n".join(parts))


def _printed(cell) -> Iterator[str]:
    """What a cell without a figure has made: words, tables, printed lines."""
    for output in cell.outputs:
        data = output.get("data", {})
        if "text/markdown" in data:
            yield relinked(data["text/markdown"], _nowhere)
        elif "text/html" in data:
            yield _html(data["text/html"])
        elif output.output_type == "stream":
            yield f"```text\n{output.text.rstrip()}\n```"
