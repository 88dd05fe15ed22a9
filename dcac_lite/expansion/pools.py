"""Pools: the copies of a domain's pictures, of one kind each, made once and kept.

A kind of copies is a function of an embedded domain, names of its pictures and a number of copies; they come as uint8
[M, K, 3, H, W] in the order of the names."""

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from filelock import FileLock

from ..code_key import code_key, imports_of
from ..paths import own_folder, replacing, runs_root
from ..pretrained.files import file_sha256
from .inpainting.pipeline import SHIPPED
from .oracles import ORACLES
from .painted import PAINTED
from .specs import ClothesSpec

#: By the name in the tables.
POOLS: dict[str, Callable[[ClothesSpec, Sequence[str], int], np.ndarray]] = {**ORACLES, **PAINTED}


def code_of(module: str) -> str:
    """Hash of a module of this package and of all that it imports."""
    counted, waiting = set(), {module}
    while waiting:
        counted.add(name := waiting.pop())
        waiting |= {other for other in imports_of(name) if other not in ("paths", "progress")} - counted
    return code_key(tuple(sorted(counted)))


def kept(name: str, material: object, make: Callable[[], np.ndarray]) -> np.ndarray:
    """An array by its name and everything it is made of (which JSON can write), from the runs folder, a memory map;
    made if it is not there, once, also where two processes ask."""
    key = hashlib.sha256(json.dumps(material).encode()).hexdigest()[:12]
    file: Path = own_folder(runs_root() / "pools") / f"{name.replace(' ', '-')}-{key}.npy"
    with FileLock(file.with_suffix(".lock")):
        if not file.exists():
            with replacing(file) as temporary:
                np.save(temporary, make())
    return np.load(file, mmap_mode="r")


def material_of(kind: str, spec: ClothesSpec, names: Sequence[str], count: int) -> list:
    """What a pool is made of: kind, domain, names of the pictures, number of copies, code, and the weights of a model
    that paints. Raises ValueError for a kind that is none of POOLS."""
    if kind not in POOLS:
        raise ValueError(f"kind of copies is {kind!r}; expected one of {', '.join(POOLS)}.")
    painter = [file_sha256(SHIPPED)] if kind in PAINTED else []
    return [kind, repr(spec), list(names), count, code_of(POOLS[kind].__module__.split(".", 1)[1]), *painter]


def pool(kind: str, spec: ClothesSpec, names: Sequence[str], count: int) -> np.ndarray:
    """The copies of one kind, uint8 [M, count, 3, H, W]. Raises ValueError as `material_of` does, and as the kind
    does."""
    name = f"{spec.name}-{kind}"
    return kept(name, material_of(kind, spec, names, count), lambda: POOLS[kind](spec, names, count))
