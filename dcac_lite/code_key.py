"""Which code a number came from: a hash of the modules that compute it, without comments and docstrings.

It is part of a run's key and stands beside its metrics, so that numbers of an earlier version of the method
are never taken for those of this one."""

import ast
import hashlib
from functools import cache

from .paths import PACKAGE

#: What trained weights depend on, besides the values, data and pre-trained weights that a run's key holds anyway.
TRAINING = (
    "adaptation", "augment", "conditioning", "data", "dcac", "decoding", "device", "diffusion", "encoder",
    "global_batch", "lean", "lean_unet", "listing", "memory", "moments", "recipes", "sampling", "single_file", "trainer", "training",
)  # fmt: skip
#: What the metrics of given weights depend on.
EVALUATION = ("augment", "data", "decoding", "device", "encoder", "evaluation", "global_batch", "lean", "listing")


@cache
def code_key(modules: tuple[str, ...]) -> str:
    """Hash of the syntax trees of `modules` of this package: names, values and structure count, layout,
    comments and docstrings do not."""
    digest = hashlib.sha256()
    for module in modules:
        tree = ast.parse((PACKAGE / f"{module}.py").read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
            if isinstance(node, kinds) and ast.get_docstring(node, clean=False) is not None:
                del node.body[0]
        # Python 3.12 writes a list that 3.11 does not know; one code has one key in both
        digest.update(ast.dump(tree).replace(", type_params=[]", "").encode())
    return digest.hexdigest()[:16]
