"""What varies from picture to picture: pose, box, light, and who or what stands in front."""

import math

import numpy as np

from .appearance import Appearance
from .figure import ARMS, Pose
from .places import Place
from .renderer import Box, Light, Occluder, PasserBy, Shot
from .specs import Nuisance


def _pose(rng: np.random.Generator, heading: float, turn: float) -> Pose:
    along = heading + (np.pi if rng.random() < 0.5 else 0.0)  # people walk past a camera one way or the other
    return Pose(
        yaw=float((along + rng.normal(0, turn)) % (2 * np.pi)),
        phase=float(rng.uniform(0, 2 * np.pi)),
        stride=float(rng.uniform(0, 1.2)),
        lean=float(rng.normal(0, 2.5)),
        arms=ARMS[int(rng.choice(3, p=[0.6, 0.25, 0.15]))],
    )


def _box(rng: np.random.Generator, n: Nuisance) -> Box:
    return Box(
        float(rng.normal(0, 32 * n.shift)), float(rng.normal(0, 64 * n.shift)), math.exp(rng.normal(0.05, n.scale))
    )


def _light(rng: np.random.Generator, n: Nuisance) -> Light:
    # a shadow's edge crosses the picture anywhere, at any slope
    shadow = (float(rng.uniform(-24, 24)), float(rng.normal(0, 1)), float(rng.uniform(-0.7, -0.25)))
    return Light(
        side=float(rng.normal(0, 0.25)),
        cast=tuple(float(v) for v in rng.normal(0, n.light_cast, 3)),
        exposure=float(rng.normal(0, n.light_exposure)),
        shadow=shadow if rng.random() < n.shadow else None,
    )


def _occluder(rng: np.random.Generator) -> Occluder:
    rgb = tuple(int(v) for v in rng.integers(40, 190, 3))
    if rng.random() < 0.5:  # a post
        return Occluder(int(rng.integers(0, 28)), 0, int(rng.integers(3, 7)), rgb)
    width = int(rng.integers(10, 32))  # a box, a bicycle, a car
    return Occluder(int(rng.integers(-6, 30)), int(rng.integers(36, 54)), width, rgb)


def _passer_by(rng: np.random.Generator, people: tuple[Appearance, ...]) -> PasserBy:
    person = people[int(rng.integers(len(people)))]
    return PasserBy(person, _pose(rng, 0.0, 3.0), int(rng.choice([-1, 1])) * int(rng.integers(22, 42)))


def draw_shot(
    rng: np.random.Generator,
    person: Appearance,
    place: Place,
    n: Nuisance,
    patch: np.ndarray,
    passers_by: tuple[Appearance, ...],
) -> Shot:
    """One picture of `person` at `place`, everything about it drawn from `rng` as far as the nuisances `n` go. patch:
    the background, uint8 [CANVAS_HEIGHT, CANVAS_WIDTH, 3]; passers_by: who may walk through the picture."""
    return Shot(
        person=person,
        pose=_pose(rng, place.camera.heading, n.turn),
        box=_box(rng, n),
        patch=patch,
        light=_light(rng, n),
        camera=place.camera,
        resolution=float(rng.uniform(n.resolution, 1.0)),
        motion=float(abs(rng.normal(0, n.motion))),
        occluder=_occluder(rng) if rng.random() < n.occluder else None,
        passer_by=_passer_by(rng, passers_by) if rng.random() < n.passer_by else None,
        seed=int(rng.integers(2**31)),
    )
