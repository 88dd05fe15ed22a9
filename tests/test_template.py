"""One form for all notebooks: captions, header and links, headings, equations, folded cells, tables and listings."""

import ast
import inspect
import re
from string import Formatter

import nbformat
import pandas as pd
import pytest

import dcac_lite
from dcac_lite.book.differences import DIFFERENCES, as_markdown
from dcac_lite.book.notebook import caption_of, captions, show_source, show_table
from dcac_lite.tools.reproduce import NOTEBOOKS

ALL = sorted(NOTEBOOKS.glob("[0-9AB]?_*.ipynb"))
by_name = pytest.mark.parametrize("path", ALL, ids=lambda p: p.stem)


def cells(path, kind: str, solutions: bool = True) -> list:
    found = [c for c in nbformat.read(path, as_version=4).cells if c.cell_type == kind]
    left_out = {"exercise"} if solutions else {"exercise", "solution"}  # an exercise's cell is the reader's own
    return [c for c in found if not left_out & set(c.metadata.get("tags", []))]


def calls(cell) -> list[ast.Call]:
    return [node for node in ast.walk(ast.parse(cell.source)) if isinstance(node, ast.Call)]


def called(cell) -> set[str]:
    return {ast.unparse(call.func) for call in calls(cell)}


def folded(cell) -> bool:
    return bool(cell.metadata.get("jupyter", {}).get("source_hidden"))


def text(path) -> str:
    return "\n\n".join(cell.source for cell in cells(path, "markdown"))


def without_code(words: str) -> str:
    return re.sub(r"```.*?```|`[^`]*`", "", words, flags=re.DOTALL)


# ---------------------------------------------------------------- captions


@by_name
def test_every_figure_has_a_caption_and_every_caption_a_figure(path):
    code = [call for cell in cells(path, "code") for call in sorted(calls(cell), key=lambda call: call.lineno)]
    saved = [call for call in code if ast.unparse(call.func) == "setup.save"]
    shown = [call.args[1].value for call in saved]
    assert shown == [name for name in captions() if name[:2] == path.name[:2]], "captions.toml has another order"
    for call in saved:
        given = {k.arg: k.value for k in call.keywords}.get("values", ast.Dict([], []))
        entry = captions()[call.args[1].value]
        fields = {field for words in entry.values() for _, field, _, _ in Formatter().parse(words) if field}
        assert {key.value for key in given.keys} == fields, call.args[1].value


def test_captions_are_a_sentence_or_two_and_alternatives_say_more():
    for name, entry in captions().items():
        assert entry.keys() <= {"caption", "alt"} and 40 <= len(entry["caption"]) <= 300, name
        assert entry["caption"][-1] in ".?" and entry.get("alt") != entry["caption"], name
        assert "{said}" in entry.get("alt", "") or len(entry.get("alt", entry["caption"])) >= 40, name


def test_figures_are_numbered_by_chapter():
    assert caption_of("00_who_is_that", {})[0].startswith("**Figure 0.1.** Three searches")
    caption, alt = caption_of("02_patches", {"patches": 32, "size": 8})
    number = [name for name in captions() if name.startswith("02_")].index("02_patches") + 1
    assert caption.startswith(f"**Figure 2.{number}.** ") and "the 32 patches" in caption and "8 by 8 pixels" in alt
    assert caption_of("A1_views", {})[0].startswith("**Figure A1.2.** ")


def test_a_figure_without_caption_or_with_other_values_is_refused():
    with pytest.raises(ValueError, match=r"there is no \[02_nothing\] in dcac_lite/book/captions.toml"):
        caption_of("02_nothing", {})
    with pytest.raises(ValueError, match=r"\[02_pk_batch\] .* has the fields \['K', 'P'\], but got \['P'\]"):
        caption_of("02_pk_batch", {"P": 16})


# ---------------------------------------------------------------- the page


def neighbours(path) -> str:
    """The line of links at the top and at the bottom of a notebook."""

    def link(other) -> str:
        title = cells(other, "markdown")[0].source.splitlines()[0].removeprefix("# ").split(":")[0]
        return f"[{title}]({other.name})"

    at = ALL.index(path)
    before = [f"Previous: {link(ALL[at - 1])}."] if at else []
    after = [f"Next: {link(ALL[at + 1])}."] if at + 1 < len(ALL) else []
    return " ".join(before + after)


