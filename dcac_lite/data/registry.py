"""The paper's data sets: where they lie, how they are laid out, how many images there should be.

A registry of what Table 1 says and where the owners' folders are looked for; `listing` reads them.
"""

import os
from dataclasses import dataclass
from pathlib import Path

FOLDERS = {"train": "bounding_box_train", "query": "query", "gallery": "bounding_box_test"}
MARKET_LAYOUT = "Market-1501 folders"
#: Image folders (training, test) of MSMT17's two releases; V2 is V1 with blurred faces.
MSMT17_FOLDERS = {"MSMT17_V1": ("train", "test"), "MSMT17_V2": ("mask_train_v2", "mask_test_v2")}
#: Settings are chosen on it, and no method is compared on it.
VALIDATION = "V"
#: The domains that every tier knows; V is not the paper's and is drawn only.
DOMAIN_NAMES = ("MA", "D", "MS", "C3", VALIDATION)
LISTS = ("list_train.txt", "list_val.txt", "list_query.txt", "list_gallery.txt")


@dataclass(frozen=True)
class Dataset:
    """A data set of the paper. folders: places under the data root where it is looked for. cameras,
    identities and images (training, query, gallery) as in Table 1; identities of training and test
    together, distractors of person id 0 not counted. validation: whether MSMT17's list_val.txt
    belongs to training."""

    name: str
    title: str
    folders: tuple[str, ...]
    cameras: int
    identities: int
    images: tuple[int, int, int]
    validation: bool = True
    note: str = ""

    def find(self, root: Path) -> Path:
        """The one folder of `folders` under `root` that holds the data set. Raises FileNotFoundError
        saying what to get when there is none, ValueError when there are several."""
        if os.path.isdir(root) and not os.access(root, os.R_OK | os.X_OK):
            raise PermissionError(
                f"{root} may not be looked into; make it readable or set DCAC_DATA to another folder."
            )
        places = [Path(root) / f for f in self.folders if os.path.isdir(Path(root) / f)]
        marks = (*FOLDERS.values(), *LISTS)
        holding = {p.resolve(): p for p in reversed(places) if any(os.path.exists(p / m) for m in marks)}
        if len(holding) > 1:
            raise ValueError(
                f"{self.title} is there {len(holding)} times, at "
                f"{' and at '.join(sorted(map(str, holding.values())))}: keep one of them under the data root, so that "
                "it is clear which one the numbers come from."
            )
        if not holding and not places:
            raise FileNotFoundError(
                f"The full tier needs {self.title} at {Path(root) / self.folders[0]}: get it from its owners, keep "
                f"their folders, "
                f"and set DCAC_DATA to the folder that holds {self.folders[0].split('/')[0]}/; `python -m dcac_lite "
                f"verify` prints "
                "the tree."
            )
        return next(iter(holding.values())) if holding else places[0]


_MSMT17 = (
    "MSMT17",
    *(f"{parent}{version}" for parent in ("", "MSMT17/", "msmt17/") for version in MSMT17_FOLDERS),
    "msmt17",
)
_CUHK03 = ("cuhk03np", "CUHK03-NP", "cuhk03-np")
_DUKE = (
    "DukeMTMC was withdrawn in 2019: its pedestrians had not agreed to it. Its authors no longer give it out, and some "
    "venues ask not to use it."
)

#: The data sets by the paper's short names. Counts: Table 1; CUHK03-NP's labeled boxes are not in it
#: (its authors' counts), and MS-without-val is MS less the 2,373 images of list_val.txt.
DATASETS: dict[str, Dataset] = {
    d.name: d
    for d in (
        Dataset("MA", "Market1501",
                ("Market1501", "Market-1501-v15.09.15", "Market1501/Market-1501-v15.09.15", "market1501",
                 "market1501/Market-1501-v15.09.15"),
                6, 1501, (12936, 3368, 15913)),
        Dataset("D", "DukeMTMC-reID", ("DukeMTMC-reID", "dukemtmcreid", "dukemtmc-reid/DukeMTMC-reID", "dukemtmc-reid"),
                8, 1812, (16522, 2228, 17661), note=_DUKE),
        Dataset("MS", "MSMT17", _MSMT17, 15, 4101, (32621, 11659, 82161)),
        Dataset("MS-without-val", "MSMT17 without its validation list", _MSMT17, 15, 4101, (30248, 11659, 82161),
                validation=False),
        Dataset("C3", "CUHK03-NP, detected boxes", tuple(f"{f}/detected" for f in _CUHK03), 2, 1467,
                (7365, 1400, 5332)),
        Dataset("C3-labeled", "CUHK03-NP, labeled boxes", tuple(f"{f}/labeled" for f in _CUHK03), 2, 1467,
                (7368, 1400, 5328)),
    )
}  # fmt: skip


def paper_name(name: str) -> str:
    """The paper's name for a data set read in another way, such as MS for MS-without-val; any other
    name as it is."""
    return name.partition("-")[0] if name in DATASETS else name


def is_path(name: str) -> bool:
    """Whether a source or target is a path to a folder rather than a short name: it holds a slash or
    starts with a dot or a tilde."""
    return "/" in name or os.sep in name or name.startswith((".", "~"))


def domain_name(what: str, name: str | os.PathLike) -> str:
    """A short name as it is, the path of any other data set made absolute. what: "source" or "target", for the
    ValueError that refuses anything else."""
    if isinstance(name, os.PathLike) or (isinstance(name, str) and is_path(name)):
        return os.path.abspath(os.path.expanduser(name))
    names = dict.fromkeys((*DOMAIN_NAMES, *DATASETS))
    if not isinstance(name, str) or name not in names:
        raise ValueError(
            f"{what} is {name!r}; expected one of {', '.join(names)}, or the path of a folder, such as ./mine."
        )
    return str(name)
