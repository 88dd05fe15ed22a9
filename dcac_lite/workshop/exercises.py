"""All exercises and predictions of the book, by name."""

from importlib import import_module

from .exercise import Exercise, Prediction

MODULES = ("chapter_00", "chapter_01", "chapter_02", "chapter_02_search", "chapter_03", "chapter_04",
           "chapter_04_schemes", "chapter_05", "chapter_06", "chapter_b1", "chapter_b2", "bugs")  # fmt: skip
_modules = [import_module(f".{name}", __package__) for name in MODULES]

EXERCISES: dict[str, Exercise] = {e.name: e for module in _modules for e in module.EXERCISES}
PREDICTIONS: dict[str, Prediction] = {p.name: p for module in _modules for p in module.PREDICTIONS}


def exercise(name: str) -> Exercise:
    """The exercise of a name; raises ValueError with the names there are."""
    if name not in EXERCISES:
        raise ValueError(f"There is no exercise {name!r}; there are {', '.join(EXERCISES)}.")
    return EXERCISES[name]


def prediction(name: str) -> Prediction:
    """The prediction of a name; raises ValueError with the names there are."""
    if name not in PREDICTIONS:
        raise ValueError(f"There is no prediction {name!r}; there are {', '.join(PREDICTIONS)}.")
    return PREDICTIONS[name]
