"""All exercises and predictions of the book, by name."""

from importlib import import_module

from .exercise import Exercise, Prediction

MODULES = (*(f"chapter_{number:02}" for number in range(7)), "bugs")
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
