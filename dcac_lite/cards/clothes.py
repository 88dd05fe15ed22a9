"""The tables of the card of the clothes-changing domains: from what draws them, and from what was measured on them."""

from collections import Counter
from dataclasses import fields

import numpy as np
import pandas as pd

from ..data.registry import FOLDERS
from ..expansion.references import side_by_side
from ..expansion.specs import CLOTHES_DOMAINS, ClothesSpec
from ..expansion.wardrobe import wearers
from ..expansion.world import plan
from ..paths import figures_root
from ..world.specs import Nuisance
from .markdown import table


def _counts() -> str:
    head = ("domain", "role", "places", "cameras", "train ids", "test ids", *FOLDERS)
    rows = []
    for spec in CLOTHES_DOMAINS.values():
        pictures = Counter(r.split for r in plan(spec))
        ids = (spec.cameras, spec.train_ids, spec.test_ids, *(pictures[split] for split in FOLDERS))
        rows.append((spec.name, spec.role, ", ".join(spec.scenes), *ids))
    return table(head, rows)


def _shared(spec: ClothesSpec, training: bool) -> tuple[str, str]:
    """Outfits a person on average, and how many of them somebody else of the same part wears too."""
    people = wearers(spec)[: spec.train_ids] if training else wearers(spec)[spec.train_ids :]
    worn = Counter(n for w in people for n in w.numbers)
    each = [worn[n] > 1 for w in people for n in w.numbers]
    return f"{len(each) / len(people):.1f}", f"{100 * np.mean(each):.0f} %"


def _outfits() -> str:
    head = ("domain", "catalogue", "in fashion", "outfits in training", "shared", "outfits in test", "shared in test")
    rows = [
        (s.name, s.catalogue, s.in_fashion, *_shared(s, True), *_shared(s, False)) for s in CLOTHES_DOMAINS.values()
    ]
    return table(head, rows)


def _nuisances() -> str:
    rows = [[f.name.replace("_", " "), *(getattr(s.nuisance, f.name) for s in CLOTHES_DOMAINS.values())]
            for f in fields(Nuisance)]  # fmt: skip
    return table(["nuisance", *CLOTHES_DOMAINS], rows)


def _references() -> str:
    rows, parts = pd.read_csv(figures_root() / "results" / "clothes-report.csv"), []
    for name in rows["domain"].unique():
        cells = side_by_side(rows, name)
        parts.append(table([f"on {name}", *cells.columns], [(k, *v) for k, v in zip(cells.index, cells.to_numpy())]))
    return "\n\n".join(parts)


def blocks() -> dict[str, str]:
    """The generated blocks of `clothes-domains.md` by name, Markdown."""
    return {"counts": _counts(), "outfits": _outfits(), "nuisances": _nuisances(), "references": _references()}
