"""JupyterLab on copies of the notebooks that are the reader's own: `python -m dcac_lite lab`.

`notebooks/` is committed with its outputs, so whoever ran one there would be asked about it by the next `git pull`.
The copies in `my-notebooks/` are git's business no more than a pencil's marks in a book are the printer's. Where the
clone is somebody else's they lie in `dcac-lite/` of the reader's home folder."""

import argparse
import hashlib
import json
import os
import shutil
import sys
from pathlib import Path

from ..paths import copies_folder, own_folder, replacing
from .reproduce import NOTEBOOKS

FIRST = "00_start_here.ipynb"
#: Else a reader's first sight is the question whether Jupyter may send news.
_NO_NEWS = {"disabledExtensions": {"@jupyterlab/apputils-extension:announcements": True}}


def _content(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def copy_notebooks(source: Path, copies: Path) -> list[str]:
    """Bring the copies up to date: notebooks that are not there, or that the reader has not touched since they were
    copied, are copied; others are left alone. Returns those of which the original has changed meanwhile."""
    ledger = copies / ".copied.json"  # name: content when it was copied
    copied = json.loads(ledger.read_text()) if ledger.exists() else {}
    behind = []
    for original in sorted([*source.glob("*.ipynb"), *source.glob("pages/*.ipynb")]):
        name = original.relative_to(source).as_posix()
        copy, content = copies / name, _content(original)
        if not copy.exists() or _content(copy) == copied.get(name):
            with replacing(copy) as temporary:
                shutil.copyfile(original, temporary)
            copied[name] = content
        elif content != copied.get(name):
            behind.append(name)
    with replacing(ledger) as temporary:
        temporary.write_text(json.dumps(copied, indent=1))
    return behind


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("options", nargs="*", metavar="-- OPTIONS", help="of `jupyter lab`, such as -- --no-browser")
    parser.set_defaults(call=_lab)


def _lab(arguments: argparse.Namespace) -> None:
    if not NOTEBOOKS.is_dir():
        raise ValueError(f"there are no notebooks in {NOTEBOOKS}; run this in a clone, not from an installed package.")
    copies = own_folder(copies_folder(), "HOME")
    for name in copy_notebooks(NOTEBOOKS, copies):
        print(f"Yours stays: {copies / name}. Its original is another since; delete or rename yours to get it.")
    settings = copies / ".jupyter"
    with replacing(settings / "labconfig" / "page_config.json") as temporary:
        temporary.write_text(json.dumps(_NO_NEWS))
    others = filter(None, [os.environ.get("JUPYTER_CONFIG_PATH")])
    os.environ["JUPYTER_CONFIG_PATH"] = os.pathsep.join([str(settings), *others])
    as_root = ["--allow-root"] if getattr(os, "geteuid", lambda: 1)() == 0 else []
    first = f"--LabApp.default_url=/lab/tree/{FIRST}"
    command = [sys.executable, "-m", "jupyterlab", str(copies), first, *as_root, *arguments.options]
    sys.stdout.flush()
    os.execv(sys.executable, command)
