"""A domain by its name, as a tier sees it: drawn, or read from disk."""

import errno
import os
from functools import cache
from pathlib import Path

from ..paths import data_root
from ..progress import over
from ..tiers import TIERS
from .domains import Domain, lite_domain, read_dataset
from .registry import DATASETS, DOMAIN_NAMES, domain_name, is_path


def load_domain(name: str | os.PathLike, tier: str = "lite", test_resize: str = "bicubic") -> Domain:
    """A Re-ID domain as a tier sees it. Names: MA, D, MS, C3, and V, the validation domain of smoke and
    lite, are drawn on first use (smoke, lite) or read from the data root (full), which also knows the
    other names of `registry.DATASETS`. The path of a folder in Market-1501 layout, such as
    "/data/mine", is read in every tier; see `listing.Listing` for names without cameras. test_resize: filter that
    brings queries and gallery to size, "bicubic" or "bilinear".

    Raises FileNotFoundError saying what to download when a real data set is missing, PermissionError where a domain
    would have to be drawn in somebody else's folder."""
    if not isinstance(tier, str) or tier not in TIERS:
        raise ValueError(f"tier is {tier!r}; expected one of {', '.join(TIERS)}.")
    name = domain_name("domain", name)
    if is_path(name):  # looked at anew each time: one's own data may change in a session
        return read_dataset(
            name, TIERS[tier].image_size, progress=over(f"decoding {Path(name).name}"), test_resize=test_resize
        )
    return _load_domain(name, tier, Path(TIERS[tier].data or data_root()), test_resize)


@cache
def _load_domain(name: str, tier: str, root: Path, test_resize: str) -> Domain:
    values = TIERS[tier]
    if values.share is not None:
        if name not in DOMAIN_NAMES:
            raise ValueError(f"{name} exists in the full tier only; choose one of {', '.join(DOMAIN_NAMES)}.")
        try:
            return lite_domain(name, values.share, values.image_size, over(f"drawing {name}"))
        except OSError as error:
            if getattr(error.__cause__ or error, "errno", None) not in (errno.EACCES, errno.EROFS):
                raise
            raise PermissionError(
                f"{name} of the {tier} tier is not drawn and decoded in {root / 'lite'}, where you may not write: ask "
                "its owner for `python -m dcac_lite world draw`, or set DCAC_DATA to a folder of your own."
            ) from error
    if name not in DATASETS:
        raise ValueError(f"{name} exists in the smoke and lite tiers only; choose one of {', '.join(DATASETS)}.")
    dataset = DATASETS[name]
    return read_dataset(dataset.find(root), values.image_size, dataset, name, over(f"decoding {name}"), test_resize)
