"""Editions for learners and instructors are whole, know every exercise, lead nowhere wrong, and refuse a folder that is
taken."""

import ast
import re

import nbformat
import pytest

from dcac_lite.__main__ import main
from dcac_lite.tools.reproduce import NOTEBOOKS
from dcac_lite.workshop.cells import asked, stub, tagged
from dcac_lite.workshop.clinic import clinic
from dcac_lite.workshop.edition import learners, solutions
from dcac_lite.workshop.exercises import EXERCISES, PREDICTIONS

PATHS = sorted(NOTEBOOKS.glob("*.ipynb"))
by_name = pytest.mark.parametrize("path", PATHS, ids=lambda p: p.stem)
pytestmark = pytest.mark.usefixtures("desk")


def cells_of(path, tag: str) -> list:
    return [cell for cell in nbformat.read(path, as_version=4).cells if tagged(cell, tag)]


def run_alone(code: str) -> None:
    exec(compile(code, "cell", "exec"), {})


def test_every_exercise_has_its_cell_and_every_cell_its_exercise():
    stubs = [stub(cell) for path in PATHS for cell in cells_of(path, "exercise")]
    stubs += [cell.source for cell in clinic().cells if tagged(cell, "exercise")]
    named = {function: [name for code in stubs if (name := asked(code, function))] for function in
             ("check", "predict", "reveal")}  # fmt: skip
    assert sorted(named["check"]) == sorted(EXERCISES)
    assert sorted(named["predict"]) == sorted(named["reveal"]) == sorted(PREDICTIONS)


@by_name
def test_a_solution_is_folded_below_the_reader_s_own_cell(path):
    cells = nbformat.read(path, as_version=4).cells
    for before, cell in zip(cells, cells[1:]):
        if tagged(cell, "exercise"):
            assert not cell.outputs and all(line.startswith("#") for line in cell.source.splitlines())
        if tagged(cell, "solution"):
            assert tagged(before, "exercise") or tagged(before, "solution"), cell.source
            assert cell.metadata["jupyter"] == {"source_hidden": True, "outputs_hidden": True}


@by_name
def test_a_reader_s_cell_takes_no_name_from_the_notebook(path):
    notebook = learners(nbformat.read(path, as_version=4))
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    theirs, ours = (
        [node for cell in code if tagged(cell, "exercise") == kind for node in ast.walk(ast.parse(cell.source))]
        for kind in (True, False)
    )
    bound = {n.id for n in theirs if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    bound |= {n.name for n in theirs if isinstance(n, ast.FunctionDef)}
    assert not bound & {n.id for n in ours if isinstance(n, ast.Name)}


@by_name
def test_stubs_run_and_say_that_nothing_was_attempted(path, capsys):
    for cell in learners(nbformat.read(path, as_version=4)).cells:
        if tagged(cell, "exercise"):
            run_alone(cell.source)
            assert (asked(cell.source, "check") is None) or "not attempted." in capsys.readouterr().out


@by_name
def test_shown_solutions_run_and_are_right(path, capsys):
    for cell in solutions(nbformat.read(path, as_version=4)).cells:
        name = asked(cell.source, "check") if tagged(cell, "exercise") else None
        if name and not EXERCISES[name].in_notebook:
            run_alone(cell.source)
            assert "right." in capsys.readouterr().out


def test_editions_are_whole_and_apart(tmp_path, capsys):
    assert not main(["workshop", "out"]) and not main(["workshop", "new/taught", "--for", "instructor"])
    names = {path.name for path in PATHS}
    assert names <= {p.name for p in (tmp_path / "out").iterdir()} and names <= {
        p.name for p in (tmp_path / "out" / "solutions").iterdir()
    }
    for path in PATHS:
        mine, taught = (nbformat.read(tmp_path / folder / path.name, as_version=4) for folder in ("out", "new/taught"))
        nbformat.validate(mine), nbformat.validate(taught)
        assert not [cell for cell in mine.cells if tagged(cell, "solution")]
        kept = [cell.source for cell in nbformat.read(path, as_version=4).cells if not tagged(cell, "exercise")]
        theirs = {cell.source for cell in taught.cells}
        assert [source for source in kept if source.replace("](../", "](") not in theirs] == []
    assert "Notes for the instructor, 02.eq7" in (tmp_path / "new/taught/02_baseline_reid.ipynb").read_text()


@pytest.mark.parametrize("reader", ["learner", "instructor"])
def test_no_link_of_an_edition_leads_nowhere_or_out_of_it(reader, tmp_path, capsys):
    main(["workshop", "out", "--for", reader])
    out = (tmp_path / "out").resolve()
    followed = 0
    for path in [*out.rglob("*.ipynb"), *out.rglob("*.md")]:
        text = path.read_text()
        if path.suffix == ".ipynb":  # what is shown of it: words and what cells have printed
            cells = nbformat.reads(text, as_version=4).cells
            shown = [cell.source for cell in cells if cell.cell_type == "markdown"]
            data = [output.get("data", {}) for cell in cells for output in cell.get("outputs", [])]
            text = "\n".join(shown + [entry.get(kind, "") for entry in data for kind in ("text/markdown", "text/html")])
        for link in re.findall(r"\]\(([^)\s]+)\)|(?:href|src)=[\"']([^\"']+)", text):
            target = "".join(link).partition("#")[0]
            if target and not re.match(r"\w+:", target):
                followed += 1
                there = (path.parent / target).resolve()
                assert there.is_file() and out in there.parents, f"{path.relative_to(out)}: {target}"
    assert followed > 50
    assert {"README.md", "TROUBLESHOOTING.md", "data_cards"} <= {path.name for path in out.iterdir()}


def test_nothing_half_written_is_left(tmp_path, monkeypatch):
    def stop(*_):
        raise OSError("the disk is full")

    monkeypatch.setattr("dcac_lite.workshop.edition.nbformat.write", stop)
    with pytest.raises(SystemExit):
        main(["workshop", "out"])
    assert not list(tmp_path.iterdir())


def test_nothing_is_shown_between_a_prediction_and_its_revelation():
    (path,) = NOTEBOOKS.glob("04_*.ipynb")
    notebook = learners(nbformat.read(path, as_version=4))
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    start = next(k for k, cell in enumerate(code) if asked(cell.source, "predict") == "04.softer")
    stop = next(k for k, cell in enumerate(code) if asked(cell.source, "reveal") == "04.softer")
    assert stop - start > 2 and not any(cell.outputs for cell in code[start:stop])
    assert any(cell.outputs for cell in code[:start])


@pytest.mark.parametrize("kind", ["learner", "slides"])
def test_an_installed_package_without_notebooks_is_one_sentence(kind, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("dcac_lite.workshop.edition.NOTEBOOKS", tmp_path / "site-packages" / "notebooks")
    with pytest.raises(SystemExit):
        main(["workshop", "out", "--for", kind])
    assert "run this in a clone, not from an installed package" in " ".join(capsys.readouterr().err.split())
    assert not list(tmp_path.iterdir())
