"""Where the cameras of a domain hang, what they see, and what each does to every picture alike."""

import math
from dataclasses import dataclass
from functools import cache

import numpy as np

from .renderer import Camera
from .scenes import KINDS, draw_scene
from .specs import WEB_NUISANCE, WEB_SCENES, WEB_SEED, DomainSpec, Nuisance


@dataclass(frozen=True)
class Place:
    """A camera and what it sees: kind of scene, colour word of its upper part, the scene."""

    kind: str
    word: str
    scene: np.ndarray
    camera: Camera


def _camera(rng: np.random.Generator, n: Nuisance) -> Camera:
    return Camera(
        cast=tuple(float(v) for v in rng.normal(0, n.cast, 3)),
        exposure=float(rng.normal(0, n.exposure)),
        gamma=math.exp(rng.normal(0, n.gamma)),
        contrast=math.exp(rng.normal(0, n.contrast)),
        veil=float(abs(rng.normal(0, n.veil))),
        light=float(rng.normal(0, n.light)),
        blur=float(abs(rng.normal(0, n.blur))),
        noise=n.noise,
        heading=float(rng.uniform(0, 2 * np.pi)),
    )


@cache
def places(spec: DomainSpec | None) -> tuple[Place, ...]:
    """The place of each camera of a domain, in order; of the web for None."""
    if spec is None:
        rng = np.random.default_rng([WEB_SEED, 0])
        kinds, count, nuisance = KINDS, WEB_SCENES, WEB_NUISANCE
    else:
        rng = np.random.default_rng([spec.seed, 0])
        kinds, count, nuisance = spec.scenes, spec.cameras, spec.nuisance
    found = []
    for c in range(count):
        kind = kinds[c % len(kinds)]
        scene, word = draw_scene(kind, rng)
        found.append(Place(kind, word, scene, _camera(rng, nuisance)))
    return tuple(found)
