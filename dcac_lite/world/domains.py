"""The embedded world: one captioned `web` domain and five Re-ID domains of procedural people.

`specs` says what the domains are, `plan` lists the pictures of one; `photograph_record` and `web_sample` make one
picture with its truth. All depend on nothing but the domain and the picture's index, so any process makes the same
picture.
"""

from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from .appearance import Appearance
from .captioning import WRITERS, caption_of
from .people import identities, web_person
from .places import places
from .plan import JUNK, Record
from .renderer import Box, Picture, Shot, render
from .scenes import crop_scene
from .shots import draw_shot
from .specs import WEB_NUISANCE, WEB_SCENES, WEB_SEED, DomainSpec

#: The modules of this package that a picture depends on.
DRAWING = (
    "appearance", "captioning", "domains", "figure", "people", "places", "plan", "renderer", "scenes", "shots", "specs",
)  # fmt: skip


@dataclass(frozen=True)
class Sample:
    """A picture with everything that is true about it. `shot` is what it was made of: render(replace(shot, ...)) takes
    it again with something changed."""

    picture: Picture
    record: Record
    shot: Shot
    scene: str
    caption: str

    @property
    def appearance(self) -> Appearance:
        return self.shot.person

    @property
    def view(self) -> str:
        return self.shot.pose.view


@cache
def _web_passers_by() -> tuple[Appearance, ...]:
    return tuple(web_person(-1 - k) for k in range(200))


def web_sample(index: int, photo: int = 0, writer: str = "short") -> Sample:
    """Photograph `photo` of person `index` of the web, in one of 600 places, captioned by one of captioning.WRITERS.
    Two photographs of a person share nothing but the person."""
    rng = np.random.default_rng([WEB_SEED, 2, index, photo])
    person = web_person(index)
    number = int(rng.integers(WEB_SCENES))
    place = places(None)[number]
    shot = draw_shot(rng, person, place, WEB_NUISANCE, crop_scene(place.scene, rng), _web_passers_by())
    caption = caption_of(person, shot.pose.view, place.kind, place.word, WRITERS[writer], rng)
    return Sample(render(shot), Record(index, "web", index, -1, number + 1), shot, place.kind, caption)


def photograph_record(spec: DomainSpec, record: Record) -> Sample:
    """Take one picture of a Re-ID domain. With probability 0.5 an identity stands at the same spot
    of a camera's scene as last time, so that backgrounds are a shortcut as in real data. Junk
    pictures are misplaced boxes: the person is far out of the crop."""
    rng = np.random.default_rng([spec.seed, 4, record.index])
    place = places(spec)[record.camera - 1]
    spot = np.random.default_rng([spec.seed, 5, record.person, record.camera]) if rng.random() < 0.5 else rng
    patch = crop_scene(place.scene, spot)
    people = identities(spec)
    shot = draw_shot(rng, people[record.person], place, spec.nuisance, patch, people)
    if record.pid == JUNK:
        shot = replace(shot, box=Box(float(rng.choice([-1, 1])) * 12, float(rng.normal(0, 12)), 0.7))
    caption = caption_of(shot.person, shot.pose.view, place.kind, place.word, WRITERS["short"], rng)
    return Sample(render(shot), record, shot, place.kind, caption)
