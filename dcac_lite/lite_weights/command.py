"""`python -m dcac_lite weights ...`: the lite weights from the command line."""

import argparse
import json
import shutil
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the sub-commands to `parser`; each sets `call`, a function of the parsed arguments."""
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    make = commands.add_parser("make", help="pre-train the lite CLIP and Stable Diffusion on the web domain")
    make.add_argument("out", type=Path, help="folder to write, for example runs/weights")
    make.add_argument("--stages", nargs="+", default=["clip", "vae", "unet"], choices=["clip", "vae", "unet"])
    make.add_argument("--restart", action="store_true", help="throw away what the folder holds and start over")
    make.set_defaults(call=_make)
    report = commands.add_parser("report", help="the numbers of the model card, measured again (about a minute)")
    report.set_defaults(call=_report)


def _make(arguments: argparse.Namespace) -> None:
    from .make import LITE_RECIPE, pretrain

    if arguments.restart and arguments.out.exists():
        shutil.rmtree(arguments.out)
    pretrain(arguments.out, LITE_RECIPE, tuple(arguments.stages))
    print(f"Lite weights are in {arguments.out}.")


def _report(arguments: argparse.Namespace) -> None:
    from .report import report

    print(json.dumps(report(), indent=1))
