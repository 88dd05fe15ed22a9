"""`python -m dcac_lite workshop OUT --for learner`: the notebooks of a workshop; `--for slides`: a lecture's slides;
`workshop tally FOLDER`: what a class predicted."""

import argparse
from pathlib import Path

KINDS = ("learner", "instructor", "slides")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line of `workshop`."""
    parser.add_argument("out", metavar="OUT", help="a new folder for the notebooks or slides; or the word `tally`")
    parser.add_argument("folder", nargs="?", help="after `tally`: where the learners' predictions.json were collected")
    parser.add_argument("--for", dest="reader", choices=KINDS, default="learner", help="default: learner")
    parser.set_defaults(call=_workshop)


def _workshop(arguments: argparse.Namespace) -> None:
    from .edition import write
    from .predictions import tally

    if arguments.out == "tally":
        if arguments.folder is None:
            raise ValueError("tally wants the folder with the learners' predictions: workshop tally FOLDER.")
        print(tally(Path(arguments.folder)))
    elif arguments.folder is not None:
        raise ValueError(f"{arguments.folder} is one word too many; expected workshop OUT, or workshop tally FOLDER.")
    elif arguments.reader == "slides":
        from ..site.slides import write_slides

        out = Path(arguments.out)
        print(f"{write_slides(out)} decks of slides: open {out / 'index.html'} in a browser.")
    else:
        out = Path(arguments.out)
        print(f"{write(out, arguments.reader)} notebooks for the {arguments.reader} in {out}")
