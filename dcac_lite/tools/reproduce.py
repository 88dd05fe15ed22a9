"""Run the notebooks headless, in order: `python -m dcac_lite reproduce --tier lite`.

Every notebook is executed by papermill into `runs/TIER/notebooks/`; `--in-place` writes the executed
notebooks back to `notebooks/` and their figures to `figures/` instead (lite only: that is how the committed
outputs are made).
"""

import argparse
import os
import sys
import time
from contextlib import contextmanager
from pathlib import Path

from ..paths import CLONE, figures_folder, figures_root, own_folder, replacing, runs_root
from ..progress import NOTHING
from ..tiers import TIERS
from .status import recording

NOTEBOOKS = CLONE / "notebooks"
WIDGET = "application/vnd.jupyter.widget-view+json"
#: Parameters of a notebook, by its number, where only the machinery is shown; what a user gives comes first.
SMALL = {"07": {"pictures": 8, "draws": 4}}


def execute(source: Path, target: Path, parameters: dict) -> float:
    """Run one notebook and write it, executed, to `target`; returns the seconds it took.

    The executed notebook records tier and seconds in its metadata; what one in `notebooks/` was made from is
    kept, see `status.recording`. A failed one is kept beside the target as NAME.failed.ipynb and its error is
    raised."""
    import nbformat
    import papermill

    os.environ.setdefault("TQDM_DISABLE", "1")  # a moving bar is nothing to print
    if parameters.get("tier") in ("smoke", "rehearsal"):
        parameters = SMALL.get(source.name[:2], {}) | parameters
    started = time.time()
    with recording(target), replacing(target) as temporary:
        try:
            papermill.execute_notebook(
                str(source),
                str(temporary),
                parameters,
                progress_bar=False,
                cwd=str(source.parent),
                kernel_name="python3",
            )
        except Exception:
            if temporary.exists():
                os.replace(temporary, target.with_suffix(".failed.ipynb"))
            raise
        notebook = nbformat.read(temporary, as_version=4)
        tidy(notebook)
        seconds = time.time() - started
        tier = parameters.get("tier", "lite")
        notebook.metadata["dcac_lite"] = {"tier": tier, "seconds": round(seconds)}
        nbformat.write(notebook, temporary)
    return seconds


@contextmanager
def stderr_in(log: Path):
    """Send this process's standard error, and so the kernels' chatter, to a file."""
    log.parent.mkdir(parents=True, exist_ok=True)
    saved = os.dup(2)
    try:
        with open(log, "ab") as handle:
            os.dup2(handle.fileno(), 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)


def tidy(notebook) -> None:
    """Drop what changes from run to run and helps no reader: papermill's and the kernel's timings, and
    widgets, which show nothing once their kernel is gone, and what is left of a line of progress."""
    notebook.metadata.pop("papermill", None)
    notebook.metadata.pop("widgets", None)
    for cell in notebook.cells:
        cell.metadata.pop("papermill", None)
        cell.metadata.pop("execution", None)
        if cell.cell_type == "code":
            shown = [(o, o.get("data", {})) for o in cell.outputs]
            cell.outputs = [o for o, data in shown if data != NOTHING and WIDGET not in data]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--tier", default="lite", choices=[*TIERS], help="default: lite")
    parser.add_argument("--in-place", action="store_true", help="write back to notebooks/ and figures/ (lite only)")
    parser.add_argument(
        "only", nargs="*", help="first letters of the notebooks to run, for example 00 04; default: all"
    )
    parser.set_defaults(call=_reproduce)


def _reproduce(arguments: argparse.Namespace) -> None:
    if arguments.in_place and arguments.tier != "lite":
        raise ValueError(f"--in-place is for the lite tier, whose outputs are committed; got --tier {arguments.tier}.")
    names = [
        p for p in sorted(NOTEBOOKS.glob("*.ipynb")) if not arguments.only or p.name.startswith(tuple(arguments.only))
    ]
    if not names:
        if not NOTEBOOKS.is_dir():
            raise ValueError(
                f"there are no notebooks in {NOTEBOOKS}; run this in a clone, not from an installed package."
            )
        raise ValueError(f"no notebook in {NOTEBOOKS} starts with {' or '.join(arguments.only)}.")
    if arguments.in_place:
        os.environ["DCAC_FIGURES"] = str(figures_root())  # for the kernels
    out = NOTEBOOKS if arguments.in_place else runs_root() / arguments.tier / "notebooks"
    parameters = {} if arguments.tier == "lite" else {"tier": arguments.tier}
    own_folder(runs_root() / arguments.tier)
    for k, source in enumerate(names, 1):
        print(f"[{k}/{len(names)}] {source.name} ...", end=" ", flush=True)
        try:
            with stderr_in(runs_root() / arguments.tier / "kernels.log"):
                seconds = execute(source, out / source.name, parameters)
        except Exception as error:
            print("failed", flush=True)
            sys.exit(f"{source.name}: {error}\nThe notebook as far as it came: {out / source.name[:-6]}.failed.ipynb")
        print(f"{seconds:.0f} s", flush=True)
    print(f"Done. Figures: {figures_folder(arguments.tier)}   Executed notebooks: {out}")
