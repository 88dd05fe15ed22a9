"""Measures of maps against the truth: how much of a map lies in a region, and how much of that it owes to its own
picture.

A person stands in the middle of nearly every picture, so a map that knows nothing but that already lies on the body.
What a map says about *its* picture is what remains when the same map is measured on other pictures' regions. The blob
that has seen no picture shows how far the middle alone leads."""

from collections.abc import Callable

import numpy as np

Measure = Callable[[np.ndarray, np.ndarray], np.ndarray]  # maps and masks [M, H, W] -> [M]


def energy_ratio(maps: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """How much of a map lies in a region, compared with chance: the region's share of the map's sum, divided
    by its share of the area. 1 means no preference, 2 twice the fair share, 0 nothing.

    maps [M, H, W], at least 0; masks bool [M, H, W]. Returns [M], NaN where the map or the region is empty."""
    with np.errstate(divide="ignore", invalid="ignore"):
        energy = (maps * masks).sum((1, 2)) / maps.sum((1, 2))
        ratio = energy / masks.mean((1, 2))
    return np.where(np.isfinite(ratio), ratio, np.nan)


def pointing_game(maps: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Whether the largest value of each map lies in its region, 1.0 or 0.0, NaN for an empty map (Zhang et
    al., 2018). maps [M, H, W], masks bool [M, H, W] -> [M]. Chance is the region's share of the area."""
    flat = maps.reshape(len(maps), -1)
    hit = masks.reshape(len(masks), -1)[np.arange(len(maps)), flat.argmax(1)]
    return np.where(flat.max(1) > 0, hit.astype(float), np.nan)


def own_minus_shuffled(measure: Measure, maps: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """What a map owes to its own picture: `measure` (`energy_ratio` or `pointing_game`) on the picture's own region
    minus its mean on the regions of all other pictures. The mean over the pictures is 0 for maps that are all the same.

    maps [M, H, W], masks bool [M, H, W], M at least 2 -> [M], NaN where a map or its region is empty."""
    if len(maps) < 2:
        raise ValueError(f"{len(maps)} map has no other picture to be measured on; at least 2 are needed.")
    others = np.stack([measure(maps, np.roll(masks, k, axis=0)) for k in range(1, len(maps))])
    counted = np.isfinite(others).sum(0)
    return measure(maps, masks) - np.where(counted, np.nansum(others, 0) / np.maximum(counted, 1), np.nan)


def measure_regions(maps: np.ndarray, regions: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Measures of maps [M, H, W] on regions bool [M, H, W], each [M]: `energy_ratio` on body, clothing and background
    and the pointing game on the body; and for all but the background `..., own minus shuffled`. NaN where a map is
    empty."""
    measures: dict[str, tuple[Measure, np.ndarray]] = {
        "body": (energy_ratio, regions["body"]),
        "clothing": (energy_ratio, regions["clothing"]),
        "pointing": (pointing_game, regions["body"]),
    }
    found = {name: measure(maps, masks) for name, (measure, masks) in measures.items()}
    found["background"] = energy_ratio(maps, regions["background"])
    return found | {
        f"{name}, own minus shuffled": own_minus_shuffled(measure, maps, masks)
        for name, (measure, masks) in measures.items()
    }


def measure_blob(regions: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What `measure_regions` says of a map that sees neither picture nor model: the same Gaussian in the middle of
    every picture, with a standard deviation of a sixth of each side."""
    rows, columns = (np.arange(n) - (n - 1) / 2 for n in regions["body"].shape[1:])
    blob = np.exp(-((6 * rows[:, None] / len(rows)) ** 2 + (6 * columns / len(columns)) ** 2) / 2)
    return measure_regions(np.broadcast_to(blob, regions["body"].shape), regions)
