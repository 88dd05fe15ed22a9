"""Notebooks for learners and for instructors, made from the committed ones.

What is marked there is known by its tags: `exercise` is the reader's own cell, whose comments are the stub; `solution`
is a solution of the notebook's own, in the cells below it. A learner's notebook has the stub, to be filled in, and no
solution; a solved one has the solutions, each handed in to `check`."""

import inspect
import os
import shutil
from contextlib import contextmanager
from pathlib import Path

import nbformat

from ..paths import temporary_name
from ..tools.reproduce import NOTEBOOKS
from .cells import asked, code_cell, handed_in, notes, stub, tagged
from .clinic import clinic
from .documents import document, inside, led_to
from .exercise import Exercise, Prediction
from .exercises import EXERCISES, PREDICTIONS

# ---------------------------------------------------------------- a solved cell


def solved(exercise: Exercise) -> str:
    """The code of a cell that hands in the right answer."""
    head, solution = ["from dcac_lite.workshop import check"], exercise.solution
    if exercise.in_notebook or not callable(solution):
        return f'{head[0]}\n\ncheck("{exercise.name}", {exercise.in_notebook or repr(solution)})'
    tail = [f'check("{exercise.name}", {solution.__name__})']
    if inspect.isclass(solution):  # a scheme
        head.insert(0, "from dcac_lite import SCHEMES")
        tail.insert(0, f'SCHEMES["mine"] = {solution.__name__}')
    return handed_in(head, solution, tail)


# ---------------------------------------------------------------- editions


def learners(notebook):
    """The learner's notebook: stubs in place, solutions gone, and no output between a prediction and its revelation."""
    cells, hidden = [], False
    for cell in notebook.cells:
        if tagged(cell, "solution"):
            continue
        if tagged(cell, "exercise"):
            code = stub(cell)
            hidden = (hidden or asked(code, "predict") is not None) and asked(code, "reveal") is None
            cell = code_cell(code, cell.id, "exercise")
        elif hidden and cell.cell_type == "code":
            cell = nbformat.from_dict(cell | {"outputs": [], "execution_count": None})
        cells.append(cell)
    return _like(notebook, cells)


def solutions(notebook, with_notes: bool = False):
    """The solved notebook: every exercise handed in right, with notes for an instructor if asked for."""
    cells, waiting = [], None  # an exercise whose check comes after the notebook's own solution cells
    for cell in [*notebook.cells, None]:
        if waiting and (cell is None or not tagged(cell, "solution")):
            cells += _answered(waiting, with_notes)
            waiting = None
        if cell is None:
            break
        if not tagged(cell, "exercise"):
            opened = {key: value for key, value in cell.metadata.items() if key != "jupyter"}
            cells.append(nbformat.from_dict(cell | {"metadata": opened}) if tagged(cell, "solution") else cell)
            continue
        code = stub(cell)
        if name := asked(code, "check"):
            waiting = EXERCISES[name]
            if not waiting.in_notebook:
                cells += _answered(waiting, with_notes)
                waiting = None
        elif name := asked(code, "predict"):
            cells.append(code_cell(_predicted(PREDICTIONS[name]), cell.id, "exercise"))
        elif asked(code, "reveal"):
            cells.append(code_cell(code, cell.id, "exercise"))
    return _like(notebook, cells)


def _answered(exercise: Exercise, with_notes: bool) -> list:
    key = exercise.name.replace(".", "-")
    cells = [code_cell(solved(exercise), f"check-{key}", "exercise")]
    if with_notes:
        cells.append(nbformat.v4.new_markdown_cell(notes(exercise), id=f"notes-{key}"))
    return cells


def _predicted(prediction: Prediction) -> str:
    return f'from dcac_lite.workshop import predict\n\npredict("{prediction.name}", "{prediction.right}")'


def _like(notebook, cells: list):
    return nbformat.from_dict(notebook | {"cells": cells})


def committed() -> list[Path]:
    """The notebooks of the clone, in the book's order. Raises ValueError where there are none."""
    if found := sorted(NOTEBOOKS.glob("*.ipynb")):
        return found
    raise ValueError(f"there are no notebooks in {NOTEBOOKS}; run this in a clone, not from an installed package.")


@contextmanager
def new_folder(out: Path):
    """Yields a folder that becomes `out` when the block ends without an error, and is gone otherwise."""
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise ValueError(f"{out} is there and not empty; name a new folder, so that nobody's answers are overwritten.")
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_name(out)
    temporary.mkdir()
    try:
        yield temporary
        os.replace(temporary, out)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def editions(reader: str):
    """Yields name and notebook of all that a "learner" or an "instructor" gets; a learner's solutions lie in
    `solutions/`."""
    for path in committed():
        notebook = nbformat.read(path, as_version=4)
        if reader == "learner":
            yield path.name, learners(notebook)
            yield f"solutions/{path.name}", solutions(notebook)
        else:
            yield path.name, solutions(notebook, with_notes=True)
    yield "diagnose.ipynb", clinic(solved=reader == "instructor")
    if reader == "learner":
        yield "solutions/diagnose.ipynb", clinic(solved=True)


def write(out: Path, reader: str) -> int:
    """Write an edition to a new folder, with the documents that its notebooks lead to; returns the number of notebooks
    to work with. Raises ValueError where `out` is taken, or where there are no notebooks to make it of."""
    with new_folder(out) as folder:
        notebooks = dict(editions(reader))
        for name, notebook in notebooks.items():
            (folder / name).parent.mkdir(exist_ok=True)
            nbformat.write(inside(notebook, name.rpartition("/")[0]), folder / name)
        documents = led_to(notebooks.values())
        for name in documents:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(document(name, documents, set(notebooks)), encoding="utf-8")
    return len(list(out.glob("*.ipynb")))
