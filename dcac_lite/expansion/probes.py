"""What a head's features know of clothes: who its wrong answers are, what can be read, how far people spread."""

import numpy as np
import torch
from sklearn.linear_model import RidgeClassifierCV

from ..data.domains import Domain
from .protocols import Dressed, Protocol
from .references import in_the_query_s_clothes
from .specs import MOST_OUTFITS, ClothesSpec
from .wardrobe import wearers
from .world import plan


def catalogue_numbers(spec: ClothesSpec) -> np.ndarray:
    """The catalogue's number of every outfit in a domain, by the number that `ClothesSplit.clothes` says, -1 where
    nobody wears one of that number."""
    found = np.full(MOST_OUTFITS * (2 + spec.train_ids + spec.test_ids), -1)
    for record in plan(spec):
        found[MOST_OUTFITS * record.pid + record.outfit] = wearers(spec)[record.person].numbers[record.outfit]
    return found


def misled(query: Dressed, gallery: Dressed, protocol: Protocol, spec: ClothesSpec) -> float:
    """Of the wrong first answers the share, in percent, who wear the query's very outfit."""
    return in_the_query_s_clothes(query, gallery, protocol, catalogue_numbers(spec))


def top_colours(spec: ClothesSpec, domain: Domain, split: str) -> np.ndarray:
    """The word for the top's colour in every picture of a split."""
    words = {}
    for record in plan(spec):
        outfit = wearers(spec)[record.person].outfits[record.outfit]
        words[MOST_OUTFITS * record.pid + record.outfit] = outfit.top.colour
    return np.array([words[number] for number in getattr(domain, split).clothes])


def read_linearly(train: torch.Tensor, test: torch.Tensor, words: tuple[np.ndarray, np.ndarray]) -> float:
    """How many test pictures' words a ridge classifier names, in percent, fitted to features [M, d] and words of
    training pictures, with its penalty chosen there; test: features [N, d] of other people."""
    reader = RidgeClassifierCV(alphas=np.logspace(-4, 2, 7)).fit(train.numpy(), words[0])
    return 100 * float((reader.predict(test.numpy()) == words[1]).mean())


def within(features: torch.Tensor, pids: np.ndarray) -> float:
    """The share of the variance of features [N, d] that lies within people, in percent."""
    _, labels = np.unique(pids, return_inverse=True)
    rows = torch.from_numpy(labels.reshape(-1))
    count = torch.bincount(rows)[:, None]
    means = torch.zeros(len(count), features.shape[1]).index_add_(0, rows, features) / count
    return 100 * float((features - means[rows]).square().sum() / (features - features.mean(0)).square().sum())
