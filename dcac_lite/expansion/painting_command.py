"""The sub-commands of `python -m dcac_lite clothes` that train the inpainting model and paint with it."""

import argparse
import shutil
from contextlib import nullcontext
from pathlib import Path

from .copies import COPIES
from .specs import CLOTHES_DOMAINS


def add_painting(commands) -> None:
    """Add pretrain, copies and painting to the sub-parsers `commands`."""
    pretrain = commands.add_parser("pretrain", help="train the lite inpainting model (about 45 minutes of one core)")
    pretrain.add_argument("out", type=Path, help="folder to write, for example runs/inpainting; goes on if stopped")
    pretrain.add_argument("--restart", action="store_true", help="throw away what the folder holds and start over")
    pretrain.add_argument("--in-place", action="store_true", help="also write the weights that are shipped (lite only)")
    pretrain.set_defaults(call=_pretrain)
    copies = commands.add_parser("copies", help="paint the copies of a domain's training pictures; kept and resumed")
    copies.add_argument("domain", choices=CLOTHES_DOMAINS, metavar="NAME", help=f"of {', '.join(CLOTHES_DOMAINS)}")
    copies.add_argument("--kind", default="inpainted", help="default: inpainted")
    copies.add_argument("--count", type=int, default=COPIES, metavar="K", help=f"of each picture; default: {COPIES}")
    copies.add_argument("--seed", type=int, default=0, help="default: 0")
    copies.add_argument("--out", type=Path, metavar="FOLDER", help="also write them in the format of DLCR's release")
    copies.set_defaults(call=_copies)
    paint = commands.add_parser("paint", help="paint your own pictures with Stable Diffusion Inpainting; resumed")
    for name, what in (
        ("pictures", "folder of PERSON/NAME.jpg"),
        ("masks", "folder of PERSON/NAME.png, 255 where clothes are, 0 elsewhere"),
        ("words", "folder of PERSON/NAME.txt, a line upper | lower | footwear for each copy"),
        ("out", "folder to write, in the format of DLCR's release"),
    ):
        paint.add_argument(name, type=Path, help=what)
    paint.add_argument("--weights", required=True, help="folder in diffusers' format with a 9-channel U-Net, or hub id")
    paint.add_argument("--queries", action="store_true", help="at half the size and in 10 steps, as queries are")
    paint.add_argument("--keep-empty", action="store_true", help="where a mask is empty, copies are the picture itself")
    paint.add_argument("--tier", default="full", choices=("full", "rehearsal"), help="default: full")
    paint.add_argument("--seed", type=int, default=0, help="default: 0")
    paint.set_defaults(call=_paint)
    painting = commands.add_parser("painting", help="how well clothes are painted, beside trivial references")
    painting.add_argument("--domains", nargs="+", default=["CV", "CP"], choices=CLOTHES_DOMAINS, metavar="NAME")
    painting.add_argument("--pictures", type=int, default=24, help="of each domain's training split; default: 24")
    painting.add_argument("--out", type=Path, metavar="FILE", help="also write the tidy table to this csv file")
    painting.set_defaults(call=_painting)
    for command in (pretrain, copies, painting):
        command.add_argument("--tier", default="lite", choices=("smoke", "lite"), help="default: lite")


def _pretrain(arguments: argparse.Namespace) -> None:
    from .inpainting.pipeline import SHIPPED, ship
    from .inpainting.recipe import RECIPES
    from .inpainting.training import train

    if arguments.in_place and arguments.tier != "lite":
        raise ValueError(f"--in-place is for the weights of the lite tier; got --tier {arguments.tier}.")
    if arguments.restart and arguments.out.exists():
        shutil.rmtree(arguments.out)
    recipe = RECIPES[arguments.tier]
    module, history = train(recipe, arguments.out)
    noted = [{"step": h["step"], "loss": round(h["loss"], 4)} for h in history]
    facts = {"recipe": recipe.values(), "minutes": round(history[-1]["seconds"] / 60)}
    for file in (arguments.out / SHIPPED.name, *([SHIPPED] if arguments.in_place else [])):
        ship(module, noted, facts, file)
        print(f"The inpainting model is in {file}.")


def _copies(arguments: argparse.Namespace) -> None:
    from .copies import write_copies
    from .domains import clothes_spec, load_clothes
    from .painted import painted

    if arguments.count < 1:
        raise ValueError(f"--count is {arguments.count}; expected at least 1 copy of each picture.")
    names = load_clothes(arguments.domain, arguments.tier).train.names
    spec = clothes_spec(arguments.domain, arguments.tier)
    copies, words = painted(arguments.kind, spec, names, arguments.count, arguments.seed)
    print(f"{len(copies):,} pictures of {arguments.domain}, {arguments.count} copies each, {arguments.kind}.")
    if arguments.out:
        for name, each, said in zip(names, copies, words):
            write_copies(arguments.out / Path(name).stem, each.transpose(0, 2, 3, 1), said)
        print(f"They are in {arguments.out}.")


def _paint(arguments: argparse.Namespace) -> None:
    from .paint_files import paint_files
    from .real.recipe import PAINTING

    folders = (arguments.pictures, arguments.masks, arguments.words, arguments.out)
    settings = PAINTING[arguments.tier]["query" if arguments.queries else "train"]
    count = paint_files(*folders, settings, arguments.weights, arguments.seed, arguments.keep_empty)
    print(f"{count:,} pictures painted.")


def _painting(arguments: argparse.Namespace) -> None:
    from ..tools.status import recording
    from ..world.report import write
    from .painting_report import report

    with recording(arguments.out.resolve()) if arguments.out else nullcontext():
        table = report(tuple(arguments.domains), arguments.tier, arguments.pictures)
        print(table.round(1).to_string(index=False))
        if arguments.out:
            write(table, arguments.out)
            print(f"{len(table)} rows in {arguments.out}")