@by_name
def test_a_notebook_begins_and_ends_like_the_others(path):
    header = re.split(r"^## ", text(path), flags=re.MULTILINE)[0]
    title, links, *rest = [part.strip() for part in header.split("\n\n") if part.strip()]
    assert re.match(rf"# {path.name[:2]} \w", title) and links == neighbours(path)
    parts = ["After this notebook you can\n\n* ", "**Paper:** ", "| tier | time | needs |\n|---|---|---|\n| smoke | "]
    places = ["\n\n".join(rest).find(part) for part in parts]
    assert -1 not in places and places == sorted(places)
    table = header[header.index("| tier |") :].split("\n\n")[0]
    assert re.findall(r"^\| (\w+) \| [^|]+ \| [^|]+ \|$", table, re.MULTILINE) == ["tier", "smoke", "lite", "full"]
    assert nbformat.read(path, as_version=4).cells[-1].source == neighbours(path)


@by_name
def test_headings_are_numbered_and_do_not_jump(path):
    headings = re.findall(r"^(#+) (.*)$", re.sub(r"```.*?```", "", text(path), flags=re.DOTALL), re.MULTILINE)
    levels = [len(marks) for marks, _ in headings]
    assert levels.count(1) == 1 and all(b - a <= 1 for a, b in zip(levels, levels[1:]))
    sections = [words for marks, words in headings if len(marks) == 2 and words not in ("Summary", "Try it")]
    assert [words.partition(". ")[0] for words in sections] == [str(k) for k in range(1, len(sections) + 1)]


def test_written_out_differences_stand_below_their_section():
    assert set(re.findall(r"^(#+) ", as_markdown(DIFFERENCES), re.MULTILINE)) == {"###"}


@by_name
def test_symbols_are_set_as_in_the_paper(path):
    words = without_code(text(path))
    for equation in re.findall(r"\$\$.*?\$\$", words, re.DOTALL):
        assert r"\tag" not in equation
        assert equation.count("(Eq") == len(re.findall(r"\\qquad\\text\{\(Eq\. \d+\)\}\$\$", equation)), equation
    plain = re.sub(r"\$\$.*?\$\$|\$[^$]*\$", "", words, flags=re.DOTALL)
    assert not re.findall(r"\btau_c|\blambda\b|[λτ]|\bp_y\b|\be_[jy]\b", plain)


# ---------------------------------------------------------------- cells


@by_name
def test_what_draws_is_folded_and_what_holds_an_idea_is_open(path):
    code = cells(path, "code", solutions=False)
    for cell in code:
        draws = bool(called(cell) & {"setup.save", "start"})
        assert folded(cell) or not draws, cell.source
        checks = any(isinstance(node, ast.Assert) for node in ast.walk(ast.parse(cell.source)))
        assert not (folded(cell) and (checks or "parameters" in cell.metadata.get("tags", []))), cell.source
    used = [called(cell) & set(dcac_lite.__all__) for cell in code]
    in_view = set().union(*(names for cell, names in zip(code, used) if not folded(cell)))
    assert set().union(*used) == in_view, "something of the method is called in folded cells only"


@by_name
def test_results_are_shown_as_a_reader_wants_them(path):
    for cell in cells(path, "code", solutions=False):
        assert not re.search(r":\.\de\}", cell.source), f"a number like 4.3e-06, use readable: {cell.source}"
        last = ast.parse(cell.source).body[-1]
        if isinstance(last, ast.Expr) and not isinstance(last.value, ast.Name):  # a name is an explorer
            shown = ast.unparse(last.value).partition("(")[0]
            assert shown in {"print", "setup.save", "show_table", "show_list", "show_source", "Markdown", "twice"}, (
                shown
            )


@pytest.fixture
def displayed(monkeypatch):
    import IPython.display

    pages = []
    monkeypatch.setattr(IPython.display, "display", lambda page: pages.append(page.data))
    return pages


def test_a_table_has_no_row_numbers_and_scrolls_within_itself(displayed):
    frame = pd.DataFrame(
        {"small": [4.3e-6, float("inf")], "count": [12345, 2], "ok": [True, False], "<b>": ["<i>", ""]}
    )
    show_table(frame)
    show_table(frame.set_index("count").rename_axis(columns="mark"), 1)
    plain, indexed = displayed
    assert plain.startswith('<div style="overflow-x:auto">') and "row_heading" not in plain
    values = re.findall(r"<td[^>]*>(.*?)</td>", plain)
    assert values == ["4.30 × 10⁻⁶", "12,345", "yes", "&lt;i&gt;", "none", "2", "no", ""]
    assert re.findall(r"<th[^>]*>(.*?)</th>", indexed)[0] == "count" and 'class="blank' not in indexed


def test_a_listing_says_where_it_is_from(displayed):
    show_source(caption_of)
    (page,) = displayed
    line = inspect.getsourcelines(caption_of)[1]
    assert f"<strong>dcac_lite/book/notebook.py, line {line}</strong>" in page
    assert "font-family:monospace" in page and "Numbered caption" not in page and "raise" in page
