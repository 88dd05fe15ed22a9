"""`python -m dcac_lite inversion ...`: Re-ID by inverting a generator, from the command line."""

import argparse
from pathlib import Path

from ..paths import results_folder

TIERS = ("smoke", "lite", "full", "rehearsal")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the sub-commands to `parser`; each sets `call`, a function of the parsed arguments."""
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    train = commands.add_parser("train", help="train the stages; finished ones are found, a killed one goes on")
    train.add_argument("--in-place", action="store_true", help="also write the weights that are shipped (lite only)")
    train.set_defaults(call=_train)
    rank = commands.add_parser("rank", help="mAP and R1 of Img2ID on queries and gallery, by both protocols")
    rank.set_defaults(call=_rank)
    arms = commands.add_parser("arms", help="every teacher of Img2ID beside its controls, as a table")
    arms.add_argument("--in-place", action="store_true", help="write figures/results/ instead of runs/results/")
    arms.set_defaults(call=_arms)
    contents = commands.add_parser("contents", help="what linear readers find in vectors and noises, as two tables")
    contents.add_argument("--in-place", action="store_true", help="write figures/results/ instead of runs/results/")
    contents.set_defaults(call=_contents, teachers=["auxiliary"], leak=False)
    rivals = commands.add_parser("rivals", help="the auxiliary generator beside Gaussians and VAEs, as a table")
    rivals.add_argument("--in-place", action="store_true", help="write figures/results/ instead of runs/results/")
    rivals.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="of these inventors; default: 0 1 2")
    rivals.set_defaults(call=_rivals, teachers=["auxiliary"], leak=False, seed=0)
    released = commands.add_parser("released", help="what the authors' released auxiliary generator learned by heart")
    released.add_argument("file", type=Path, metavar="FILE", help="auxiliary_generator.hdf5")
    released.add_argument("--draws", type=int, default=5000, help="vectors to draw; default: 5000")
    released.set_defaults(call=_released)
    for command in (train, rank, arms, contents, rivals):
        command.add_argument("--tier", default="lite", choices=TIERS, help="default: lite")
        command.add_argument("--source", default="MA", metavar="NAME", help="domain or folder; default: MA")
    for command in (train, rank, contents):
        command.add_argument("--seed", type=int, default=0, help="default: 0")
    arms.add_argument("--seeds", type=int, nargs="+", default=[0], help="default: 0")
    for command in (train, rank, arms):
        command.add_argument("--leak", action="store_true", help="let the generator see the test people too")
        command.add_argument(
            "--teachers", nargs="+", default=["auxiliary"], metavar="NAME",
            help="what Img2ID learns from: auxiliary, rows or gaussian (generated), pairs or classes (real pictures)",
        )  # fmt: skip


def _check(teachers: list[str]) -> None:
    from .system import TEACHERS

    if wrong := [name for name in teachers if name not in TEACHERS]:
        raise ValueError(f"teacher is {wrong[0]!r}; expected one of {', '.join(TEACHERS)}.")


def _system(arguments: argparse.Namespace, shipped: bool):
    from .system import Setting, System

    _check(arguments.teachers)
    return System(Setting(arguments.source, arguments.tier, arguments.seed, arguments.leak), shipped)


def _train(arguments: argparse.Namespace) -> None:
    from .measures import parameters
    from .system import Setting, ship

    system = _system(arguments, shipped=False)
    if arguments.in_place and system.setting != Setting():
        raise ValueError("--in-place is for the weights that are shipped: lite, MA, seed 0, without --leak.")
    for teacher in arguments.teachers:
        system.img2id(teacher)
    _ = system.img2noise  # trained when it is asked for
    counts = parameters(system.recipe, system.people.identities)
    print("; ".join(f"{name}: {count:,}" for name, count in counts.items()), "parameters.")
    print(f"The stages are in {system.folder}.")
    if arguments.in_place:
        ship(system)


def _rank(arguments: argparse.Namespace) -> None:
    from .reid import Reader

    system = _system(arguments, shipped=True)
    print(f"{'Img2ID taught by':20}{'mAP':>8}{'R1':>8}{'code mAP':>10}{'code R1':>10}")
    for teacher in arguments.teachers:
        found = Reader(system.img2id(teacher), system.recipe.size).scores(system.domain)
        print(f"{teacher:20}{found['mAP']:8.2f}{found['R1']:8.2f}{found['code mAP']:10.2f}{found['code R1']:10.2f}")


def _in_place_is_lite(arguments: argparse.Namespace) -> None:
    if arguments.in_place and arguments.tier != "lite":
        raise ValueError(f"--in-place is for the lite tier, whose tables are published; got --tier {arguments.tier}.")


def _contents(arguments: argparse.Namespace) -> None:
    from ..tools.status import recording
    from .arms import write
    from .contents import contents
    from .inputs import inputs

    _in_place_is_lite(arguments)
    system = _system(arguments, shipped=True)
    for name, measure in (("contents", contents), ("inputs", inputs)):
        file = results_folder(arguments.in_place) / f"inversion-{name}.csv"
        with recording(file.resolve()):
            table = measure(system)
            write(table, file)
        print(f"{len(table)} rows in {file}")


def _rivals(arguments: argparse.Namespace) -> None:
    from ..tools.status import recording
    from .arms import write
    from .rivals import rivals

    _in_place_is_lite(arguments)
    file = results_folder(arguments.in_place) / "inversion-rivals.csv"
    with recording(file.resolve()):
        system = _system(arguments, shipped=True)
        _ = system.generator  # trained when it is asked for, which needs gradients
        table = rivals(system, arguments.seeds)
        write(table, file)
    print(table.groupby("people from", sort=False)[["spread kept", "nearness"]].mean().round(2).to_string())


def _arms(arguments: argparse.Namespace) -> None:
    from ..tools.status import recording
    from .arms import arms, write

    _check(arguments.teachers)
    _in_place_is_lite(arguments)
    file = results_folder(arguments.in_place) / "inversion.csv"
    with recording(file.resolve()):
        table = arms(arguments.source, arguments.tier, arguments.seeds, arguments.teachers, arguments.leak)
        write(table, file)
    print(table.round(2).to_string(index=False))
    print(f"{len(table)} rows in {file}")


def _released(arguments: argparse.Namespace) -> None:
    from .released import learned_by_heart, read_auxiliary

    if arguments.draws < 2:
        raise ValueError(f"--draws is {arguments.draws}; expected at least 2, to compare them with each other.")
    found = learned_by_heart(read_auxiliary(arguments.file), arguments.draws)
    print(f"Of {arguments.draws} vectors drawn, {found['copies']:.0f} % are copies of another one; all together have")
    print(f"{found['variance']:.0f} % of the variance of the table that the generator was taught on.")
