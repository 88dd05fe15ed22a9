"""Linear discriminants for retrieval: PCA, within-identity whitening, and an honest choice of their settings."""

from collections.abc import Callable, Iterable

import numpy as np
import torch
from scipy.linalg import eigh
from sklearn.decomposition import PCA
from torch import Tensor

from ..data import Split
from ..evaluation import rank_metrics

#: Maps descriptors, float32 [N, D], to features, float [N, d].
Projection = Callable[[np.ndarray], np.ndarray]

DIMENSIONS = (50, 100, 200, 400)  # of the PCA
SHRINKAGES = (0.01, 0.1, 0.3, 0.6)  # of the within-identity covariance towards a multiple of the identity matrix
HELD_OUT = 1 / 3  # of the training identities, to choose settings with


def normalised(features: np.ndarray) -> Tensor:
    """Rows of `features` [N, d] at length 1, float32, so that Euclidean distances order as cosines do."""
    return torch.nn.functional.normalize(torch.from_numpy(np.ascontiguousarray(features, np.float32)))


def whitening(z: np.ndarray, pids: np.ndarray) -> np.ndarray:
    """Diagonal matrix [k, k] that brings principal components z [N, k] to variance 1; knows no identities."""
    return np.diag(1 / z.std(0))


def covariances(z: np.ndarray, pids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Within- and between-identity covariance of z [N, k], each float64 [k, k]; their sum is the total one."""
    _, labels = np.unique(pids, return_inverse=True)
    one_hot = np.zeros((len(z), labels.max() + 1))
    one_hot[np.arange(len(z)), labels] = 1
    centre = z.mean(0)
    means = one_hot.T @ z / one_hot.sum(0)[:, None]  # [identities, k]
    inside, outside = z - means[labels], means[labels] - centre
    return inside.T @ inside / len(z), outside.T @ outside / len(z)


def discriminant(z: np.ndarray, pids: np.ndarray, shrinkage: float, weighted: bool) -> np.ndarray:
    """Fisher's discriminant axes of z [N, k] as the columns of a matrix, float64 [k, d].

    Along each axis the (shrunk) within-identity variance is 1 and the between-identity variance is an
    eigenvalue b. Plain LDA takes the identities - 1 axes of the largest b as equals. (Unshrunk they are those
    of scikit-learn's `LinearDiscriminantAnalysis(solver="eigen")`, which keeps no eigenvalues.)
    `weighted` takes all and multiplies each by b / (1 + b): the features are then the expected identity
    given one picture, if both covariances are those of normal distributions (probabilistic LDA,
    Ioffe 2006; Prince & Elder 2007). Directions that tell little about identity hardly count, which
    matters most on cameras never seen."""
    within, between = covariances(np.asarray(z, np.float64), pids)
    k = len(within)
    within = (1 - shrinkage) * within + shrinkage * np.trace(within) / k * np.eye(k)
    b, axes = eigh(between, within)
    if weighted:
        return axes * (b / (1 + b)).clip(0)
    return axes[:, ::-1][:, : len(np.unique(pids)) - 1]


def held_out(pids: np.ndarray) -> np.ndarray:
    """Which images, bool [N], belong to the `HELD_OUT` share of the identities in `pids` [N]."""
    people = np.unique(pids)
    chosen = np.random.default_rng(0).permutation(people)[: max(2, round(HELD_OUT * len(people)))]
    return np.isin(pids, chosen)


def among_themselves(features: np.ndarray, split: Split, rows: np.ndarray) -> float:
    """mAP in percent of retrieving the images `rows` (bool [N]) of a split among themselves, across cameras.
    features: [rows.sum(), d]."""
    f, pids, cameras = normalised(features), split.pids[rows], split.cameras[rows]
    return rank_metrics(f, f, pids, pids, cameras, cameras)["mAP"]


def fit_chosen(x: np.ndarray, train: Split, metric: Callable[..., np.ndarray], grid: Iterable[tuple]) -> Projection:
    """The projection x -> PCA to k dimensions -> `metric(z, pids, *settings)`, a matrix [k, d], fitted to
    the descriptors x [N, D] of a training split. Of the (k, *settings) in `grid` the best for retrieval
    among held-out training identities is taken; no other data are looked at."""
    rows = held_out(train.pids)
    pca = _pca(x[~rows])
    z, held = pca.transform(x[~rows]), pca.transform(x[rows])

    def quality(settings: tuple) -> float:
        k, *rest = settings
        return among_themselves(held[:, :k] @ metric(z[:, :k], train.pids[~rows], *rest), train, rows)

    k, *rest = max(grid, key=quality)
    pca = _pca(x)
    matrix = metric(pca.transform(x)[:, :k], train.pids, *rest)
    return lambda other: pca.transform(other)[:, :k] @ matrix


def _pca(x: np.ndarray) -> PCA:
    # its first k components are the PCA of k dimensions, so one fit serves the whole grid
    return PCA(min(max(DIMENSIONS), len(x) - 1, x.shape[1]), svd_solver="randomized", random_state=0).fit(x)
