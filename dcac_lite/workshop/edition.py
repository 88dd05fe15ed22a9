"""Notebooks for learners and for instructors, made from the committed ones.

What is marked there is known by its tags: `exercise` is the reader's own cell, whose comments are the stub; `solution`
is a solution of the notebook's own, in the cells below it. A learner's notebook has the stub, to be filled in, and no
solution; a solved one has the solutions, each handed in to `check`."""

import ast
import inspect
import os
import shutil
from contextlib import contextmanager
from pathlib import Path

import nbformat

from ..paths import temporary_name
from ..tools.reproduce import NOTEBOOKS
from .exercise import Exercise, Prediction
from .exercises import EXERCISES, PREDICTIONS

_IMPORTS = {"np": "import numpy as np", "torch": "import torch", "F": "import torch.nn.functional as F",
            "nn": "from torch import nn", "random": "import random", "stats": "from scipy import stats"}  # fmt: skip


def tagged(cell, tag: str) -> bool:
    """Whether a cell carries a tag."""
    return tag in cell.metadata.get("tags", [])


def stub(cell) -> str:
    """The code of a reader's cell: its comments, with their marks taken off, unless they are only words."""
    code = "\n".join(line.removeprefix("#").removeprefix(" ") for line in cell.source.splitlines())
    try:
        ast.parse(code)
    except SyntaxError:
        return cell.source
    return code


def asked(code: str, function: str) -> str | None:
    """The name that `code` gives to `check`, `predict` or `reveal`; None where it is not called."""
    calls = [node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Call)]
    named = [call.args[0].value for call in calls if ast.unparse(call.func) == function]
    return named[0] if named else None


# ---------------------------------------------------------------- a solved cell


def _source(solution) -> str:
    """The source of a function or class with the imports that it needs."""
    code = inspect.getsource(solution)
    names = {node.id for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Name)}
    needed = [line for name, line in _IMPORTS.items() if name in names]
    return "\n".join([*needed, *([""] * 2 if needed else []), code.rstrip()])


def solved(exercise: Exercise) -> str:
    """The code of a cell that hands in the right answer."""
    head = "from dcac_lite.workshop import check\n"
    if exercise.in_notebook:
        return f'{head}\ncheck("{exercise.name}", {exercise.in_notebook})'
    if not callable(exercise.solution):
        return f'{head}\ncheck("{exercise.name}", {exercise.solution!r})'
    name = exercise.solution.__name__
    register = ""
    if inspect.isclass(exercise.solution):
        head = f"from dcac_lite import SCHEMES\n{head}"
        register = f'SCHEMES["mine"] = {name}\n'
    return f'{head}{_source(exercise.solution)}\n\n\n{register}check("{exercise.name}", {name})'


def notes(exercise: Exercise) -> str:
    """What an instructor wants to know about an exercise, as markdown."""
    hints = "\n".join(f"{number}. {words}" for number, words in enumerate(exercise.hints, 1))
    mistakes = "\n".join(f"* {mistake.says}" for mistake in exercise.mistakes)
    return (
        f"**Notes for the instructor, {exercise.name}** ({exercise.kind}).\n\nHints, in turn:\n\n{hints}\n\n"
        f"Misconceptions that are recognised, as the learner is told:\n\n{mistakes}"
    )


# ---------------------------------------------------------------- editions


def _code(source: str, cell_id: str, tag: str):
    return nbformat.v4.new_code_cell(source, id=cell_id, metadata={"tags": [tag]})


def learners(notebook):
    """The learner's notebook: stubs in place, solutions gone, and no output between a prediction and its revelation."""
    cells, hidden = [], False
    for cell in notebook.cells:
        if tagged(cell, "solution"):
            continue
        if tagged(cell, "exercise"):
            code = stub(cell)
            hidden = (hidden or asked(code, "predict") is not None) and asked(code, "reveal") is None
            cell = _code(code, cell.id, "exercise")
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
            cells.append(_code(_predicted(PREDICTIONS[name]), cell.id, "exercise"))
        elif asked(code, "reveal"):
            cells.append(_code(code, cell.id, "exercise"))
    return _like(notebook, cells)


def _answered(exercise: Exercise, with_notes: bool) -> list:
    key = exercise.name.replace(".", "-")
    cells = [_code(solved(exercise), f"check-{key}", "exercise")]
    if with_notes:
        cells.append(nbformat.v4.new_markdown_cell(notes(exercise), id=f"notes-{key}"))
    return cells


def _predicted(prediction: Prediction) -> str:
    return f'from dcac_lite.workshop import predict\n\npredict("{prediction.name}", "{prediction.right}")'


def _like(notebook, cells: list):
    return nbformat.from_dict(notebook | {"cells": cells})


@contextmanager
def _new_folder(out: Path):
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


def write(out: Path, reader: str) -> int:
    """Write the edition of a "learner" or an "instructor" to a new folder; returns the number of notebooks.

    A learner's solutions lie in `solutions/`. Raises ValueError where `out` is taken or there is nothing to make an
    edition of."""
    originals = sorted(NOTEBOOKS.glob("*.ipynb"))
    if not originals:
        raise ValueError(f"there are no notebooks in {NOTEBOOKS}; run this in a clone, not from an installed package.")
    with _new_folder(out) as folder:
        for path in originals:
            notebook = nbformat.read(path, as_version=4)
            if reader == "learner":
                nbformat.write(learners(notebook), folder / path.name)
                (folder / "solutions").mkdir(exist_ok=True)
                nbformat.write(solutions(notebook), folder / "solutions" / path.name)
            else:
                nbformat.write(solutions(notebook, with_notes=True), folder / path.name)
    return len(originals)
