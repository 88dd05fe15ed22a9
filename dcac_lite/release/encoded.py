"""An encoder and a data set, as they are named on a command line, become features."""

from dataclasses import dataclass
from pathlib import Path

import torch

from ..augment import to_tensor
from ..data.domains import lite_domain, read_dataset
from ..data.registry import DOMAIN_NAMES
from ..device import compute_device, keep_float32
from ..evaluation import Features
from ..pretrained.files import read_json
from ..progress import over
from .export import FeatureExtractor

#: What the two arguments may be, for the help of a command.
ENCODER = "folder of an exported encoder or of a run, or a hub id OWNER/NAME"
FOLDER = f"a data set in Market-1501's or MSMT17's layout, or an embedded domain: {', '.join(DOMAIN_NAMES)}"


@dataclass(frozen=True)
class EncodedDomain:
    """The test pictures of a data set as an encoder sees them. cameras_known: see `data.listing.Listing`."""

    query: Features
    gallery: Features
    cameras_known: bool


def load_encoder(place: str) -> FeatureExtractor:
    """The encoder of an exported folder, a finished run's folder or a hub repository, on the compute device. Raises
    FileNotFoundError or ValueError as `FeatureExtractor.from_pretrained` and `runs.Run` do."""
    from ..runs import Run

    described = Path(place) / "config.json"
    of_run = described.is_file() and "experiment" in read_json(described)
    extractor = FeatureExtractor.from_run(Run(place)) if of_run else FeatureExtractor.from_pretrained(place)
    return extractor.to(compute_device())


def encode(extractor: FeatureExtractor, place: str, batch: int = 256) -> EncodedDomain:
    """Queries and gallery of the data set in a folder, or of an embedded domain, in float32, resized as the encoder
    asks. Raises what `read_dataset` raises."""
    keep_float32()
    size = tuple(extractor.visual.image_size)
    if place in DOMAIN_NAMES:
        domain = lite_domain(place, size=size, progress=over(f"drawing {place}"))
    else:
        domain = read_dataset(place, size, progress=over(f"decoding {place}"), test_resize=extractor.resize)
    parts = []
    for split in (domain.query, domain.gallery):
        starts = over(f"encoding {domain.name}")(range(0, len(split), batch))
        x = torch.cat([extractor.features(to_tensor(split.images[start : start + batch])) for start in starts])
        parts.append(Features(x.to(compute_device()), split.pids, split.cameras))
    return EncodedDomain(*parts, domain.cameras_known)
