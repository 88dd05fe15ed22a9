"""Closed-form references: how far classical methods get on a domain, without a network.

Whatever a world is said to ask of an encoder is measured against these. Each is fitted to the training
split of one source and scored by the project's own protocol on any domain; settings are chosen on
training identities held out from that split (see `discriminant.fit_chosen`), never on a target.

The strongest of the field before networks were hand-made descriptors with a learned metric
(LOMO + XQDA, Liao et al. 2015). Here every descriptor gets the same discriminants."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import product

import numpy as np
import pandas as pd

from ..data import Domain, Split
from ..evaluation import rank_metrics
from .descriptors import Descriptor, gradient_histograms, hand_made, maximal_histograms, pixels, stripe_histograms
from .discriminant import DIMENSIONS, SHRINKAGES, Projection, discriminant, fit_chosen, normalised, whitening
from .patches import patch_descriptor


@dataclass(frozen=True)
class Reference:
    """A closed-form reference. kind: what it looks at (pixels, histograms, gradients, both or patches).
    describe: training images -> descriptor; fit: descriptors of a training split -> projection."""

    name: str
    kind: str
    describe: Callable[[np.ndarray], Descriptor]
    fit: Callable[[np.ndarray, Split], Projection]


def _fixed(descriptor: Descriptor) -> Callable[[np.ndarray], Descriptor]:
    return lambda images: descriptor


def _centred(x: np.ndarray, train: Split) -> Projection:
    mean = x.mean(0)
    return lambda other: other - mean


def _whitened(x: np.ndarray, train: Split) -> Projection:
    return fit_chosen(x, train, whitening, [(k,) for k in DIMENSIONS])


def _lda(x: np.ndarray, train: Split) -> Projection:
    return fit_chosen(x, train, discriminant, product(DIMENSIONS, SHRINKAGES, [False]))


def _weighted_lda(x: np.ndarray, train: Split) -> Projection:
    return fit_chosen(x, train, discriminant, product(DIMENSIONS, SHRINKAGES, [True]))


CLOSED_FORM: tuple[Reference, ...] = (
    Reference("raw pixels", "pixels", _fixed(pixels), _centred),
    Reference("PCA-whitened pixels", "pixels", _fixed(pixels), _whitened),
    Reference("LDA on pixels", "pixels", _fixed(pixels), _lda),
    Reference("weighted LDA on pixels", "pixels", _fixed(pixels), _weighted_lda),
    Reference("weighted LDA on stripe histograms", "histograms", _fixed(stripe_histograms), _weighted_lda),
    Reference("weighted LDA on LOMO-like histograms", "histograms", _fixed(maximal_histograms), _weighted_lda),
    Reference("weighted LDA on gradients (HOG)", "gradients", _fixed(gradient_histograms), _weighted_lda),
    Reference("weighted LDA on histograms and gradients", "both", _fixed(hand_made), _weighted_lda),
    Reference("weighted LDA on a patch dictionary", "patches", patch_descriptor, _weighted_lda),
)


def score(extract: Callable[[np.ndarray], np.ndarray], domain: Domain) -> dict[str, float]:
    """`evaluation.rank_metrics` of `extract`, uint8 images [N, 3, H, W] -> features [N, d], by cosine."""
    return score_features(extract(domain.query.images), extract(domain.gallery.images), domain)


def score_features(query: np.ndarray, gallery: np.ndarray, domain: Domain) -> dict[str, float]:
    """`evaluation.rank_metrics` of features [Q, d] and [G, d] of a domain's queries and gallery, by cosine."""
    return rank_metrics(
        normalised(query), normalised(gallery),
        domain.query.pids, domain.gallery.pids, domain.query.cameras, domain.gallery.cameras,
    )  # fmt: skip


def extractor(reference: Reference, train: Split) -> Callable[[np.ndarray], np.ndarray]:
    """A reference fitted to a training split: uint8 images [N, 3, H, W] -> features, float [N, d]."""
    describe = reference.describe(train.images)
    project = reference.fit(describe(train.images), train)
    return lambda images: project(describe(images))


def closed_form_table(
    domains: Mapping[str, Domain], source: str, references: Iterable[Reference] = CLOSED_FORM
) -> pd.DataFrame:
    """References fitted to the training split of `domains[source]` and scored on every domain of `domains`.

    One row per reference and target with the columns reference, kind, source, target, mAP, R1 (percent)."""
    train = domains[source].train
    parts = [rows(r.name, r.kind, source, domains, extractor(r, train)) for r in references]
    return pd.concat(parts, ignore_index=True)


def rows(
    name: str, kind: str, source: str, domains: Mapping[str, Domain], extract: Callable[[np.ndarray], np.ndarray]
) -> pd.DataFrame:
    """The rows of `closed_form_table` for one `extract` (see `score`) fitted to `source`."""
    metrics = {target: score(extract, domain) for target, domain in domains.items()}
    facts = {"reference": name, "kind": kind, "source": source}
    return pd.DataFrame([facts | {"target": t, "mAP": m["mAP"], "R1": m["R1"]} for t, m in metrics.items()])
