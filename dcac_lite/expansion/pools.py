"""Pools: the copies of a domain's pictures, of one kind each, made once and kept.

A kind of copies is a function of an embedded domain, names of its pictures and a number of copies; they come as uint8
[M, K, 3, H, W] in the order of the names. A pool always has `copies.COPIES` copies of each picture, and who wants fewer
takes the first ones, so that a smaller pool is a part of a larger one."""

import hashlib
import json
from collections.abc import Callable, Sequence

import numpy as np
from filelock import FileLock

from ..code_key import code_key, imports_of
from ..paths import own_folder, replacing, runs_root
from .copies import COPIES
from .oracles import ORACLES
from .specs import ClothesSpec

#: By the name in the tables.
POOLS: dict[str, Callable[[ClothesSpec, Sequence[str], int], np.ndarray]] = {**ORACLES}


def pool_key(kind: str, spec: ClothesSpec, names: Sequence[str]) -> str:
    """Hash of what a pool's pictures are made of: the domain, their names, and the code of the kind.

    Raises ValueError for a kind that is none of POOLS."""
    if kind not in POOLS:
        raise ValueError(f"kind of copies is {kind!r}; expected one of {', '.join(POOLS)}.")
    counted, waiting = set(), {POOLS[kind].__module__.split(".", 1)[1]}
    while waiting:
        counted.add(name := waiting.pop())
        waiting |= {other for other in imports_of(name) if other not in ("paths", "progress")} - counted
    text = json.dumps([kind, repr(spec), list(names), COPIES, code_key(tuple(sorted(counted)))])
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def pool(kind: str, spec: ClothesSpec, names: Sequence[str]) -> np.ndarray:
    """The copies of one kind, uint8 [M, COPIES, 3, H, W], a memory map; made if they are not there, once, also where two
    processes ask. Raises ValueError as `pool_key` does, and as the kind does."""
    folder = own_folder(runs_root() / "pools")
    file = folder / f"{spec.name}-{kind.replace(' ', '-')}-{pool_key(kind, spec, names)}.npy"
    with FileLock(file.with_suffix(".lock")):
        if not file.exists():
            with replacing(file) as temporary:
                np.save(temporary, POOLS[kind](spec, names, COPIES))
    return np.load(file, mmap_mode="r")
