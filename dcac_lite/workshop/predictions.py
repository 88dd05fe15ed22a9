"""Predictions in a local file, one for each learner, and the tally of a class."""

import json
from collections import Counter
from pathlib import Path

from ..paths import replacing
from .exercises import PREDICTIONS

FILE = "predictions.json"
_KEY = "dcac-lite predictions"


def _read(path: Path) -> dict[str, str]:
    """The predictions in a file, by name; raises ValueError where it holds something else."""
    try:
        return dict(json.loads(path.read_text(encoding="utf-8"))[_KEY])
    except (ValueError, KeyError, TypeError):
        raise ValueError(f"{path} holds no predictions; expected a copy of a learner's {FILE}.") from None


def kept(name: str) -> str | None:
    """What was predicted in this folder, or None."""
    return _read(Path(FILE)).get(name) if Path(FILE).exists() else None


def keep(name: str, answer: str) -> None:
    """Add a prediction to the file of this folder; a later one replaces it."""
    known = _read(Path(FILE)) if Path(FILE).exists() else {}
    with replacing(Path(FILE)) as temporary:
        temporary.write_text(json.dumps({_KEY: known | {name: answer}}, indent=1) + "\n", encoding="utf-8")


def tally(folder: Path) -> str:
    """How a class predicted: every file of predictions below `folder` is one learner. Options as they stand in the
    question, a star before the one that holds. Raises ValueError where there are none."""
    found = [path for path in sorted(folder.rglob("*.json")) if not any(part[0] == "." for part in path.parts[1:])]
    if not found:
        raise ValueError(f"There are no predictions below {folder}; put one {FILE} of each learner there, by any name.")
    learners = [_read(path) for path in found]
    lines = [f"{len(learners)} learners"]
    for name, asked in PREDICTIONS.items():
        said = Counter(learner[name] for learner in learners if name in learner)
        if said:
            lines += ["", f"{name}: {asked.asks}"]
            lines += [f"{'*' if option == asked.right else ' '} {said[option]:3}  {option}" for option in asked.options]
    return "\n".join(lines)
