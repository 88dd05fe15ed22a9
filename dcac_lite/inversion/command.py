"""`python -m dcac_lite inversion ...`: Re-ID by inverting a generator, from the command line."""

import argparse

TIERS = ("smoke", "lite", "full", "rehearsal")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the sub-commands to `parser`; each sets `call`, a function of the parsed arguments."""
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    train = commands.add_parser("train", help="train the stages; finished ones are found, a killed one goes on")
    train.add_argument("--in-place", action="store_true", help="also write the weights that are shipped (lite only)")
    train.set_defaults(call=_train)
    rank = commands.add_parser("rank", help="mAP and R1 of Img2ID on queries and gallery, by both protocols")
    rank.set_defaults(call=_rank)
    for command in (train, rank):
        command.add_argument("--tier", default="lite", choices=TIERS, help="default: lite")
        command.add_argument("--source", default="MA", metavar="NAME", help="domain or folder; default: MA")
        command.add_argument("--seed", type=int, default=0, help="default: 0")
        command.add_argument("--leak", action="store_true", help="let the generator see the test people too")
        command.add_argument(
            "--teachers", nargs="+", default=["auxiliary"], metavar="NAME",
            help="what Img2ID learns from: auxiliary, rows or gaussian (generated), pairs or classes (real pictures)",
        )  # fmt: skip


def _system(arguments: argparse.Namespace, shipped: bool):
    from .system import TEACHERS, Setting, System

    if wrong := [name for name in arguments.teachers if name not in TEACHERS]:
        raise ValueError(f"teacher is {wrong[0]!r}; expected one of {', '.join(TEACHERS)}.")
    return System(Setting(arguments.source, arguments.tier, arguments.seed, arguments.leak), shipped)


def _train(arguments: argparse.Namespace) -> None:
    from .system import Setting, ship

    system = _system(arguments, shipped=False)
    if arguments.in_place and system.setting != Setting():
        raise ValueError("--in-place is for the weights that are shipped: lite, MA, seed 0, without --leak.")
    for teacher in arguments.teachers:
        system.img2id(teacher)
    _ = system.img2noise
    print(f"The stages are in {system.folder}.")
    if arguments.in_place:
        ship(system)


def _rank(arguments: argparse.Namespace) -> None:
    from .reid import of_network

    system = _system(arguments, shipped=True)
    print(f"{'Img2ID taught by':20}{'mAP':>8}{'R1':>8}{'code mAP':>10}{'code R1':>10}")
    for teacher in arguments.teachers:
        found = of_network(system.img2id(teacher), system.domain, system.recipe.size)
        print(f"{teacher:20}{found['mAP']:8.2f}{found['R1']:8.2f}{found['code mAP']:10.2f}{found['code R1']:10.2f}")
