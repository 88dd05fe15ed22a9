"""Miniature copies of the paper's data sets, with their owners' folders and file names, drawn at run time.

For rehearsing the full tier, and for tests, where no real data set is at hand: the people are those
of `world.domains`, enlarged to the size of real crops.
"""

import tempfile
from pathlib import Path

from PIL import Image

from ..data.registry import FOLDERS, MARKET_LAYOUT, MSMT17_FOLDERS
from ..world.domains import photograph_record
from ..world.plan import DISTRACTOR, JUNK, Record
from ..world.specs import DOMAINS

# data set: its folder, and its file names
_PLACES = {
    "MA": ("Market1501", "{pid}_c{camera}s1_{index:06d}_00.jpg"),
    "D": ("DukeMTMC-reID", "{pid}_c{camera}_f{index:07d}.jpg"),
    "MS": ("MSMT17", "{pid}_c{camera}_{index:04d}.jpg"),
    "C3": ("cuhk03np/detected", "{pid}_c{camera}_{index}.png"),
}
_MSMT17_NAME = "{pid}/{pid}_{index:03d}_{camera:02d}_0303morning_{index:04d}_0.jpg"


def write_tiny_datasets(
    root: Path,
    identities: int = 16,
    images_per_camera: int = 2,
    size: tuple[int, int] = (256, 128),
    msmt17: str = "MSMT17_V2",
    progress=iter,
) -> Path:
    """Write small data sets in the places and layouts of MA, D, MS and C3 under a new folder `root`,
    which appears when all is written; returns `root`.

    identities: training identities of each set, and as many for testing; each is seen by two cameras,
    `images_per_camera` times by each, and asked for once by each. The defaults are the least that the
    PK sampler of the full tier needs: 16 identities with 4 images. size: (height, width) of the images.
    msmt17: "MSMT17_V1" or "MSMT17_V2" for the owners' list files, or "Market-1501 folders" for the
    re-arranged copy. MA has distractors and junk besides, and C3 is the detected boxes. The same
    arguments give the same bytes. Raises ValueError for a number below 1 or an unknown layout,
    FileExistsError when `root` is there."""
    root = Path(root)
    if identities < 1 or images_per_camera < 1 or min(size) < 1:
        numbers = f"identities={identities}, images_per_camera={images_per_camera}, size={size}"
        raise ValueError(f"{numbers}: expected numbers of at least 1.")
    if msmt17 not in (MARKET_LAYOUT, *MSMT17_FOLDERS):
        raise ValueError(f"msmt17 is {msmt17!r}; expected one of {', '.join((MARKET_LAYOUT, *MSMT17_FOLDERS))}.")
    if root.exists():
        raise FileExistsError(f"{root} is there already; name a folder that is not, or remove it.")
    plans = {name: _plan(name, identities, images_per_camera) for name in _PLACES}
    with tempfile.TemporaryDirectory(dir=_made(root.parent), prefix=f".{root.name}.") as temporary:
        part = Path(temporary) / "part"
        for name, record in progress([(name, record) for name, plan in plans.items() for record in plan]):
            picture = Image.fromarray(photograph_record(DOMAINS[name], record).picture.image)
            path = part / _path(name, record, msmt17)
            picture.resize(size[::-1], Image.Resampling.BICUBIC).save(_made(path.parent) / path.name, quality=90)
        if msmt17 != MARKET_LAYOUT:
            _write_lists(part / msmt17, plans["MS"])
        part.rename(root)
    return root


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _plan(name: str, identities: int, images_per_camera: int) -> list[Record]:
    """The pictures of one data set. Cameras rotate, so that with enough identities each is used."""
    spec = DOMAINS[name]
    records: list[Record] = []

    def add(split: str, person: int, pid: int, camera: int) -> None:
        records.append(Record(len(records), split, person, pid, camera))

    for person in range(2 * identities):
        # Duke leaves gaps; MSMT17 counts from 0, and again from 0 in its test set
        pid = {"D": 7 * person + 7, "MS": person % identities}.get(name, person + 1)
        for camera in ((2 * person) % spec.cameras + 1, (2 * person + 1) % spec.cameras + 1):
            for _ in range(images_per_camera):
                add("train" if person < identities else "gallery", person, pid, camera)
            if person >= identities:
                add("query", person, pid, camera)
    if name == "MA":
        for extra in range(8):
            add("gallery", 2 * identities + extra, JUNK if extra % 4 == 3 else DISTRACTOR, extra % spec.cameras + 1)
    return records


def _path(name: str, record: Record, msmt17: str) -> Path:
    if name == "MS" and msmt17 != MARKET_LAYOUT:
        train, test = MSMT17_FOLDERS[msmt17]
        return Path(msmt17, train if record.split == "train" else test, _msmt17_name(record))
    folder, file = _PLACES[name]
    pid = "-1" if record.pid == JUNK else f"{record.pid:04d}"
    return Path(folder, FOLDERS[record.split], file.format(pid=pid, camera=record.camera, index=record.index))


def _msmt17_name(record: Record) -> str:
    return _MSMT17_NAME.format(pid=f"{record.pid:04d}", camera=record.camera, index=record.index)


def _write_lists(folder: Path, plan: list[Record]) -> None:
    """MSMT17's list files; one training image of each fourth identity goes into the validation list."""
    first = {record.pid: record.index for record in reversed(plan) if record.split == "train"}
    validation = {first[pid] for pid in sorted(first)[::4]}
    lists: dict[str, list[str]] = {"train": [], "val": [], "query": [], "gallery": []}
    for record in plan:
        lists["val" if record.index in validation else record.split].append(f"{_msmt17_name(record)} {record.pid}\n")
    for name, lines in lists.items():
        (folder / f"list_{name}.txt").write_text("".join(lines))
