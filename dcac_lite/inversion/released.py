"""The authors' released auxiliary generator, a Keras file, as an `Auxiliary`; and what can be told from it alone.

The file holds the four dense layers and nothing else: not the mean and spread of the table that it was taught on. So
its vectors are in units of that table's spread, in which the table itself has mean 0 and SD 1 in each coordinate."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from .auxiliary import Auxiliary

DIM = 32  # of the released table's vectors
STEPS = 50  # as the authors draw
NEAR = 0.3  # closer than this is the same vector drawn twice: in 32 coordinates chance keeps even thousands apart


def read_auxiliary(file: Path) -> Auxiliary:
    """The network in a weights file of Keras 2 (`auxiliary_generator.hdf5`), in evaluation mode. Raises
    FileNotFoundError for a file that is not there, ValueError for one that holds something else."""
    import h5py

    if not file.is_file():
        raise FileNotFoundError(f"{file} does not exist; expected the released auxiliary_generator.hdf5.")
    auxiliary = Auxiliary(DIM).eval()
    layers = [*auxiliary.hidden, auxiliary.last]
    expected = [shape for layer in layers for shape in (tuple(layer.weight.shape[::-1]), tuple(layer.bias.shape))]
    try:
        with h5py.File(file) as keras:
            found = _weights(keras)
    except (OSError, KeyError) as error:
        raise ValueError(f"{file} is no weights file of Keras ({error}); expected auxiliary_generator.hdf5.") from error
    if (shapes := [values.shape for values in found]) != expected:
        raise ValueError(f"{file} holds arrays of shapes {shapes}; the auxiliary generator has {expected}.")
    with torch.no_grad():
        for layer, kernel, bias in zip(layers, found[::2], found[1::2]):
            layer.weight.copy_(torch.from_numpy(kernel).t())  # Keras stores [in, out]
            layer.bias.copy_(torch.from_numpy(bias))
    return auxiliary


def _weights(keras) -> list[np.ndarray]:
    """Arrays in the order of Keras's own lists of layers and weights, float32."""
    names = [(layer, weight) for layer in keras.attrs["layer_names"] for weight in keras[layer].attrs["weight_names"]]
    return [np.asarray(keras[layer][weight], np.float32) for layer, weight in names]


@torch.no_grad()
def learned_by_heart(auxiliary: Auxiliary, count: int, seed: int = 0, steps: int = STEPS) -> dict[str, float]:
    """What `count` vectors drawn from a generator say of what it was taught: `variance`, the percent of the table's
    variance that they have, and `copies`, the percent of them with another one within 0.3 spreads of the table.
    Vectors drawn from a density have hardly any such; those of a generator that has learned rows by heart have many,
    and the more, the more are drawn."""
    z = torch.randn(count, auxiliary.last.out_features, generator=torch.Generator().manual_seed(seed))
    drawn = (auxiliary.draw(z, steps) - auxiliary.mean) / auxiliary.sd
    near = torch.cat([_nearest(drawn, start) for start in range(0, count, 1000)])
    return {"variance": 100 * float(drawn.var(0).mean()), "copies": 100 * float((near < NEAR).float().mean())}


def _nearest(drawn: Tensor, start: int) -> Tensor:
    """The distance of each of 1000 vectors to the nearest other one."""
    distances = torch.cdist(drawn[start : start + 1000], drawn)
    rows = torch.arange(len(distances))
    distances[rows, start + rows] = torch.inf
    return distances.min(1).values
