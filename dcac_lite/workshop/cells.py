"""The cells of an edition: what a reader's cell asks, and cells made anew."""

import ast
import inspect

import nbformat

from .exercise import Exercise

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


def names_in(code: str) -> set[str]:
    """The names that code uses."""
    return {node.id for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Name)}


def handed_in(head: list[str], function, tail: list[str]) -> str:
    """The code of a cell: imports, the source of a function or class with what it needs, and the lines below it."""
    code = inspect.getsource(function).rstrip()
    needed = [line for name, line in _IMPORTS.items() if name in names_in(code)]
    return "\n".join([*needed, *([""] if needed else []), *head, "", "", code, "", "", *tail])


def notes(exercise: Exercise) -> str:
    """What an instructor wants to know about an exercise, as markdown."""
    hints = "\n".join(f"{number}. {words}" for number, words in enumerate(exercise.hints, 1))
    mistakes = "\n".join(f"* {mistake.says}" for mistake in exercise.mistakes)
    return (
        f"**Notes for the instructor, {exercise.name}** ({exercise.kind}).\n\nHints, in turn:\n\n{hints}\n\n"
        f"Misconceptions that are recognised, as the learner is told:\n\n{mistakes}"
    )


def code_cell(source: str, cell_id: str, tag: str = "exercise"):
    """A new code cell with a tag."""
    return nbformat.v4.new_code_cell(source, id=cell_id, metadata={"tags": [tag]})
