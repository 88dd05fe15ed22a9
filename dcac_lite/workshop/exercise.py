"""What an exercise is, and how an answer to it is judged.

An answer is a value or a function that the learner wrote. It is judged by what is true of every right answer (a
property), not by comparing it with a stored number. Where it is wrong it is compared with the mistakes that are known:
whoever's function does on the exercise's probes what a known wrong one does is told why that one is wrong."""

import copy
import dis
import inspect
from collections.abc import Callable, Iterable, Sequence
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
    """Copies, so that an answer which writes into its arguments harms nobody else. What two arguments share, their
    copies share as well."""
    return copy.deepcopy(arguments)


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


def slopes(answer: Callable, reference: Callable, probes: Sequence[tuple], at: int, sentence: str) -> None:
    """Raises Wrong with `sentence` unless autograd sends as much back through a function as through the reference, to
    the argument at place `at`."""
    for arguments in probes:
        found, expected = (slope(function, arguments, at) for function in (answer, reference))
        need(found is not None and close(found, expected), sentence)


def slope(function: Callable, arguments: tuple, at: int) -> torch.Tensor | None:
    """What autograd sends back through a function to the argument at place `at`; None where nothing arrives."""
    copied = fresh(arguments)
    start = copied[at].requires_grad_()
    entering = start * 1  # no leaf, so that an answer may write into it
    given = function(*(entering if place == at else argument for place, argument in enumerate(copied)))
    if not (isinstance(given, torch.Tensor) and given.requires_grad):
        return None
    return torch.autograd.grad(given.square().sum(), start, allow_unused=True)[0]


def overwrites(answer: Callable, probes: Sequence[tuple]) -> bool:
    """Whether a function writes into a tensor, an array or a list that it is given."""
    for arguments in probes:
        given = fresh(arguments)
        answer(*given)
        for now, before in zip(given, arguments):
            if isinstance(before, (torch.Tensor, np.ndarray, list)) and not close(now, before, 0):
                return True
    return False


# ---------------------------------------------------------------- judging


def _blank(value: Any) -> bool:
    if isinstance(value, (tuple, list)):
        return not value or any(_blank(part) for part in value)
    return value is None or value is ...


def _untouched(function: Callable) -> bool:
    """Whether a function is still the stub: its body does nothing."""
    idle = {"RESUME", "LOAD_CONST", "RETURN_CONST", "RETURN_VALUE", "NOP"}
    return inspect.isfunction(function) and {step.opname for step in dis.get_instructions(function)} <= idle


def _code(function: Callable) -> tuple | None:
    """What a function does, wherever it is written."""
    code = getattr(function, "__code__", None)
    return code and (code.co_code, code.co_names, code.co_varnames, code.co_consts)


def _called_with(exercise: Exercise, arguments: tuple) -> str:
    """The arguments of a call by name, tensors and arrays as their shapes."""
    said = (str(list(a.shape)) if hasattr(a, "shape") and len(a.shape) else f"{a:.60}" if isinstance(a, str) else
            f"{a!r:.60}" for a in arguments)  # fmt: skip
    return ", ".join(f"{name} {words}" for name, words in zip(inspect.signature(exercise.solution).parameters, said))


def _in_form(value: Any, solution: Any) -> None:
    """Raises Wrong unless a value is of the kind of the solution: as many parts, or a number, or a word."""
    if isinstance(solution, tuple):
        several = isinstance(value, Iterable) and not isinstance(value, str) and getattr(value, "ndim", 1)
        parts = list(value) if several else []
        asked = f"hand in {len(solution)} values in brackets, with commas between them"
        need(len(parts) == len(solution), f"{asked}; got {value!r:.60}.")
        for part, expected in zip(parts, solution):
            _in_form(part, expected)
    elif isinstance(solution, dict):
        need(hasattr(value, "keys"), f"hand in a dictionary; got {value!r:.60}.")
    elif isinstance(solution, list):
        need(isinstance(value, Iterable), f"hand in a list; got {value!r:.60}.")
    elif isinstance(solution, str):
        need(isinstance(value, str), f"hand in a word, in quotation marks; got {value!r:.60}.")
    elif isinstance(solution, (int, float)):
        try:
            float(value)
        except (TypeError, ValueError):
            raise Wrong(f"hand in a number where it is {value!r:.60}.") from None


def _unstarted(exercise: Exercise, value: Any, probes: list[tuple]) -> bool:
    """Whether a function is still what the reader started from. Raises Wrong where it cannot be tried."""
    need(callable(value), f"hand in the function itself, without calling it; got {value!r:.60}.")
    if _untouched(value):
        return True
    try:
        first = value(*fresh(probes[0]))
    except NotImplementedError:
        return True
    except Exception as error:
        stops = f"it stops with {type(error).__name__}: {error}"
        raise Wrong(f"{stops} (called with {_called_with(exercise, probes[0])})") from None
    need(first is not None, "it gives nothing back, which is None in Python: is a `return` missing at its end?")
    need(not _blank(first), "a part of what it gives back is None: is it ever set?")
    return exercise.given is not None and _code(value) == _code(exercise.given)


def _shows(mistake: Mistake, value: Any, probes: list[tuple] | None) -> bool:
    try:
        return bool(mistake.sign(value)) if mistake.sign else same(value, mistake.answer, probes)
    except Exception:
        return False  # it stops, or is of another kind, so that the sign cannot be seen


def judge(exercise: Exercise, value: Any) -> Verdict:
    """The verdict on an answer: "not attempted" for what the stub gives, "right", or "not yet" with what is wrong.
    Leaves torch's random generator as it was: the notebook may be drawing from it."""
    with torch.random.fork_rng(devices=[]):
        return _judged(exercise, value)


def _judged(exercise: Exercise, value: Any) -> Verdict:
    if _blank(value):
        return Verdict("not attempted")
    probes = None if exercise.probes is None else exercise.probes()
    try:
        if probes is None:
            _in_form(value, exercise.solution)
        elif _unstarted(exercise, value, probes):
            return Verdict("not attempted")
    except Wrong as wrong:
        sentence = str(wrong)
        return Verdict("not yet", sentence[0].upper() + sentence[1:])
    try:
        writes = probes is not None and overwrites(value, probes)
        need(not writes, "it writes into what it is given, which belongs to the caller; work on a copy, x.clone().")
        exercise.test(value)
    except Wrong as wrong:
        general = str(wrong)
    except Exception as error:
        general = f"it stops with {type(error).__name__}: {error}"
    else:
        return Verdict("right", exercise.right)
    known = (mistake.says for mistake in exercise.mistakes if _shows(mistake, value, probes))
    return Verdict("not yet", next(known, general[0].upper() + general[1:]))
