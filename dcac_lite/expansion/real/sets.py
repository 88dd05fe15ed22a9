"""Clothes-changing data sets where a tier has them."""

from pathlib import Path

from ...data.clothes import CLOTHES_DATASETS, ClothesDataset, ClothesListing, list_clothes, read_clothes
from ...data.domains import Domain
from ...paths import data_root
from ...progress import over
from ...tiers import TIERS


def _place(name: str, tier: str) -> tuple[Path, ClothesDataset]:
    if name not in CLOTHES_DATASETS:
        raise ValueError(f"data set is {name!r}; expected one of {', '.join(CLOTHES_DATASETS)}.")
    dataset = CLOTHES_DATASETS[name]
    return dataset.find(Path(TIERS[tier].data or data_root())), dataset


def listed(name: str, tier: str) -> ClothesListing:
    """The files of a data set with people, cameras and outfits. Raises ValueError for a name that is not known,
    FileNotFoundError where it is not there, and as `list_clothes` does."""
    return list_clothes(*_place(name, tier))


def loaded(name: str, tier: str) -> Domain:
    """A data set as a `Domain` of `ClothesSplit`s at the size of the tier's pictures. Errors as `listed`, and as
    `read_clothes`."""
    folder, dataset = _place(name, tier)
    return read_clothes(folder, dataset, TIERS[tier].image_size, over(f"decoding {name}"))
