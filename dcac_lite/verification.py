"""Verification: which distance means the same person? Error rates at a threshold, and how sure they are.

A genuine pair is one person seen by two cameras, an impostor pair two persons seen by two cameras, the first picture
among the queries, the second in the gallery. Unlike a ranking, which counts strangers in the query's own camera, both
kinds are between cameras, so that a camera's style gives nothing away."""

from collections.abc import Iterator
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from .evaluation import Features

STEP = 2.0**-16  # thresholds are multiples of this; at each of them pairs are counted exactly
ERRORS = 30  # the rule of 30 (Doddington et al. 2000): fewer mistakes do not tell a rate to within a third
_BINS = round(2 / STEP) + 1  # cosine distances are 0 to 2
_ROWS = 64  # queries whose gallery distances are looked at together: few enough to stay near the processor


class Rates(NamedTuple):
    """What a threshold does, each rate a share (0 to 1) with its 95 % interval. fpr: of the impostor pairs, how many
    are taken for one person (false alarms); tpr: of the genuine pairs, how many are recognised."""

    fpr: float
    fpr_low: float
    fpr_high: float
    tpr: float
    tpr_low: float
    tpr_high: float


class Verification:
    """The pairs of queries and gallery (`evaluation.Features`, of unit length) and their cosine distances, 1 - cos.

    Junk (person id -1) is left out. Distractors (id 0, where nobody asks for 0) make impostor pairs with everybody.
    fpr, tpr: float64, the rates at the thresholds 0, STEP, 2 STEP, ...: "the same person" is said below a threshold.
    Works through a few queries at a time, on the gallery features' device: the full Q x G matrix never exists; besides
    the features it keeps persons x persons counts. Raises ValueError where there are no pairs of a kind, or a feature
    has not unit length."""

    def __init__(self, query: Features, gallery: Features):
        query, gallery = (_without_junk(name, part) for name, part in (("query", query), ("gallery", gallery)))
        self.query, self.gallery = query, gallery
        known = np.union1d(query.pids, gallery.pids)
        self._persons = known if 0 in query.pids else known[known != 0]
        if not self.pairs.sum():
            raise ValueError("There is no pair of pictures from two cameras; nothing can be compared.")
        counts = torch.zeros(2 * _BINS, dtype=torch.int64, device=gallery.x.device)
        for _, distance, same, between in self._blocks():
            bins = (distance / STEP).long() + same * _BINS
            counts += torch.bincount(bins[between], minlength=len(counts))
        impostor, genuine = counts.reshape(2, _BINS).cpu().numpy()
        self.impostor_pairs, self.genuine_pairs = int(impostor.sum()), int(genuine.sum())
        for number, kind in ((self.genuine_pairs, "of one person"), (self.impostor_pairs, "of two persons")):
            if not number:
                raise ValueError(f"There is no pair {kind} seen by two cameras; a threshold needs both kinds.")
        self.fpr = np.concatenate([[0.0], impostor.cumsum() / self.impostor_pairs])
        self.tpr = np.concatenate([[0.0], genuine.cumsum() / self.genuine_pairs])

    def _blocks(self) -> Iterator[tuple[slice, Tensor, Tensor, Tensor]]:
        """Rows of the queries; their distances [B, G]; which pairs are of one person; which are between cameras."""
        q, g = self.query, self.gallery
        ids = [torch.from_numpy(x).to(g.x.device) for x in (q.pids, q.cameras, g.pids, g.cameras)]
        for start in range(0, len(q), _ROWS):
            rows = slice(start, start + _ROWS)
            distance = (1 - q.x[rows].to(g.x) @ g.x.t()).clamp_(0, 2)
            yield rows, distance, ids[0][rows, None] == ids[2], ids[1][rows, None] != ids[3]

    @cached_property
    def _columns(self) -> tuple[np.ndarray, np.ndarray]:
        """Each query's and each gallery picture's place among the persons; behind them, in one place, distractors."""
        places = [np.searchsorted(self._persons, part.pids) for part in (self.query, self.gallery)]
        places[1][~np.isin(self.gallery.pids, self._persons)] = self.people
        return places[0], places[1]

    @property
    def people(self) -> int:
        """Persons among queries and gallery, distractors not counted."""
        return len(self._persons)

    @cached_property
    def pairs(self) -> np.ndarray:
        """Pairs of pictures between cameras, for a person asked for and a person found: float64 [P, P + 1]. The last
        column holds the distractors, the diagonal the genuine pairs."""
        cameras, number = np.unique([*self.query.cameras, *self.gallery.cameras], return_inverse=True)
        seen = []
        for places, own in zip(self._columns, np.split(number, [len(self.query)])):
            seen.append(np.zeros((self.people + 1, len(cameras))))
            np.add.at(seen[-1], (places, own), 1)
        asked, found = seen[0][:-1], seen[1]
        return np.outer(asked.sum(1), found.sum(1)) - asked @ found.T

    def _below(self, threshold: float) -> np.ndarray:
        """`pairs`, counting only those below the threshold."""
        asked, found = (torch.from_numpy(places).to(self.gallery.x.device) for places in self._columns)
        counts = torch.zeros(self.pairs.size, dtype=torch.int64, device=found.device)
        for rows, distance, _, between in self._blocks():
            row, column = torch.nonzero((distance < threshold) & between, as_tuple=True)
            codes = asked[rows][row] * (self.people + 1) + found[column]
            counts += torch.bincount(codes, minlength=len(counts))
        return counts.reshape(self.pairs.shape).cpu().double().numpy()

    @cached_property
    def person_pairs(self) -> int:
        """Pairs of persons of whom there is an impostor pair; distractors are not persons."""
        met = self.pairs[:, :-1] > 0
        return int(np.count_nonzero(np.triu(met | met.T, 1)))

    @property
    def smallest_rate(self) -> float:
        """30 / `person_pairs`: a smaller false-alarm rate makes fewer than 30 mistakes even if every pair of persons
        were a trial of its own. Pairs share people, so this is a lower limit; how sure a larger rate is, its interval
        says."""
        return ERRORS / max(1, self.person_pairs)

    def threshold(self, false_alarm: float) -> float:
        """The largest threshold at which at most this share of the impostor pairs is taken for one person. Raises
        ValueError for a share below `smallest_rate`, or one of all."""
        if not self.smallest_rate <= false_alarm < 1:
            raise ValueError(
                f"A false-alarm rate of {false_alarm:g} cannot be told from {self.people} people: {ERRORS} mistaken "
                f"pairs of them are needed, and they make {self.person_pairs:,}; take more people, or a rate of at "
                f"least {ERRORS} / {self.person_pairs:,} and below 1."
            )
        return self._at_most(false_alarm)

    def _at_most(self, fpr: float) -> float:
        return float(np.searchsorted(self.fpr, fpr, side="right") - 1) * STEP

    def rates(self, threshold: float, resamples: int = 1000, seed: int = 0) -> Rates:
        """Rates at a threshold, with percentile bootstrap intervals over people: persons are drawn with replacement,
        and a pair of persons drawn k and l times counts k l times, a genuine pair of a person drawn k times k times.
        Distractors stay as they are, since nobody knows which of them are one person.

        The intervals are right where mistakes belong to people, some of whom look like many, and too wide where every
        pair has a fate of its own."""
        drawn = np.random.default_rng(seed).multinomial(self.people, np.full(self.people, 1 / self.people), resamples)
        below, every = _weighted(self._below(threshold), drawn), _weighted(self.pairs, drawn)
        rates = []
        for kind in (0, 1):  # impostor, genuine pairs; the first number is of everybody once
            there = every[kind] > 0  # a resample may be without such a pair
            shares = below[kind][there] / every[kind][there]
            rates += [shares[0], *np.quantile(shares[1:], (0.025, 0.975))]
        return Rates(*map(float, rates))

    def threshold_interval(self, rates: Rates) -> tuple[float, float]:
        """The 95 % interval of a threshold at which these are the rates: where the false-alarm rate takes the ends of
        its own interval (Woodruff 1952)."""
        return self._at_most(rates.fpr_low), self._at_most(rates.fpr_high)

    @property
    def eer(self) -> float:
        """The equal error rate: where as many impostor pairs pass as genuine pairs are missed (0 to 1)."""
        gap = self.fpr + self.tpr - 1
        k = int(np.argmax(gap >= 0))
        share = gap[k] / (gap[k] - gap[k - 1])  # between the two thresholds around the crossing
        return float(self.fpr[k] - share * (self.fpr[k] - self.fpr[k - 1]))

    @property
    def auc(self) -> float:
        """The area under the ROC (0 to 1): how often a genuine pair is nearer than an impostor pair."""
        return float(np.trapezoid(self.tpr, self.fpr))


def _weighted(counts: np.ndarray, drawn: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Impostor and genuine pairs in counts [P, P + 1], with everybody once and in each resample, drawn [R, P];
    [R + 1] each."""
    drawn = np.vstack([np.ones(drawn.shape[1]), drawn])
    others = counts.copy()
    np.fill_diagonal(others, 0)
    found = np.column_stack([drawn, np.ones(len(drawn))])  # distractors are there once
    return np.einsum("rp,rp->r", drawn @ others, found), drawn @ np.diagonal(counts)


def _without_junk(name: str, part: Features) -> Features:
    length = part.x.square().sum(1)
    if not ((length - 1).abs() < 1e-3).all():
        raise ValueError(f"The {name} features have not unit length; a cosine distance needs finite ones that have.")
    kept = part.pids != -1
    return Features(part.x[torch.from_numpy(kept).to(part.x.device)].float(), part.pids[kept], part.cameras[kept])
