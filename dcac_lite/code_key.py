"""Which code a number came from: a hash of the modules that compute it, without comments and docstrings.

It is part of a run's key and stands beside its metrics, so that numbers of an earlier version of the method
are never taken for those of this one."""

import ast
import hashlib
import inspect
import sys
import textwrap
from functools import cache
from pathlib import Path

from .paths import PACKAGE

#: What trained weights depend on, besides the values, data and pre-trained weights that a run's key holds anyway.
TRAINING = (
    "adaptation", "augment", "conditioning", "data.decoding", "data.domains", "data.listing", "data.moments", "dcac",
    "device", "diffusion", "encoder", "global_batch", "lean", "lean_unet", "memory", "pretrained.clip",
    "pretrained.single_file", "pretrained.stable_diffusion", "sampling", "trainer", "training",
)  # fmt: skip
#: What the metrics of given weights depend on.
EVALUATION = (
    "augment", "data.decoding", "data.domains", "data.listing", "device", "encoder", "evaluation", "global_batch",
    "lean", "pretrained.clip",
)  # fmt: skip
#: What a run's metrics depend on, from its first step to its evaluation.
RESULTS = tuple(sorted({*TRAINING, *EVALUATION}))


def module_file(module: str) -> Path:
    """The file of a module of this package, named without it: "data.listing"."""
    return PACKAGE.joinpath(*module.split(".")).with_suffix(".py")


def imported(tree: ast.AST, module: str = "") -> set[str]:
    """Modules of this package that the code of `module`, or code outside of the package (""), imports, anywhere in
    it. Names of packages stand for their files, names of the package itself for the modules they live in."""
    from . import _HOMES

    package, found = module.split(".")[:-1], set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name.split(".") for alias in node.names]
            found |= {".".join(name[1:]) for name in names if name[0] == PACKAGE.name and name[1:]}
            if [PACKAGE.name] in names:  # which of its names are used, nobody has said
                found |= set(_HOMES.values())
        elif isinstance(node, ast.ImportFrom):
            inside, _, rest = (node.module or "").partition(".")
            if node.level:
                base = [*package[: len(package) - node.level + 1], *filter(None, (node.module or "").split("."))]
            elif inside == PACKAGE.name:
                base = rest.split(".") if rest else []
            else:
                continue
            inner = [".".join([*base, alias.name]) for alias in node.names]
            found |= {".".join(base), *inner, *(_HOMES[name] for name in inner if name in _HOMES)}
    return {name for name in found if name and module_file(name).is_file()}


@cache
def imports_of(module: str) -> frozenset[str]:
    """Modules of this package that a module imports, see `imported`."""
    return frozenset(imported(ast.parse(module_file(module).read_text(encoding="utf-8")), module))


def bare(tree: ast.AST) -> bytes:
    """A syntax tree without docstrings, written down; comments and layout are in none. Changes `tree`."""
    for node in ast.walk(tree):
        kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
        if isinstance(node, kinds) and ast.get_docstring(node, clean=False) is not None:
            del node.body[0]
    # one code has one key: Python 3.12 writes a list that 3.11 does not know, 3.13 leaves out empty ones if not asked
    empty = {"show_empty": True} if sys.version_info >= (3, 13) else {}
    return ast.dump(tree, **empty).replace(", type_params=[]", "").encode()


@cache
def code_key(modules: tuple[str, ...]) -> str:
    """Hash of the syntax trees of `modules` of this package: names, values and structure count, layout,
    comments and docstrings do not."""
    digest = hashlib.sha256()
    for module in modules:
        digest.update(bare(ast.parse(module_file(module).read_text(encoding="utf-8"))))
    return digest.hexdigest()[:16]


@cache
def arm_key(module: str) -> str:
    """Hash of what an arm of `teaching` adds to the code of every run: its module, what that imports of `teaching`,
    and the text encoder that its captions go through. The truth of the embedded world follows from the data."""
    counted, waiting = set(), {f"teaching.{module}"}
    while waiting:
        counted.add(name := waiting.pop())
        found = imports_of(name) - counted - {"teaching.names"}
        waiting |= {other for other in found if other.startswith("teaching.") or other == "pretrained.captions"}
    return code_key(tuple(sorted(counted)))


def class_key(kind: type) -> str:
    """Hash of the methods and constants that a class, which may stand in a notebook, has and inherits from others that
    neither this package nor torch holds; empty for a class of this package.

    Raises ValueError where nobody has kept the source of a method, as for a class typed at a Python prompt."""
    digest, found = hashlib.sha256(), False
    for part in kind.__mro__:
        if part.__module__.partition(".")[0] in (PACKAGE.name, "torch", "builtins"):
            continue
        found = True
        for name, value in sorted(vars(part).items()):
            value = getattr(value, "__func__", value)  # of a static or class method
            if inspect.isfunction(value):
                digest.update(_method(value, part))
            elif isinstance(value, (int, float, str)) and not name.startswith("__"):
                digest.update(f"{name} = {value!r}".encode())
    return digest.hexdigest()[:16] if found else ""


def _method(function, kind: type) -> bytes:
    try:
        return bare(ast.parse(textwrap.dedent(inspect.getsource(function))))
    except (OSError, TypeError, SyntaxError) as error:
        raise ValueError(
            f"The source of {kind.__name__}.{function.__name__} cannot be read, so a run with it would have no key of "
            "its own; write the class in a file or a notebook, its methods with def."
        ) from error
