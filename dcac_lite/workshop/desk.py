"""Where a reader hands in: `check` an answer, ask for a `hint`, `predict` before a cell and `reveal` after it.

All of them go by name, so a cell may be copied, split or moved and a notebook renamed. Predictions are kept in
`predictions.json` in the notebook's folder, nowhere else, so that an instructor can tally a class (`predictions`)."""

import textwrap
from collections import Counter
from typing import Any

from .exercise import judge
from .exercises import exercise, prediction
from .predictions import keep, kept

_hinted: Counter[str] = Counter()  # hints given in this kernel, by exercise


def _say(name: str, words: str) -> None:
    print(textwrap.fill(f"{name}: {words}", 110))


def check(name: str, value: Any) -> None:
    """Prints how it stands with an answer: not attempted, not yet (and why), or right (and why)."""
    verdict = judge(exercise(name), value)
    _say(name, f"{verdict.state}. {verdict.says}".strip())


def hint(name: str) -> None:
    """Prints the next hint of an exercise; after the last one, the last one again."""
    hints = exercise(name).hints
    number = min(_hinted[name], len(hints) - 1)
    _hinted[name] += 1
    _say(name, f"hint {number + 1} of {len(hints)}. {hints[number]}")


def predict(name: str, answer: Any) -> None:
    """Keeps a prediction, one of the question's options; `...` only prints the question."""
    asked = prediction(name)
    options = ", ".join(f'"{option}"' for option in asked.options)
    if answer is ... or answer is None:
        _say(name, f"not attempted. {asked.asks} Predict one of {options}.")
    elif answer not in asked.options:
        _say(name, f"{answer!r} is none of the answers. {asked.asks} Predict one of {options}.")
    else:
        try:
            keep(name, answer)
        except OSError as error:
            _say(name, f'you predict "{answer}", which could not be kept: {error}. Write it down; reveal will ask.')
        else:
            _say(name, f'you predict "{answer}". Run on, then reveal.')


def reveal(name: str) -> None:
    """Prints what holds beside what was predicted; without a prediction it asks for one."""
    asked, said = prediction(name), kept(name)
    if said is None:
        _say(name, f'not attempted. First predict("{name}", ...).')
    else:
        verdict = "as you predicted" if said == asked.right else f'you predicted "{said}"'
        _say(name, f'"{asked.right}", {verdict}. {asked.why}')
