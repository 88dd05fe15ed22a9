"""`python -m dcac_lite tables ...`: what Snakemake calls, how a batch stands, and publishing."""

import argparse
import os
from pathlib import Path

from ..paths import runs_root
from ..stopping import listen
from ..tiers import TIERS
from .jobs import measure
from .standing import report
from .tables import left_out


def add_arguments(parser: argparse.ArgumentParser) -> None:
    words = parser.add_subparsers(title="what", metavar="WHAT", required=True)
    job = words.add_parser("job", help="train and measure what a job's file says (called by Snakemake)")
    job.add_argument("told", type=Path, metavar="FILE", help="a file of RUNS/TIER/batch/jobs")
    job.add_argument("done", type=Path, metavar="DONE", help="written when all is finished")
    job.set_defaults(call=_job)
    notebook = words.add_parser("notebook", help="execute a tables' notebook (called by Snakemake)")
    notebook.add_argument("template", type=Path, metavar="NOTEBOOK")
    notebook.add_argument("executed", type=Path, metavar="OUT")
    notebook.set_defaults(call=_notebook)
    status = words.add_parser("status", help="how the last batch stands")
    status.set_defaults(call=lambda arguments: print(report(runs_root() / arguments.tier / "batch")))
    publish = words.add_parser("publish", help="write the published measurements, and the page of all tables")
    publish.add_argument("--in-place", action="store_true", help="into figures/, not into the runs folder")
    publish.set_defaults(call=_publish)
    for parser in (notebook, status, publish):
        parser.add_argument("--tier", default="lite", choices=[*TIERS], help="default: lite")
    for parser in (notebook, publish):
        parser.add_argument("--seeds", type=int, default=5, help="default: 5")


def _job(arguments: argparse.Namespace) -> int:
    os.environ.setdefault("TQDM_DISABLE", "1")
    listen()
    try:
        measure(arguments.told.resolve(), arguments.done.resolve())
    except RuntimeError as error:
        print(error, flush=True)
        return 1
    return 0


def _notebook(arguments: argparse.Namespace) -> None:
    from ..tools.reproduce import execute, stderr_in

    with stderr_in(runs_root() / arguments.tier / "kernels.log"):
        told = {"tier": arguments.tier, "seeds": arguments.seeds}
        seconds = execute(arguments.template, arguments.executed.resolve(), told)
    print(f"{arguments.template.name}: {seconds:.0f} s", flush=True)


def _publish(arguments: argparse.Namespace) -> None:
    from .publish import publish

    if arguments.in_place and left_out():
        raise ValueError("what is published are the paper's tables, whole; unset DCAC_PROTOCOL.")
    table, page = publish(arguments.tier, arguments.seeds, arguments.in_place)
    print(f"{table}\n{page}")
