"""`python -m dcac_lite DOOR ...`: one command line in front of the package's tools.

A door is a module with `add_arguments(parser)`, which sets `call` to a function of the parsed arguments; what
that returns is the exit status. Only the module of the door that is asked for is imported. Wrong input, be it
an option or a ValueError or OSError of this package, is one sentence and exit status 2."""

import argparse
import sys
import traceback
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

DOORS = {  # name: module, help
    "train": (".tools.train", "train one experiment and evaluate it"),
    "verify": (".tools.verify", "are the real data sets right?"),
    "rehearsal": (".tools.rehearsal", "rehearse the full tier on made-up data"),
    "doctor": (".tools.doctor", "is this machine ready for the notebooks? one line a check"),
    "lab": (".tools.lab", "JupyterLab on your own copies of the notebooks"),
    "workshop": (".workshop.command", "notebooks for a class, whose exercises answer back"),
    "reproduce": (".tools.reproduce", "run the notebooks headless, in order"),
    "book": (".site.command", "the notebooks as a static site, with explorers that need no kernel"),
    "status": (".tools.status", "what of the committed outputs is current, and what is stale because of which file"),
    "same": (".tools.same", "does the present code compute what an earlier commit computed?"),
    "compare": (".tools.compare", "does a run made again agree with the shipped table of many seeds?"),
    "study": (".studies.growing", "train the runs of a study and gather them in a table"),
    "tables": (".studies.command", "the jobs behind `make tables`, and how the last batch stands"),
    "cam-study": (".studies.cam", "measure maps, probabilities and features of five seeds; writes a table"),
    "people": (".studies.people", "how much of a number is luck with the people who are asked for"),
    "export": (".release.export", "the trained encoder alone, as a folder and as ONNX"),
    "rank": (".tools.rank", "mAP and CMC of an encoder on any data set, re-ranked if you like"),
    "threshold": (".tools.threshold", "which distance means the same person, and how sure is that?"),
    "convert": (".release.convert", "a released checkpoint of the authors as a run of this package"),
    "cards": (".cards.command", "write what of the data cards follows from code, or is measured"),
    "weights": (".lite_weights.command", "how the lite weights are made, and how good they are"),
    "pieces": (".lite_weights.pieces", "what each piece of CLIP's pre-training is worth, on the validation domain"),
    "inversion": (
        ".inversion.command",
        "Re-ID by inverting a diffusion model that draws people: train its stages, rank",
    ),
    "architecture": (".tools.architecture", "draw ARCHITECTURE.md's picture from the imports"),
    "world": (".world.command", "the embedded world and how hard it is"),
    "clothes": (".expansion.command", "people who change clothes: the embedded world and its arms, and real data sets"),
}


class _Parser(argparse.ArgumentParser):
    def error(self, message: str):
        self.exit(2, f"{self.prog}: {message}\n")


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The parsed arguments of a door, with its function as `call`; without a door, `call` prints the doors."""
    parser = _Parser(prog="python -m dcac_lite", description="Tools of dcac-lite. DOOR --help says more.")
    parser.set_defaults(call=lambda _: parser.print_help(), error=parser.error)
    doors = parser.add_subparsers(title="doors", metavar="DOOR")
    for name, (module, words) in DOORS.items():
        door = doors.add_parser(name, help=words, description=f"{words[0].upper()}{words[1:]}.")
        if name in arguments[:1]:
            door.set_defaults(error=door.error)
            import_module(module, __package__).add_arguments(door)
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int | None:
    """The command line; returns the exit status."""
    parsed = parse(sys.argv[1:] if arguments is None else arguments)
    try:
        return parsed.call(parsed)
    except (ValueError, OSError) as error:
        raised_in = Path(traceback.extract_tb(error.__traceback__)[-1].filename)
        if isinstance(error, ValueError) and not raised_in.is_relative_to(Path(__file__).parent):
            raise  # not a sentence of ours: where it came from matters
        parsed.error(str(error))


if __name__ == "__main__":
    sys.exit(main())
