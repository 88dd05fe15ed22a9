"""Where notebooks stop that cannot go on: their code cells, run one after the other in one process for all of them."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

_PROGRAM = """
import contextlib, json, sys
import nbformat

for path, parameters in json.loads(sys.argv[1]):
    names, stopped = {"In": [""], "__name__": "__main__"}, ["", "nothing stopped it", 0]
    cells = [cell for cell in nbformat.read(path, 4).cells if cell.cell_type == "code"]
    for number, cell in enumerate(cells, 1):
        try:
            with contextlib.redirect_stdout(sys.stderr):
                exec(cell.source, names)
        except Exception as error:
            stopped = [type(error).__name__, str(error), number]
            break
        if "parameters" in cell.metadata.get("tags", []):
            names |= parameters
    print(json.dumps(stopped))
"""


class Stop(NamedTuple):
    """The error's name and its text, and the number of the code cell."""

    error: str
    sentence: str
    cell: int


def stops(jobs: Sequence[tuple[Path, dict]], **environment: str) -> list[Stop]:
    """Run each notebook with its parameters to where it stops."""
    told = json.dumps([[str(path), parameters] for path, parameters in jobs])
    environment = os.environ | {"MPLBACKEND": "Agg"} | environment
    done = subprocess.run([sys.executable, "-c", _PROGRAM, told], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr[-2000:]
    return [Stop(*json.loads(line)) for line in done.stdout.splitlines()]
