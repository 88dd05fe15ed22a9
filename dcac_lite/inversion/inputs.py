"""Which of the generator's two inputs moves what in its drawings: the vector, the noise, or only both together?

Some people are drawn from some noises, everybody from every noise. What changes with the person alone, and what with
the noise alone, is then a matter of counting: a two-way analysis of variance. Here the noise is the one that the
generator is given, so nothing depends on how well anything is read back from a picture."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
import torch

from .contents import QUESTIONS, answers, known_people, reader
from .people import shrunk
from .system import System
from .training import seeded

GRIDS = 4  # of other people and other noises each, so that there is an interval
SIDE = 12  # people, and noises, of a grid
#: A row of the table that must find nothing: the same pictures, dealt out at random.
SHUFFLED = "pixels, dealt out at random"


def components(values: np.ndarray) -> dict[str, float]:
    """Percent of the variance of values, float [people, noises, d], that comes from the `person` alone, from the
    `noise` alone, and from `both` together: estimated variance components, summed over the d numbers. What has no
    influence has about 0, and may come out a little below."""
    people, noises = values.shape[:2]
    mean = values.mean((0, 1))
    of_person, of_noise = values.mean(1) - mean, values.mean(0) - mean
    rest = values - mean - of_person[:, None] - of_noise[None]
    left = np.square(rest).sum() / ((people - 1) * (noises - 1))
    person = np.square(of_person).sum() / (people - 1) - left / noises
    noise = np.square(of_noise).sum() / (noises - 1) - left / people
    whole = (person + noise + left) / 100
    return {"person": person / whole, "noise": noise / whole, "both": left / whole}


@torch.no_grad()
def grids(system: System) -> Iterator[np.ndarray]:
    """Drawings of `GRIDS` grids, uint8 [people, noises, 3, H, W], of training people that differ from grid to grid."""
    rng, recipe, table = seeded("grids", system.setting.seed), system.recipe, system.generator.table.vectors
    side = min(SIDE, len(table) // GRIDS)
    for rows in torch.randperm(len(table), generator=rng)[: GRIDS * side].view(GRIDS, side):
        z = torch.randn(side, 3, *recipe.size, generator=rng).to(table.device)
        drawn = [system.generator.draw(z, table[row].expand(side, -1), recipe.picture_steps) for row in rows]
        yield (255 * torch.stack(drawn)).round().byte().cpu().numpy()


def inputs(system: System) -> pd.DataFrame:
    """`components` of the drawings' pixels, and of what readers say who learned `contents.QUESTIONS` from photographs'
    pixels (their scores, before any decision): a row for each and each grid, columns of, grid, person, noise, both."""
    train = known_people(system.domain.train)
    (taught,) = answers(system.setting.source, system.setting.tier, train)
    small = shrunk(train.images, system.recipe.size).flatten(1).float().numpy() / 255
    readers = {question: reader(small, taught[question].to_numpy()) for question in QUESTIONS}
    rows, rng = [], np.random.default_rng(system.setting.seed)
    for grid, drawn in enumerate(grids(system)):
        pixels = drawn.reshape(-1, small.shape[1]) / np.float32(255)
        of = {"pixels": pixels} | {name: one.decision_function(pixels) for name, one in readers.items()}
        of[SHUFFLED] = rng.permutation(pixels)
        for name, values in of.items():
            rows.append({"of": name, "grid": grid} | components(values.reshape(*drawn.shape[:2], -1)))
    return pd.DataFrame(rows)
