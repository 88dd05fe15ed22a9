"""`python -m dcac_lite world ...`: what can be asked of the embedded world from the command line."""

import argparse
from contextlib import nullcontext
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the sub-commands to `parser`; each sets `call`, a function of the parsed arguments."""
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    report = commands.add_parser("report", help="how far references without pre-training get")
    report.add_argument("--sources", nargs="+", default=["MA"], metavar="NAME", help="domains to train on; default: MA")
    report.add_argument("--tier", default="lite", choices=("smoke", "lite"), help="default: lite")
    report.add_argument("--steps", type=int, default=1200, help="of the small CNNs; default: 1200")
    report.add_argument("--out", type=Path, metavar="FILE", help="also write the tidy table to this csv file")
    report.set_defaults(call=_report)
    draw = commands.add_parser(
        "draw", help="draw every embedded domain now, for whoever may only read the data's folder"
    )
    draw.add_argument("--tier", nargs="+", default=["smoke", "lite"], choices=("smoke", "lite"), help="default: both")
    draw.set_defaults(call=_draw)


def _draw(arguments: argparse.Namespace) -> None:
    from ..data.domains import training_set
    from ..data.load import load_domain
    from ..data.moments import cached_moments
    from ..data.registry import DOMAIN_NAMES
    from ..experiment import Experiment
    from ..training import diffusion_of

    for tier in arguments.tier:
        sd = diffusion_of(Experiment(tier=tier))
        for name in DOMAIN_NAMES:
            domain = load_domain(name, tier)
            cached_moments(sd, training_set([domain]))  # what training on this domain needs besides its pictures
            print(f"{name} ({tier}): {domain.root}", flush=True)


def _report(arguments: argparse.Namespace) -> None:
    from ..tools.status import recording
    from .report import report, text, write

    with recording(arguments.out.resolve()) if arguments.out else nullcontext():
        table = report(arguments.sources, tier=arguments.tier, steps=arguments.steps)
        print(text(table))
        if arguments.out:
            write(table, arguments.out)
            print(f"{len(table)} rows in {arguments.out}")
