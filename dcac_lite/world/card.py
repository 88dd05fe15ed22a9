"""The tables of the card of the lite domains, from the values that draw them."""

from collections.abc import Sequence
from dataclasses import astuple, fields
from itertools import combinations

import numpy as np

from ..cards import table
from .appearance import Appearance
from .captioning import WRITERS, Writer, caption_words
from .domains import DOMAINS, WEB_NUISANCE, WEB_SCENES, DomainSpec, Nuisance, identities, web_person
from .scenes import KINDS
from .truth import SMALL_PARTS, same_garment

#: Fields of `Nuisance` that differ between cameras; all others vary from picture to picture.
OF_CAMERAS = ("cast", "exposure", "gamma", "contrast", "veil", "light", "blur", "noise")
_TITLES = {
    "veil": "haze",
    "blur": "blur [px]",
    "noise": "noise [grey levels]",
    "motion": "motion [px]",
    "turn": "turn [rad]",
}
_WEB_PEOPLE = 2_000  # enough for shares to a per cent


def _title(name: str) -> str:
    return _TITLES.get(name, name.replace("_", " "))


def _nuisances(wanted: bool) -> str:
    names = [f.name for f in fields(Nuisance) if (f.name in OF_CAMERAS) == wanted]
    both = [("web", WEB_NUISANCE), *((name, spec.nuisance) for name, spec in DOMAINS.items())]
    return table(["domain", *map(_title, names)], [[name, *(getattr(n, field) for field in names)] for name, n in both])


def _roles() -> str:
    rows = [
        (
            "web",
            "the captioned web that CLIP and Stable Diffusion come from",
            ", ".join(KINDS),
            f"{WEB_SCENES} places, one camera each",
        )
    ]
    for name, spec in DOMAINS.items():
        use = ": settings are chosen on it, never reported" if name == "V" else ""
        rows.append((name, spec.role + use, ", ".join(spec.scenes), spec.cameras))
    return table(("domain", "role", "places", "cameras"), rows)


def _counts() -> str:
    head = ("cameras", "train ids", "test ids", "train", "query", "gallery", "of these distractors", "junk")
    names = [title.removeprefix("of these ").replace(" ", "_") for title in head]
    return table(
        ("domain", *head), [[spec.name, *(getattr(spec, name) for name in names)] for spec in DOMAINS.values()]
    )


def _share(hits: Sequence[bool]) -> str:
    return f"{100 * np.mean(hits):.0f} %"


def _families(spec: DomainSpec) -> list:
    people = identities(spec)
    inside = [pair for k in range(0, len(people) - 2, 3) for pair in combinations(people[k : k + 3], 2)]
    across = list(zip(people, people[3:]))  # each with somebody of the next family
    shares = [
        _share([same_garment(getattr(a, part), getattr(b, part)) for a, b in pairs])
        for part in ("top", "bottom")
        for pairs in (inside, across)
    ]
    return [spec.name, spec.tops, spec.bottoms, *shares]


def _catalogues() -> str:
    same = [f"{part} garment shared {where}" for part in ("upper", "lower") for where in ("in a family", "across")]
    return table(("domain", "upper garments", "lower garments", *same), map(_families, DOMAINS.values()))


def _parts() -> str:
    """How many people have each small thing, and in how many colours or kinds, counted on drawn people."""
    groups: list[tuple[str, Sequence[Appearance]]] = [("web", [web_person(k) for k in range(_WEB_PEOPLE)])]
    groups += [(name, identities(spec)) for name, spec in DOMAINS.items()]
    rows = [
        [name, *(_share([getattr(p, part) is not None for p in people]) for part in SMALL_PARTS)]
        for name, people in groups
    ]
    return table(("domain", *map(_title, SMALL_PARTS)), rows)


def _captions() -> str:
    head = ("writer", *(_title(f.name) for f in fields(Writer)))
    return table(head, [(name, *astuple(writer)) for name, writer in WRITERS.items()]) + (
        f"\n\nThe vocabulary of both, `dcac_lite.world.captioning.caption_words()`, has {len(caption_words())} words."
    )


def blocks() -> dict[str, str]:
    """The generated blocks of `lite-domains.md` by name, Markdown."""
    return {
        "roles": _roles(), "counts": _counts(), "catalogues": _catalogues(), "parts": _parts(),
        "cameras": _nuisances(True), "pictures": _nuisances(False), "captions": _captions(),
    }  # fmt: skip
