"""Which code a number came from: a hash of the modules that compute it, without comments and docstrings.

It is part of a run's key and stands beside its metrics, so that numbers of an earlier version of the method
are never taken for those of this one."""

import ast
import hashlib
from functools import cache
from pathlib import Path

from .paths import PACKAGE

#: What trained weights depend on, besides the values, data and pre-trained weights that a run's key holds anyway.
TRAINING = (
    "adaptation", "augment", "conditioning", "data.decoding", "data.domains", "data.listing", "data.moments", "dcac",
    "device", "diffusion", "encoder", "global_batch", "lean", "lean_unet", "memory", "pretrained.single_file",
    "recipes",
    "sampling", "trainer", "training",
)  # fmt: skip
#: What the metrics of given weights depend on.
EVALUATION = (
    "augment",
    "data.decoding",
    "data.domains",
    "data.listing",
    "device",
    "encoder",
    "evaluation",
    "global_batch",
    "lean",
)


def module_file(module: str) -> Path:
    """The file of a module of this package, named without it: "data.listing"."""
    return PACKAGE.joinpath(*module.split(".")).with_suffix(".py")


@cache
def imports_of(module: str) -> frozenset[str]:
    """Modules of this package that a module imports, anywhere in it. Names of packages stand for their files."""
    package, found = module.split(".")[:-1], set()
    for node in ast.walk(ast.parse(module_file(module).read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = [*package[: len(package) - node.level + 1], *(node.module or "").split(".")]
            base = ".".join(filter(None, base))
            inner = (f"{base}.{alias.name}".lstrip(".") for alias in node.names)
            found |= {name for name in (base, *inner) if name and module_file(name).is_file()}
    return frozenset(found)


@cache
def code_key(modules: tuple[str, ...]) -> str:
    """Hash of the syntax trees of `modules` of this package: names, values and structure count, layout,
    comments and docstrings do not."""
    digest = hashlib.sha256()
    for module in modules:
        tree = ast.parse(module_file(module).read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
            if isinstance(node, kinds) and ast.get_docstring(node, clean=False) is not None:
                del node.body[0]
        # Python 3.12 writes a list that 3.11 does not know; one code has one key in both
        digest.update(ast.dump(tree).replace(", type_params=[]", "").encode())
    return digest.hexdigest()[:16]
