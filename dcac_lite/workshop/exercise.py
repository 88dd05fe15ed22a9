"""What an exercise is, and how an answer to it is judged.

An answer is a value or a function that the learner wrote. It is judged by what is true of every right answer (a
property), not by comparing it with a stored number. Where it is wrong it is compared with the mistakes that are known:
whoever's function does on the exercise's probes what a known wrong one does is told why that one is wrong."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch


class Wrong(Exception):
    """A sentence for the reader: which property an answer lacks."""


def need(holds: Any, sentence: str) -> None:
    """Raises Wrong with `sentence` unless `holds`."""
    if not bool(holds):
        raise Wrong(sentence)


@dataclass(frozen=True)
class Mistake:
    """A known misconception. answer: what somebody who has it hands in; says: what to tell them; sign: whether an
    answer shows it, by default whether it does the same as `answer`."""

    answer: Any
    says: str
    sign: Callable[[Any], bool] | None = None


@dataclass(frozen=True, kw_only=True)
class Exercise:
    """name: as in `check(name, ...)`. kind: what it asks of the reader. solution: a right answer. right: the
    explanation that a right answer is given. hints: in turn, the last one nearly the solution. test: raises `Wrong`
    where a property is missing. probes: what functions are tried on, a list of argument tuples; None where the answer
    is no function. given: where the reader starts from something broken, what it is. in_notebook: the expression of
    the answer after the notebook's own solution cells; "" where there are none and `solution` is shown."""

    name: str
    kind: Literal["change", "implement", "diagnose"]
    solution: Any
    right: str
    hints: tuple[str, ...]
    mistakes: tuple[Mistake, ...]
    test: Callable[[Any], None]
    probes: Callable[[], list[tuple]] | None = None
    given: Any = None
    in_notebook: str = ""


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """A question to be answered before a cell is run. options: the possible answers; right: the one that holds;
    why: the explanation, for after the cell."""

    name: str
    asks: str
    options: tuple[str, ...]
    right: str
    why: str


@dataclass(frozen=True)
class Verdict:
    """How it stands with an answer, and what to say about it."""

    state: Literal["not attempted", "not yet", "right"]
    says: str = ""


# ---------------------------------------------------------------- comparing answers


def fresh(arguments: tuple) -> tuple:
    """Copies, so that an answer which writes into its arguments harms nobody else."""
    return tuple(copy.deepcopy(a) if isinstance(a, (torch.Tensor, np.ndarray, torch.nn.Module, list)) else a
                 for a in arguments)  # fmt: skip


def numbers(value: Any) -> np.ndarray:
    """A number, array or tensor as float64; raises Wrong for anything else."""
    try:
        return np.asarray(value.detach().cpu() if isinstance(value, torch.Tensor) else value, dtype=np.float64)
    except (TypeError, ValueError):
        raise Wrong(f"it is {value!r:.60}; expected numbers.") from None


def close(a: Any, b: Any, tolerance: float = 1e-4) -> bool:
    """Whether two answers are the same: numbers nearly, tuples part by part, anything else exactly."""
    if isinstance(a, (tuple, list)) or isinstance(b, (tuple, list)):
        both = isinstance(a, (tuple, list)) and isinstance(b, (tuple, list)) and len(a) == len(b)
        return both and all(close(x, y, tolerance) for x, y in zip(a, b))
    if isinstance(a, str) or isinstance(b, str):
        return isinstance(a, str) and isinstance(b, str) and a.strip().lower() == b.strip().lower()
    try:
        x, y = numbers(a), numbers(b)
    except Wrong:
        return False
    return x.shape == y.shape and np.allclose(x, y, rtol=tolerance, atol=tolerance, equal_nan=True)


def same(a: Any, b: Any, probes: Sequence[tuple] | None) -> bool:
    """Whether two answers are the same: functions if they do the same on every probe."""
    if probes is None:
        return close(a, b)
    try:
        return all(close(_drawn(a, arguments), _drawn(b, arguments)) for arguments in probes)
    except Exception:
        return False  # one of them stops there


def _drawn(function: Callable, arguments: tuple) -> Any:
    torch.manual_seed(0)  # so that two functions that draw alike give the same
    return function(*fresh(arguments))


def follows(answer: Callable, reference: Callable, probes: Sequence[tuple], sentence: str) -> None:
    """Raises Wrong with `sentence` unless a function agrees with a slow and literal one on every probe."""
    for arguments in probes:
        got, expected = answer(*fresh(arguments)), reference(*fresh(arguments))
        shapes = np.shape(numbers(got)), np.shape(numbers(expected))
        need(shapes[0] == shapes[1], f"it has the shape {shapes[0]}, and should have {shapes[1]}.")
        need(close(got, expected), sentence)


# ---------------------------------------------------------------- judging


def _blank(value: Any) -> bool:
    if isinstance(value, (tuple, list)):
        return not value or any(_blank(part) for part in value)
    return value is None or value is ...


def _described(arguments: tuple) -> str:
    return ", ".join(str(list(a.shape)) if hasattr(a, "shape") and len(a.shape) else f"{a}" for a in arguments)


def judge(exercise: Exercise, value: Any) -> Verdict:
    """The verdict on an answer: "not attempted" for what the stub gives, "right", or "not yet" with what is wrong.
    Leaves torch's random generator as it was: the notebook may be drawing from it."""
    with torch.random.fork_rng(devices=[]):
        return _judged(exercise, value)


def _judged(exercise: Exercise, value: Any) -> Verdict:
    blank, probes = Verdict("not attempted"), None
    if _blank(value):
        return blank
    if exercise.probes is not None:
        probes = exercise.probes()
        if not callable(value):
            return Verdict("not yet", f"Hand in the function itself, without calling it; got {value!r:.60}.")
        try:
            first = value(*fresh(probes[0]))
        except NotImplementedError:
            return blank
        except Exception as error:
            where = _described(probes[0])
            return Verdict("not yet", f"It stops with {type(error).__name__}: {error} (called with {where})")
        if _blank(first) or (exercise.given is not None and same(value, exercise.given, probes)):
            return blank
    try:
        exercise.test(value)
    except Wrong as wrong:
        general = str(wrong)
    except Exception as error:
        general = f"It stops with {type(error).__name__}: {error}"
    else:
        return Verdict("right", exercise.right)
    for mistake in exercise.mistakes:
        shown = mistake.sign(value) if mistake.sign else same(value, mistake.answer, probes)
        if shown:
            return Verdict("not yet", mistake.says)
    return Verdict("not yet", general[0].upper() + general[1:])
