"""Who is that? People told apart by the distance of what Img2ID reads from their pictures; and two protocols."""

import numpy as np
import torch
from torch import Tensor, nn

from ..data.domains import Domain
from ..device import compute_device
from ..evaluation import rank_lists, rank_metrics
from .people import shrunk

DEEP = 25  # places of a rank list that the published code's accuracy looks at


@torch.no_grad()
def read_vectors(img2id: nn.Module, images: Tensor, batch: int = 256) -> Tensor:
    """What Img2ID, or another network of its kind, makes of uint8 images [N, 3, H, W]: float32 [N, dim] on the CPU."""
    device = compute_device()
    return torch.cat([img2id(part.to(device).float() / 255).cpu() for part in images.split(batch)])


def scores(query: Tensor | np.ndarray, gallery: Tensor | np.ndarray, domain: Domain) -> dict[str, float]:
    """Ranking by Euclidean distance of features [Q, d] and [G, d] of a domain's queries and gallery, in percent.

    "mAP", "R1": the standard protocol, `evaluation.rank_metrics`. "code mAP", "code R1": as the published code
    counts, which leaves the pictures of the query's own camera in the gallery, near-duplicates of the query, and
    whose "rank-1" is the share of the hits among the first 25 that lies in first place, 1 where there is none."""
    q, g = domain.query, domain.gallery
    query, gallery = (torch.as_tensor(np.asarray(x)) for x in (query, gallery))
    standard = rank_metrics(query, gallery, q.pids, g.pids, q.cameras, g.cameras)
    return {name: standard[name] for name in ("mAP", "R1")} | code_protocol(query, gallery, q.pids, g.pids)


def code_protocol(query: Tensor, gallery: Tensor, query_pids: np.ndarray, gallery_pids: np.ndarray) -> dict[str, float]:
    """{"code mAP", "code R1"} of features [Q, d] and [G, d], in percent: see `scores`."""
    elsewhere = np.full(len(query), -1), np.zeros(len(gallery), int)  # no camera is the query's own
    everything = rank_metrics(query, gallery, query_pids, gallery_pids, *elsewhere)
    top = min(DEEP, len(gallery))
    _, hits = rank_lists(query, gallery, query_pids, gallery_pids, *elsewhere, top=top)
    first = np.where(hits.any(1), hits[:, 0] / np.maximum(hits.sum(1), 1), 1.0)
    return {"code mAP": everything["mAP"], "code R1": 100 * float(first.mean())}


class Reader:
    """A network of Img2ID's kind as an encoder: pictures of any size in, features out, as `book.rank_figure` and others
    want it."""

    def __init__(self, img2id: nn.Module, size: tuple[int, int]):
        self._net, self._size = img2id, size

    def features(self, images: np.ndarray) -> Tensor:
        """float32 [N, dim] of uint8 images [N, 3, H, W], which are brought to the network's size."""
        return read_vectors(self._net, shrunk(images, self._size))

    def scores(self, domain: Domain) -> dict[str, float]:
        """The `scores` of its features on a domain."""
        return scores(self.features(domain.query.images), self.features(domain.gallery.images), domain)
