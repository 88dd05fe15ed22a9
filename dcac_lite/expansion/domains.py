"""The clothes-changing domains on disk and in memory: embedded ones, drawn on first use, and real ones.

An embedded domain lies in Market-1501's layout, so that whatever reads data sets reads it too, training included; the
outfit is the session in its names, `PID_cCAMERAsOUTFIT_INDEX_00.png`. PNG keeps every pixel as drawn: what is pasted
into a picture leaves the rest of it exactly as it was."""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from filelock import FileLock
from PIL import Image

from ..data.clothes import CLOTHES_DATASETS, ClothesSplit, read_clothes
from ..data.domains import Domain, Split, _is_complete, _listing, read_dataset
from ..data.registry import FOLDERS
from ..paths import PACKAGE, data_root, remove_parts, temporary_name
from ..progress import over
from ..tiers import TIERS
from ..world.domains import DRAWING, Sample
from .protocols import PROTOCOLS, Protocol, all_cameras
from .specs import CLOTHES_DOMAINS, MOST_OUTFITS, ClothesSpec
from .world import OutfitRecord, photograph, plan

#: What the pictures depend on: the modules that draw them.
_SOURCES = (*(f"world/{name}.py" for name in DRAWING), *(f"expansion/{n}.py" for n in ("specs", "wardrobe", "world")))
_NAME = re.compile(r"(?P<pid>[0-9]{4})_c(?P<camera>[0-9]+)s(?P<outfit>[0-9]+)_(?P<index>[0-9]{6})_00\.png")


def file_name(record: OutfitRecord) -> str:
    """The name of a picture's file."""
    return f"{record.pid:04d}_c{record.camera}s{record.outfit + 1}_{record.index:06d}_00.png"


def protocols_of(name: str) -> dict[str, Protocol]:
    """The ways to score a clothes-changing data set, embedded or real: CP's are those of PRCC, those of one that is not
    known the three rules on all cameras."""
    spec = CLOTHES_DOMAINS.get(name)
    return PROTOCOLS.get(name) or (PROTOCOLS["prcc"] if spec and spec.settings else all_cameras())


def _key(spec: ClothesSpec) -> str:
    sources = b"".join((PACKAGE / name).read_bytes() for name in _SOURCES)
    return hashlib.sha256(sources + repr(spec).encode()).hexdigest()[:12]


def write_clothes_domain(spec: ClothesSpec, root: Path, progress=iter) -> Path:
    """Draw a domain into `root`/NAME-KEY and return that folder. KEY changes with the domain, the number of outfits and
    the code that draws it. The folder appears under its name only when complete; one that has since lost or changed
    files is drawn again."""
    folder = root / f"{spec.name}-{_key(spec)}"
    if not _is_complete(folder):
        root.mkdir(parents=True, exist_ok=True)
        with FileLock(root / f"{spec.name}.lock"):
            if not _is_complete(folder):  # another process may have drawn it while this one waited
                remove_parts(root, f"{spec.name}-*")
                _draw(spec, folder, progress)
    return folder


def _draw(spec: ClothesSpec, folder: Path, progress) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    temporary = temporary_name(folder)
    for name in FOLDERS.values():
        (temporary / name).mkdir(parents=True)
    for record in progress(plan(spec)):
        picture = Image.fromarray(photograph(spec, record).picture.image)
        picture.save(temporary / FOLDERS[record.split] / file_name(record))
    (temporary / "complete.json").write_text(json.dumps(_listing(temporary)))
    os.replace(temporary, folder)


def clothes_spec(name: str, tier: str = "lite", outfits: int | None = None) -> ClothesSpec:
    """An embedded domain as a tier has it, with `outfits` of every training person (None: as its own `train_outfits`
    says). Raises ValueError for a name, tier or number that does not exist."""
    if name not in CLOTHES_DOMAINS:
        raise ValueError(f"{name!r} is no clothes-changing domain; choose one of {', '.join(CLOTHES_DOMAINS)}.")
    share = TIERS[tier].share if tier in TIERS else None
    if share is None:
        raise ValueError(f"tier is {tier!r}; the clothes-changing domains are drawn in smoke and lite.")
    spec = CLOTHES_DOMAINS[name].with_outfits(outfits)
    return spec if share == 1 else spec.slice(share)


def load_clothes(name: str, tier: str = "lite", outfits: int | None = None) -> Domain:
    """A clothes-changing data set by its name, as a `data.domains.Domain` of `ClothesSplit`s: CP, CL, CX and CV, drawn
    on first use (smoke, lite), or prcc, ltcc, ccvid, vc-clothes and last, read from the data root at the tier's size.
    outfits: see `clothes_spec`; of drawn domains only.

    Raises ValueError as `clothes_spec` does, FileNotFoundError saying what to get for a real data set that is not
    there."""
    if name in CLOTHES_DATASETS:
        if outfits is not None or tier not in TIERS:
            raise ValueError(f"{name} is a real data set; expected a tier and no number of outfits.")
        dataset = CLOTHES_DATASETS[name]
        return read_clothes(dataset.find(data_root()), dataset, TIERS[tier].image_size, over(f"decoding {name}"))
    spec = clothes_spec(name, tier, outfits)
    folder = write_clothes_domain(spec, data_root() / "lite", over(f"drawing {name}"))
    domain = read_dataset(folder, TIERS[tier].image_size, name=name, progress=over(f"decoding {name}"))
    parts = {split: _with_clothes(getattr(domain, split)) for split in FOLDERS}
    return Domain(name, folder, **parts, fingerprint=domain.fingerprint, layout=domain.layout)


def _with_clothes(split: Split) -> ClothesSplit:
    outfit = np.array([int(_NAME.fullmatch(name)["outfit"]) - 1 for name in split.names], np.int64)
    numbers = MOST_OUTFITS * split.pids + outfit
    return ClothesSplit(split.images, split.pids, split.cameras, split.names, split.files, clothes=numbers)


def truth_of(spec: ClothesSpec, names: Sequence[str]) -> list[Sample]:
    """The truth of files of an embedded domain: for each name the `Sample` with its picture, masks, shot and person;
    `record` has the outfit. Needs no file. Raises ValueError for a name that is not of that domain."""
    records = plan(spec)
    found = []
    for name in names:
        match = _NAME.fullmatch(name)
        record = records[int(match["index"])] if match and int(match["index"]) < len(records) else None
        if record is None or file_name(record) != name:
            example = file_name(records[0])
            raise ValueError(f"{name!r} is no picture of the domain {spec.name}; expected a name such as {example}.")
        found.append(photograph(spec, record))
    return found
