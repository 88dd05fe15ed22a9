"""`python -m dcac_lite clothes ...`: people who change clothes, embedded and real, from the command line."""

import argparse
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

from ..paths import results_folder
from .painting_command import add_painting
from .real.command import add_real
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
    arms = commands.add_parser("arms", help="train with copies of every kind beside the controls, as a table")
    arms.add_argument("--arms", nargs="+", metavar="NAME", help="default: all, see expansion/arms.py")
    arms.set_defaults(call=_arms)
    refining = commands.add_parser("refine", help="queries' copies that vote, on the arms' heads, as a table")
    refining.set_defaults(call=_refine)
    for command in (arms, refining):
        command.add_argument("--domain", default="CP", choices=CLOTHES_DOMAINS, help="default: CP")
        command.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2], metavar="N", help="default: 0 1 2")
        command.add_argument("--in-place", action="store_true", help="write figures/results/ instead of runs/results/")
    add_painting(commands)
    add_real(commands)
    for command in (draw, report):
        known = {"default": list(CLOTHES_DOMAINS), "choices": CLOTHES_DOMAINS, "metavar": "NAME"}
        command.add_argument("--domains", nargs="+", help=f"of {', '.join(CLOTHES_DOMAINS)}; default: all", **known)
    for command in (draw, report, arms, refining):
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


def _arms(arguments: argparse.Namespace) -> None:
    from .arms import ARMS
    from .study import growing

    file = _table(arguments, "clothes")
    _grow(growing(arguments.arms or list(ARMS), arguments.seeds, arguments.domain, arguments.tier, file), file)


def _refine(arguments: argparse.Namespace) -> None:
    from .refining import table

    _grow(table(arguments.seeds, arguments.domain, arguments.tier), _table(arguments, "clothes-refinement"))


def _table(arguments: argparse.Namespace, name: str) -> Path:
    if arguments.in_place and (arguments.domain, arguments.tier) != ("CP", "lite"):
        raise ValueError(f"--in-place is for CP in lite; got {arguments.domain} in {arguments.tier}.")
    return results_folder(arguments.in_place) / f"{name}.csv"


def _grow(tables: Iterator, file: Path) -> None:
    """Write a table each time that it has grown."""
    from ..tools.status import recording
    from .study import write

    while True:
        with recording(file.resolve()):
            if (table := next(tables, None)) is None:
                return
            write(table, file)
        print(f"{len(table)} rows in {file}.", flush=True)
