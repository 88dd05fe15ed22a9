"""`python -m dcac_lite DOOR ...`: one command line in front of the package's tools.

A door is a module with `add_arguments(parser)`, which sets `call` to a function of the parsed arguments; it
imports what is slow only when called."""

import argparse
from collections.abc import Sequence
from importlib import import_module

DOORS = {"world": (".world.command", "the embedded world and how hard it is")}  # name: module, help


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m dcac_lite", description="Tools of dcac-lite.")
    doors = parser.add_subparsers(title="doors", required=True, metavar="DOOR")
    for name, (module, words) in DOORS.items():
        import_module(module, __package__).add_arguments(doors.add_parser(name, help=words, description=words))
    parsed = parser.parse_args(arguments)
    parsed.call(parsed)


if __name__ == "__main__":
    main()
