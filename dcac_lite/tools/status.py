"""`python -m dcac_lite status`: what of the committed outputs is current, and what is stale because of which file.

An artefact is a notebook with its outputs and figures, or a table in `figures/results/`. `figures/made_from.json`
holds the hash of every file that each was made from, as it was when the making began: the modules of this package
that its code imports, and what those import; the notebook's own code cells and captions; the shipped weights; the
tables that the notebook or those modules read. The publishing commands write it, see `recording`.
`figures/stale.toml` lists what is known not to be current and tolerated: since which commit, and why. Code that was
found to compute the same numbers makes nothing stale (`tools.same`)."""

import argparse
import ast
import hashlib
import json
import tomllib
from collections.abc import Collection
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from .. import code_key
from ..paths import replacing
from ..teaching.names import ARMS
from .same import as_it_was

#: Not followed: these write down what was made and make none of it, or belong to a tier whose outputs are not
#: committed.
NOT_FOLLOWED = {"tools.status", "tools.same", "tools.rehearsal"}
_OF_ARMS = " ".join(["studies.study", *(f"teaching.{module}" for module in dict.fromkeys(ARMS.values()))])
#: The modules that make a table, where it is not `studies.study` alone. (Benchmarks are never recorded: they keep rows
#: of earlier measurements, and each row says when it was measured.)
TABLES = {
    "cam": "studies.cam",
    "people": "studies.people",
    "world-report": "world.report",
    "clothes-report": "expansion.references",
    "clothes": "expansion.study",
    "clothes-refinement": "expansion.refining",
    "painting": "expansion.painting_report",
    "pieces": "lite_weights.pieces",
    "teaching": _OF_ARMS,  # which are found by name, not imported
    "teaching-tuning": _OF_ARMS,
    "tables-lite": "studies.publish",
    "tables-full": "studies.publish",
    "inversion": "inversion.arms",
    "inversion-contents": "inversion.contents",
    "inversion-inputs": "inversion.inputs",
    "inversion-rivals": "inversion.rivals",
}
#: Files that a module reads for whoever imports it.
READ_BY = {
    "studies.gather": (
        "figures/results/comparison.csv",
        "figures/results/tables-lite.csv",
        "figures/results/tables-full.csv",
    ),
    "studies.tables": ("figures/paper/dcac.csv",),
    "studies.scorecard": ("figures/paper/claims.toml",),
    "inversion.system": tuple(
        f"dcac_lite/inversion/weights/{name}.safetensors"
        for name in ("generator", "auxiliary", "img2id-auxiliary", "img2noise")
    ),
}
WEIGHTS = "weights"
NOT_OURS = {"injected-parameters", "exercise"}  # tags of cells that a notebook's outputs do not come from


def _clone() -> Path:
    return code_key.PACKAGE.parent


def _made_from() -> Path:
    return _clone() / "figures" / "made_from.json"


def _listed() -> Path:
    return _clone() / "figures" / "stale.toml"


def _written(tree: ast.AST) -> bytes:
    """`code_key.bare`, the same under every Python: 3.12.1 ends some formatted strings with an empty text."""
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            node.values = [part for part in node.values if not (isinstance(part, ast.Constant) and part.value == "")]
    return code_key.bare(tree)


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:12]


def artefacts() -> list[str]:
    """The committed outputs, as paths in the clone: notebooks, then tables."""
    found = [*sorted(_clone().glob("notebooks/*.ipynb")), *sorted(_clone().glob("figures/results/*.csv"))]
    whole = [path for path in found if not path.name.startswith(".") and not path.name.endswith(".failed.ipynb")]
    return [path.relative_to(_clone()).as_posix() for path in whole]


# ---------------------------------------------------------------- what something was made from


class Sources:
    """The files as they are now. Each is read once, so this stands for one moment."""

    def __init__(self) -> None:
        self._modules: dict[str, tuple[str, set[str]]] = {}
        weights = sorted(p for p in (code_key.PACKAGE / WEIGHTS).rglob("*") if p.is_file())
        names = (p.relative_to(code_key.PACKAGE).as_posix().encode() for p in weights)
        self._weights = _hash(b"".join(part for p, name in zip(weights, names) for part in (name, p.read_bytes())))

    def of(self, artefact: str) -> dict[str, str]:
        """Everything that an artefact would be made from: hash by path in the clone."""
        path, package = _clone() / artefact, code_key.PACKAGE.name
        inputs = {f"{package}/{WEIGHTS}": self._weights}
        if path.suffix == ".ipynb":
            cells = code_cells(path)
            code = ast.Module([statement for cell in cells for statement in cell.body], [])
            start = code_key.imported(code)
            for table in tables_read(code):
                file = _clone() / "figures" / "results" / f"{table}.csv"
                if file.exists():  # a study's table may not have been made yet
                    inputs[file.relative_to(_clone()).as_posix()] = _hash(file.read_bytes())
            captions = code_key.PACKAGE / "book" / "captions.toml"
            chapter = [
                e for e in tomllib.loads(captions.read_text(encoding="utf-8")).items() if e[0][:2] == path.name[:2]
            ]
            inputs[captions.relative_to(_clone()).as_posix()] = _hash(json.dumps(chapter).encode())
            inputs[artefact] = _hash(b"\0".join(map(_written, cells)))
        else:
            start = set(TABLES.get(path.stem, "studies.study").split())
        for module in self._closure(start):
            read = [_clone() / name for name in READ_BY.get(module, ())]
            inputs |= {f.relative_to(_clone()).as_posix(): _hash(f.read_bytes()) for f in read if f.exists()}
            file = code_key.module_file(module).relative_to(_clone())
            inputs[file.as_posix()] = self._module(module)[0]
        return dict(sorted(inputs.items()))

    def _module(self, module: str) -> tuple[str, set[str]]:
        """Hash of a module, without comments and docstrings, and the modules it imports."""
        if module not in self._modules:
            tree = ast.parse(code_key.module_file(module).read_text(encoding="utf-8"))
            imports = code_key.imported(tree, module)
            self._modules[module] = _hash(_written(tree)), imports
        return self._modules[module]

    def _closure(self, start: Collection[str]) -> set[str]:
        reached, waiting = set(), set(start)
        while waiting:
            module = waiting.pop()
            if module not in NOT_FOLLOWED:
                reached.add(module)
                waiting |= self._module(module)[1] - reached
        return reached


