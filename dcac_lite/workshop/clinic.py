"""`diagnose.ipynb`: the planted bugs as a notebook, to be found from what one sees of them, or found already."""

import inspect

import nbformat

from . import toy
from .bugs import CASES, Case
from .cells import code_cell, handed_in, names_in, notes

_OPENING = """# Diagnose

Fifteen small pieces are broken, one in each cell. Somebody reports what they see. Run the cell, compare the numbers with what a healthy run shows, and say *why* before you touch the code. Then repair the function and run the cell again: the numbers should be healthy, and `check` says whether it is the right repair. `hint("bug.1")` helps, one step at a time.

People are vectors here, and the encoder is one linear layer, so that everything runs in seconds. What the numbers mean is the same as in a real run: the first ID loss is $\\ln N$, the last one cannot fall below the entropy of a smoothed label, and so on; [TROUBLESHOOTING](../TROUBLESHOOTING.md) has the whole list. A healthy run of this toy first:"""  # noqa: E501
_HEALTHY = "from dcac_lite.workshop.toy import training\n\ntraining()"


def _cell(case: Case, function) -> str:
    """The code of a case: the function, broken or repaired, what one sees of it, and the check."""
    own = function.__name__
    names = names_in(inspect.getsource(function)) | names_in(case.shows)
    used = sorted(names & set(vars(toy)) - {own, "np", "torch", "F"})
    head = ["from dcac_lite.workshop import check, hint", f"from dcac_lite.workshop.toy import {', '.join(used)}"]
    return handed_in(head, function, [case.shows, f'check("{case.exercise.name}", {own})'])


def clinic(solved: bool = False):
    """The notebook; with `solved` the functions are repaired, and the reasoning and an instructor's notes stand
    below."""
    cells = [nbformat.v4.new_markdown_cell(_OPENING, id="opening"), code_cell(_HEALTHY, "healthy")]
    for case in CASES:
        exercise, key = case.exercise, case.exercise.name.replace(".", "-")
        cells.append(nbformat.v4.new_markdown_cell(f"## {exercise.name}\n\n{case.story}", id=f"story-{key}"))
        function = exercise.solution if solved else exercise.given
        cells.append(code_cell(_cell(case, function), f"cell-{key}"))
        if solved:
            words = f"**Why.** {exercise.right}\n\n{notes(exercise)}"
            cells.append(nbformat.v4.new_markdown_cell(words, id=f"notes-{key}"))
    kernel = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
    return nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})
