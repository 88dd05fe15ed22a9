"""The tables of the card of the lite domains: from the values that draw them, and from what the references measured."""

from collections.abc import Sequence
from dataclasses import astuple, fields
from itertools import combinations

import numpy as np
import pandas as pd

from ..data.registry import VALIDATION
from ..paths import figures_root
from ..world.appearance import Appearance
from ..world.captioning import WRITERS, Writer, caption_words
from ..world.people import FAMILY, WEB_GROUP, identities, web_person
from ..world.report import read, side_by_side
from ..world.scenes import KINDS
from ..world.specs import DOMAINS, WEB_NUISANCE, WEB_SCENES, Nuisance
from ..world.truth import SMALL_PARTS
from ..world.verdicts import sources_of, verdicts
from .markdown import table

#: Fields of `Nuisance` that differ between cameras; all others vary from picture to picture.
OF_CAMERAS = ("cast", "exposure", "gamma", "contrast", "veil", "light", "blur", "noise")
_TITLES = {
    "veil": "haze",
    "blur": "blur [px]",
    "noise": "noise [grey levels]",
    "motion": "motion [px]",
    "turn": "turn [rad]",
}
_WEB_PEOPLE = 2_001  # enough for shares to a per cent, and a multiple of WEB_GROUP


def _title(name: str) -> str:
    return _TITLES.get(name, name.replace("_", " "))


def _nuisances(of_cameras: bool) -> str:
    names = [f.name for f in fields(Nuisance) if (f.name in OF_CAMERAS) == of_cameras]
    everywhere = [("web", WEB_NUISANCE), *((name, spec.nuisance) for name, spec in DOMAINS.items())]
    rows = [[name, *(getattr(nuisance, field) for field in names)] for name, nuisance in everywhere]
    return table(["domain", *map(_title, names)], rows)


def _roles() -> str:
    role = "the captioned web that CLIP and Stable Diffusion come from"
    rows: list[tuple] = [("web", role, ", ".join(KINDS), f"{WEB_SCENES} places, one camera each")]
    for name, spec in DOMAINS.items():
        use = ": settings are chosen on it, no method is compared on it" if name == VALIDATION else ""
        rows.append((name, spec.role + use, ", ".join(spec.scenes), spec.cameras))
    return table(("domain", "role", "places", "cameras"), rows)


def _counts() -> str:
    head = ("cameras", "train ids", "test ids", "train", "query", "gallery", "of these distractors", "junk")
    names = [title.removeprefix("of these ").replace(" ", "_") for title in head]
    return table(("domain", *head), [[s.name, *(getattr(s, name) for name in names)] for s in DOMAINS.values()])


def _share(hits: Sequence[bool]) -> str:
    return f"{100 * np.mean(hits):.0f} %"


def _shared(people: Sequence[Appearance], group: int) -> list[str]:
    """How many pairs wear the same upper and lower garment, within groups of consecutive people and across."""
    inside = [pair for k in range(0, len(people) - group + 1, group) for pair in combinations(people[k : k + group], 2)]
    across = list(zip(people, people[group:]))  # each with somebody of the next group
    return [
        _share([getattr(a, part) == getattr(b, part) for a, b in pairs])
        for part in ("top", "bottom")
        for pairs in (inside, across)
    ]


def _people() -> dict[str, Sequence[Appearance]]:
    """The people that the code draws, by domain; of the endless web the first `_WEB_PEOPLE`."""
    web = [web_person(k) for k in range(_WEB_PEOPLE)]
    return {"web": web} | {name: identities(spec) for name, spec in DOMAINS.items()}


def _catalogues(people: dict[str, Sequence[Appearance]]) -> str:
    shared = [f"{part} garment shared {where}" for part in ("upper", "lower") for where in ("in a group", "across")]
    rows = [["web", "none", "none", *_shared(people["web"], WEB_GROUP)]]
    rows += [[s.name, s.tops, s.bottoms, *_shared(people[s.name], FAMILY)] for s in DOMAINS.values()]
    return table(("domain", "upper garments", "lower garments", *shared), rows)


def _parts(people: dict[str, Sequence[Appearance]]) -> str:
    """How many people have each small thing."""
    rows = [
        [name, *(_share([getattr(p, part) is not None for p in group]) for part in SMALL_PARTS)]
        for name, group in people.items()
    ]
    return table(("domain", *map(_title, SMALL_PARTS)), rows)


def _captions() -> str:
    head = ("writer", *(_title(f.name) for f in fields(Writer)))
    vocabulary = f"`dcac_lite.world.captioning.caption_words()`, has {len(caption_words())} words."
    rows = [(name, *astuple(writer)) for name, writer in WRITERS.items()]
    return f"{table(head, rows)}\n\nThe vocabulary of both, {vocabulary}"


def references(rows: pd.DataFrame) -> str:
    """A table of `world.report.report`: for each source one line per reference, mAP / R1 per target; then the rules
    of `world.verdicts`, each with whether it holds."""
    parts = []
    for source in sources_of(rows):
        cells = side_by_side(rows, source)
        lines = [(name, *values) for name, values in zip(cells.index, cells.to_numpy())]
        parts.append(table([f"trained on {source}: mAP / R1", *cells.columns], lines))
    return "\n\n".join([*parts, "\n".join(f"* {verdict}" for verdict in verdicts(rows))])


def blocks() -> dict[str, str]:
    """The generated blocks of `lite-domains.md` by name, Markdown: `references` where they have been measured."""
    people = _people()
    found = {
        "roles": _roles(), "counts": _counts(), "parts": _parts(people), "catalogues": _catalogues(people),
        "cameras": _nuisances(True), "pictures": _nuisances(False), "captions": _captions(),
    }  # fmt: skip
    measured = figures_root() / "results" / "world-report.csv"
    return found | ({"references": references(read(measured))} if measured.exists() else {})