def code_cells(notebook: Path) -> list[ast.Module]:
    """The code cells of a notebook, without the parameters that papermill injects and the reader's own cells, which
    make no output."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    own = [c for c in cells if c["cell_type"] == "code" and not NOT_OURS & set(c["metadata"].get("tags", []))]
    return [ast.parse("".join(cell["source"])) for cell in own]


def tables_read(code: ast.Module) -> set[str]:
    """Names of the tables that code reads: those it gives to `results_file`."""
    calls = [node for node in ast.walk(code) if isinstance(node, ast.Call)]
    names = [call.args[0] for call in calls if isinstance(call.func, ast.Name) and call.func.id == "results_file"]
    if unclear := [ast.unparse(name) for name in names if not isinstance(name, ast.Constant)]:
        raise ValueError(f"results_file({unclear[0]}): expected the table's name in quotes, so that it can be found.")
    return {name.value for name in names}


@contextmanager
def recording(path: Path):
    """Around the making of `path`: if it is an artefact of this clone, keep what it was made from, as that was
    before, and take it off the list of what is tolerated. Of anything else nothing is kept."""
    artefact = path.relative_to(_clone()).as_posix() if path.is_relative_to(_clone()) else ""
    published = artefact.startswith(("notebooks/", "figures/results/"))
    made_from = Sources().of(artefact) if published else {}
    yield
    if not published:
        return
    known = {name: files for name, files in recorded().items() if name in artefacts()} | {artefact: made_from}
    with replacing(_made_from()) as temporary:
        temporary.write_text(json.dumps(dict(sorted(known.items())), indent=1) + "\n", encoding="utf-8")
    if artefact in tolerated():
        blocks = _listed().read_text(encoding="utf-8").strip().split("\n\n")
        kept = [block for block in blocks if not block.startswith(f'["{artefact}"]')]
        with replacing(_listed()) as temporary:
            temporary.write_text("\n\n".join(kept) + "\n", encoding="utf-8")


def recorded() -> dict[str, dict[str, str]]:
    """What every artefact was made from, as far as that was kept: hash by path, by artefact."""
    return json.loads(_made_from().read_text(encoding="utf-8")) if _made_from().exists() else {}


def tolerated() -> dict[str, dict[str, str]]:
    """The list of what is known not to be current: `since` and `why`, by artefact."""
    return tomllib.loads(_listed().read_text(encoding="utf-8")) if _listed().exists() else {}


# ---------------------------------------------------------------- the verdict


@dataclass(frozen=True)
class Verdict:
    """How it stands with an artefact: "current", "stale" because of `files`, "unknown" where nothing was kept, or
    "gone" where it is listed only. tolerated: its entry in the list, if it has one."""

    artefact: str
    state: str
    files: tuple[str, ...] = ()
    tolerated: dict[str, str] | None = None

    @property
    def fails(self) -> bool:
        """Whether somebody must act: not current and not listed, or listed without need."""
        return (self.state in ("stale", "unknown")) == (self.tolerated is None)

    def __str__(self) -> str:
        words = self.state
        if self.files:
            own = ["its own code cells" if file == self.artefact else file for file in self.files]
            words += f" because of {', '.join(own)}"
        if self.tolerated is None:
            return words
        if self.fails:
            return f"{words}; take it off figures/{_listed().name}"
        return f"{words} (tolerated since {self.tolerated['since']}: {self.tolerated['why']})"


def _differing(then: dict[str, str], today: dict[str, str]) -> tuple[str, ...]:
    return tuple(f for f in sorted(then.keys() | today.keys()) if then.get(f) != today.get(f))


def verdicts() -> list[Verdict]:
    """How it stands with every artefact, and with what is only listed."""
    now, known, listed, found = Sources(), recorded(), tolerated(), []
    for artefact in artefacts():
        files: tuple[str, ...] = ()
        state = "unknown"
        if artefact in known:
            files = min((_differing(known[artefact], s) for s in as_it_was(known[artefact], now.of(artefact))), key=len)
            state = "stale" if files else "current"
        found.append(Verdict(artefact, state, files, listed.get(artefact)))
    return found + [Verdict(name, "gone", (), listed[name]) for name in listed.keys() - set(artefacts())]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line of `status`, which has no arguments."""
    parser.set_defaults(call=_status)


def _status(arguments: argparse.Namespace) -> int:
    if not artefacts():
        raise ValueError(
            f"there are no notebooks and tables in {_clone()}; run this in a clone, not from an installed package."
        )
    found = verdicts()
    width = max(len(verdict.artefact) for verdict in found)
    for verdict in found:
        print(f"{verdict.artefact:{width}}  {verdict}")
    if failing := [verdict for verdict in found if verdict.fails]:
        print(
            f"{len(failing)} of {len(found)} need a look: make them again, or say in figures/{_listed().name} why not."
        )
    return 1 if failing else 0
