"""Is it true? Measures of what the pictures of this system only show."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from ..data.domains import Split
from ..world.descriptors import pixels
from ..world.discriminant import discriminant, fit_chosen
from .auxiliary import Auxiliary
from .bank import Bank
from .generator import Generator
from .img2id import Img2ID
from .people import People
from .recipe import Recipe
from .reid import read_vectors
from .unet import UNet

#: Dimensions of the PCA and shrinkages that the judge chooses from.
_GRID = [(k, shrinkage, True) for k in (50, 100, 200) for shrinkage in (0.1, 0.3, 0.6)]


def parameters(recipe: Recipe, rows: int) -> dict[str, int]:
    """How many numbers the networks of a recipe learn, by name, the table having so many rows. Nothing is computed."""
    with torch.device("meta"):
        nets = {
            "generator, with its table": Generator(rows, recipe.dim, recipe.depths, recipe.blocks),
            "auxiliary generator": Auxiliary(recipe.dim),
            "Img2ID": Img2ID(recipe.size, recipe.dim, recipe.depths, recipe.blocks),
            "Img2Noise": UNet(recipe.depths, recipe.blocks),
        }
    return {name: sum(p.numel() for p in net.parameters()) for name, net in nets.items()}


def half_of(labels: Tensor, seed: int = 0) -> np.ndarray:
    """Which pictures, bool [N], are in a random half of each identity's (the larger one where their number is odd)."""
    rng, labels = np.random.default_rng(seed), labels.numpy()
    order = rng.permutation(len(labels))
    place = np.empty(len(labels), int)
    for label in np.unique(labels):
        own = order[labels[order] == label]
        place[own] = np.arange(len(own))
    return place % 2 == 0


class Judge:
    """Names the person in a picture without any network: the pixels' discriminant axes (`world.discriminant`), and the
    nearest mean of an identity's pictures there. It sees the pictures `rows` (bool [N]) of the training people only, so
    the others say how good it is."""

    def __init__(self, people: People, cameras: np.ndarray, rows: np.ndarray):
        images, labels = people.images[torch.from_numpy(rows)], people.labels[torch.from_numpy(rows)]
        x, none = pixels(images.numpy()), ("",) * len(images)
        split = Split(images.numpy(), labels.numpy(), cameras[rows], none, ())
        self._project: Callable = fit_chosen(x, split, discriminant, _GRID)
        z = torch.from_numpy(self._project(x)).float()
        self._means = torch.stack([z[labels == k].mean(0) for k in range(people.identities)])

    def names(self, images: Tensor) -> Tensor:
        """The label that it gives each of uint8 images [N, 3, H, W]: int64 [N]."""
        z = torch.from_numpy(self._project(pixels(images.numpy()))).float()
        return torch.cdist(z, self._means).argmin(1)

    def share_right(self, images: Tensor, labels: Tensor) -> float:
        """Percent of images whose label, int64 [N], it names."""
        return 100 * float((self.names(images) == labels).float().mean())


def within(images: Tensor, labels: Tensor) -> float:
    """How much the pictures of one person differ: the SD of uint8 images [N, 3, H, W] around the mean of their label's,
    int64 [N], in grey levels. Labels with one picture do not count."""
    x, total, count = images.float(), 0.0, 0
    for label in labels.unique():
        own = x[labels == label]
        if len(own) > 1:
            total, count = total + float((own - own.mean(0)).square().sum()), count + (len(own) - 1) * own[0].numel()
    return (total / count) ** 0.5


def spread_kept(vectors: Tensor, rows: Tensor) -> float:
    """SD of vectors [N, dim] over that of the table's rows, averaged over the coordinates: below 1 they huddle."""
    return float((vectors.std(0) / rows.std(0)).mean())


def nearness(vectors: Tensor, rows: Tensor) -> float:
    """How near vectors [N, dim] lie to the table's rows: the median distance to the nearest row, over the same for the
    rows among themselves. 0 is learned by heart, about 1 is as far as people are from each other."""
    among = torch.cdist(rows, rows).fill_diagonal_(torch.inf)
    return float(torch.cdist(vectors, rows).min(1).values.median() / among.min(1).values.median())


def explained(net: nn.Module, bank: Bank) -> float:
    """Percent of the variance of vectors that a network of Img2ID's kind reads from their pictures; negative where the
    mean vector would be the better answer."""
    missed = (read_vectors(net, bank.images) - bank.vectors).square().mean()
    return 100 * float(1 - missed / (bank.vectors - bank.vectors.mean(0)).square().mean())


def named_by_table(net: nn.Module, people: People, rows: Tensor) -> float:
    """Percent of real training pictures whose vector, as the network reads it, is nearest to their own person's row of
    the table [identities, dim]: closed-set recognition, on people the generator knows."""
    nearest = torch.cdist(read_vectors(net, people.images), rows).argmin(1)
    return 100 * float((nearest == people.labels).float().mean())


def pair_distances(rows: Tensor) -> np.ndarray:
    """Euclidean distances of all pairs of rows [N, dim]: float [N (N - 1) / 2], in the order of `np.triu_indices`."""
    first, second = np.triu_indices(len(rows), 1)
    return torch.cdist(rows, rows).numpy()[first, second]
