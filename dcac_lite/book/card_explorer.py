"""Something to play with in notebook B1: move a card along the directions in which people differ most, and see who is
drawn, and which training person is nearest."""

from collections.abc import Callable, Sequence
from functools import lru_cache

import ipywidgets as widgets
import numpy as np
import torch

from ..inversion.generator import Generator
from ..inversion.measures import pair_distances
from .explorers import Explorer
from .inversion_figures import to_eye
from .notebook import name_rows, show_images
from .pages import image_html

AMOUNTS = np.linspace(-2, 2, 9)  # standard deviations of the training people along a direction
SHOWN = 3  # pictures of the nearest person


def amount(value: float) -> str:
    """How far a slider stands from the mean, as it is read out: "+1.5 SD"."""
    return f"{value:+g} SD" if value else "0 SD"


@torch.no_grad()
def explore_cards(
    generator: Generator,
    size: tuple[int, int],
    steps: int,
    photographs: Callable[[int], Sequence[np.ndarray]],
    directions: int = 4,
    noises: int = 4,
    seed: int = 0,
) -> Explorer:
    """The mean card of the generator's table, moved along its first principal `directions`, drawn from one of some
    noises, beside photographs of the training person whose row is nearest, and that distance.

    size: (height, width) of a drawing, which takes so many `steps`; photographs: uint8 pictures [3, H, W] of a training
    person, by the row of the table. A move is drawn from all noises at once, and kept."""
    table = generator.table.vectors.detach()
    mean = table.mean(0)
    _, spread, axes = torch.linalg.svd(table - mean, full_matrices=False)
    axes = axes[:directions] * spread[:directions, None] / len(table) ** 0.5  # one SD long each
    z = torch.randn(noises, 3, *size, generator=torch.Generator().manual_seed(seed)).to(table.device)
    apart = float(pair_distances(table.cpu()).mean())

    def moved(amounts: Sequence[float]) -> torch.Tensor:
        return mean + torch.tensor(amounts, dtype=axes.dtype, device=axes.device) @ axes

    @lru_cache(maxsize=512)
    @torch.no_grad()
    def drawn(*amounts: float) -> np.ndarray:
        return to_eye(generator.draw(z, moved(amounts).expand(noises, -1), steps).cpu())

    def nearest(amounts: Sequence[float]) -> tuple[int, float]:
        distance = (table - moved(amounts)).norm(dim=1)
        return int(distance.argmin()), float(distance.min())

    def draw(noise: int, **amounts: float) -> list[tuple[str, str]]:
        at = tuple(amounts.values())
        person, distance = nearest(at)
        words = (
            f"The nearest training person is #{person}, at a distance of <b>{distance:.2f}</b>; two training people "
            f"are {apart:.2f} apart on average."
        )
        place = ", ".join(map(amount, at))
        blocks = [
            image_html(
                drawn(*at)[noise], "drawn", f"drawing of the card at {place}, noise {noise + 1}", "3px solid black"
            )
        ]
        for number, picture in enumerate(list(photographs(person))[:SHOWN], 1):
            blocks.append(image_html(picture, f"#{person}", f"photograph {number} of training person {person}"))
        return [(words, "".join(blocks))]

    def figure():
        pictures, titles, names = [], [], []
        for axis in range(min(2, directions)):
            row = [tuple(float(a) if k == axis else 0.0 for k in range(directions)) for a in AMOUNTS[::2]]
            found = [nearest(at) for at in row]
            pictures += [drawn(*at)[0] for at in row] + [np.asarray(photographs(person)[0]) for person, _ in found]
            titles += [amount(at[axis]) for at in row] + [f"#{person}: {distance:.2f}" for person, distance in found]
            names += [f"direction {axis + 1}", "nearest"]
        shown = show_images(np.stack(pictures), titles, columns=len(AMOUNTS[::2]), scale=0.85)
        name_rows(shown, names)
        return shown

    sliders = {
        f"a{k}": widgets.SelectionSlider(
            options=[(amount(float(a)), float(a)) for a in AMOUNTS], value=0.0, description=f"direction {k + 1}"
        )
        for k in range(directions)
    }
    noise = widgets.Dropdown(options=[(f"noise {k + 1}", k) for k in range(noises)], description="noise")
    return Explorer("Cards", draw, figure, noise=noise, **sliders)
