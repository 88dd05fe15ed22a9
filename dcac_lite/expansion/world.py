"""Which pictures a clothes-changing domain consists of, and how one is taken, again or in other clothes.

A picture depends on nothing but its domain and its index. Its stream of random numbers knows nothing of the clothes: in
another outfit it has the same pose, place, camera, light and noise. The background is a patch of the camera's scene
drawn for each picture and tied to nobody, or it would take the place of the clothes as a clue."""

from dataclasses import dataclass, fields, replace
from functools import cache

import numpy as np

from ..world.captioning import WRITERS, caption_of
from ..world.domains import Sample
from ..world.figure import BELT, LOWER, SCARF, SHOES, UPPER
from ..world.places import places
from ..world.plan import Record
from ..world.renderer import Picture, render
from ..world.scenes import crop_scene
from ..world.shots import draw_shot
from ..world.truth import garment_mask
from .specs import ClothesSpec
from .wardrobe import Outfit, dressed, passers_by, wearers

#: Labels of what a change of clothes changes: what is inpainted. Skin and hair stay.
WORN = (*UPPER, *LOWER, SHOES, BELT, SCARF)


@dataclass(frozen=True)
class OutfitRecord(Record):
    """A picture to be taken of a person in their outfit number `outfit`, from 0."""

    outfit: int


def _even(total: int, parts: int) -> list[int]:
    """`total` pictures over `parts` people, as evenly as they go."""
    return [total // parts + (k < total % parts) for k in range(parts)]


def _cameras(spec: ClothesSpec, person: int, outfit: int) -> tuple[int, ...]:
    """The cameras, from 1, that see a person in an outfit."""
    if spec.settings is not None:
        return spec.settings[outfit % len(spec.settings)]
    rng = np.random.default_rng([spec.seed, 23, person, outfit])
    count = int(rng.integers(2, min(4, spec.cameras) + 1))
    return tuple(int(c) for c in 1 + rng.permutation(spec.cameras)[:count])


def _occasions(spec: ClothesSpec, person: int) -> list[list[tuple[int, int]]]:
    """Where and in what a person is seen, as cycles of (outfit, camera) that pictures are dealt to in turns: one cycle
    a camera where cameras belong to settings, else one an outfit."""
    outfits = range(len(wearers(spec)[person].outfits))
    if spec.settings is None:
        return [[(k, camera) for camera in _cameras(spec, person, k)] for k in outfits]
    cameras = [camera for setting in spec.settings for camera in setting]
    return [[(k, camera) for k in outfits if camera in _cameras(spec, person, k)] for camera in cameras]


def _dealt(cycles: list[list[tuple[int, int]]], pictures: int) -> list[tuple[int, int]]:
    return [cycles[j % len(cycles)][j // len(cycles) % len(cycles[j % len(cycles)])] for j in range(pictures)]


@cache
def plan(spec: ClothesSpec) -> tuple[OutfitRecord, ...]:
    """Every picture of a domain, person ids from 1, those of training first. Where cameras belong to settings, the
    first camera is the gallery and the queries are the other cameras'; else every (person, outfit, camera) of the
    gallery asks at most once, every person once before any asks twice."""
    records: list[OutfitRecord] = []

    def add(split: str, person: int, outfit: int, camera: int) -> None:
        records.append(OutfitRecord(len(records), split, person, person + 1, camera, outfit))

    for person, count in enumerate(_even(spec.train, spec.train_ids)):
        for outfit, camera in _dealt(_occasions(spec, person), count):
            add("train", person, outfit, camera)
    test = range(spec.train_ids, spec.train_ids + spec.test_ids)
    for person, count in zip(test, _even(spec.gallery, spec.test_ids)):
        cycles = _occasions(spec, person)
        for outfit, camera in _dealt(cycles if spec.settings is None else cycles[:1], count):
            add("gallery", person, outfit, camera)
    for person, outfit, camera in _queries(spec, tuple(records)):
        add("query", person, outfit, camera)
    return tuple(records)


def _queries(spec: ClothesSpec, records: tuple[OutfitRecord, ...]) -> list[tuple[int, int, int]]:
    if spec.settings is not None:
        test = range(spec.train_ids, spec.train_ids + spec.test_ids)
        dealt = ((p, _dealt(_occasions(spec, p)[:0:-1], n)) for p, n in zip(test, _even(spec.query, spec.test_ids)))
        return [(person, outfit, camera) for person, each in dealt for outfit, camera in each]
    corners = sorted({(r.person, r.outfit, r.camera) for r in records if r.split == "gallery"})
    if len(corners) < spec.query:
        raise ValueError(f"{spec.name}: {spec.query} queries asked for, only {len(corners)} occasions to ask exist.")
    order = np.random.default_rng([spec.seed, 24]).permutation(len(corners))
    asked: dict[int, int] = {}
    turn = []  # how often their person has asked before
    for k in order:
        turn.append(asked.get(corners[k][0], 0))
        asked[corners[k][0]] = turn[-1] + 1
    first = sorted(zip(turn, range(len(order))))[: spec.query]
    return sorted(corners[order[k]] for _, k in first)


def photograph(spec: ClothesSpec, record: OutfitRecord) -> Sample:
    """Take one picture of a domain, with its truth."""
    rng = np.random.default_rng([spec.seed, 25, record.index])
    place = places(spec)[record.camera - 1]
    patch = crop_scene(place.scene, rng)
    wearer = wearers(spec)[record.person]
    person = dressed(wearer.body, wearer.outfits[record.outfit])
    shot = draw_shot(rng, person, place, spec.nuisance, patch, passers_by(spec))
    caption = caption_of(person, shot.pose.view, place.kind, place.word, WRITERS["full"], rng)
    return Sample(render(shot), record, shot, place.kind, caption)


def worn_mask(sample: Sample) -> np.ndarray:
    """Where a picture shows clothes, in more than half of a pixel and not hidden: bool [64, 32]."""
    return garment_mask(sample, WORN)


def in_other_clothes(sample: Sample, outfit: Outfit) -> Picture:
    """The same picture, had the person worn `outfit` (oracle O1): outline and bare limbs follow the clothes."""
    person = replace(sample.shot.person, **{f.name: getattr(outfit, f.name) for f in fields(outfit)})
    return render(replace(sample.shot, person=person))
