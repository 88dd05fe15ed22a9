"""`python -m dcac_lite clothes ...`: the clothes-changing world from the command line."""

import argparse
from contextlib import nullcontext
from pathlib import Path

from .painting_command import add_painting
from .specs import CLOTHES_DOMAINS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the sub-commands to `parser`; each sets `call`, a function of the parsed arguments."""
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    draw = commands.add_parser("draw", help="draw clothes-changing domains now, and print where they lie")
    draw.add_argument("--outfits", type=int, metavar="N", help="of every training person; default: the domain's own")
    draw.set_defaults(call=_draw)
    report = commands.add_parser("report", help="what bodies alone can tell, and how far clothes lead astray")
    report.add_argument("--out", type=Path, metavar="FILE", help="also write the tidy table to this csv file")
    report.set_defaults(call=_report)
    add_painting(commands)
    for command in (draw, report):
        known = {"default": list(CLOTHES_DOMAINS), "choices": CLOTHES_DOMAINS, "metavar": "NAME"}
        command.add_argument("--domains", nargs="+", help=f"of {', '.join(CLOTHES_DOMAINS)}; default: all", **known)
        command.add_argument("--tier", default="lite", choices=("smoke", "lite"), help="default: lite")


def _draw(arguments: argparse.Namespace) -> None:
    from .domains import load_clothes

    for name in arguments.domains:
        print(f"{name} ({arguments.tier}): {load_clothes(name, arguments.tier, arguments.outfits).root}", flush=True)


def _report(arguments: argparse.Namespace) -> None:
    from ..tools.status import recording
    from ..world.report import write
    from .references import report, text

    with recording(arguments.out.resolve()) if arguments.out else nullcontext():
        table = report(tuple(arguments.domains), arguments.tier)
        print(text(table))
        if arguments.out:
            write(table, arguments.out)
            print(f"{len(table)} rows in {arguments.out}")
