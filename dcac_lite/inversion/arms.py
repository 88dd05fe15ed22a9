"""What is inversion worth? Every way of teaching Img2ID, with what needs no generator and what knows nothing."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from ..data.domains import Domain
from ..paths import replacing
from ..world.discriminant import normalised
from ..world.references import CLOSED_FORM, extractor
from .img2id import Img2ID
from .measures import named_by_table
from .people import shrunk
from .reid import Reader, scores
from .system import TEACHERS, Setting, System
from .training import fresh

#: What a row's features come from, as the tables say it; the names of the teachers and of what needs none.
NAMES = {
    "auxiliary": "Img2ID, generated people: auxiliary",
    "rows": "Img2ID, generated people: the table's rows",
    "gaussian": "Img2ID, generated people: Gaussian",
    "pairs": "Img2ID, real pictures and table vectors",
    "classes": "the same network, a classifier on real pictures",
    "leak": "Img2ID, generator has seen the test people",
    "untrained": "Img2ID, not trained",
}
_PIXELS = ("raw pixels", "PCA-whitened pixels", "LDA on pixels", "weighted LDA on pixels")


def _row(name: str, query, gallery, domain: Domain) -> dict:
    cosine = scores(normalised(np.asarray(query)), normalised(np.asarray(gallery)), domain)
    return {"features": name} | scores(query, gallery, domain) | {"cosine mAP": cosine["mAP"]}


def of_network(net: Img2ID, name: str, system: System, table: System | None = None) -> dict:
    """The row of one network: the two protocols, the cosine instead of the distance, and how many real training
    pictures it names by the table of `table`, if there is one (closed set, percent)."""
    reader = Reader(net, system.recipe.size)
    query, gallery = (reader.features(split.images) for split in (system.domain.query, system.domain.gallery))
    closed = table and named_by_table(net, table.people, table.generator.table.vectors.cpu())
    return _row(name, query, gallery, system.domain) | {"named": closed}


def references(system: System) -> Iterator[dict]:
    """The rows of the closed-form methods on pixels (`world.references`) at the system's size, fitted to its training
    split. By cosine in every column, as there."""
    domain, size = system.domain, system.recipe.size
    small = {s: shrunk(getattr(domain, s).images, size).numpy() for s in ("train", "query", "gallery")}
    for reference in CLOSED_FORM:
        if reference.name in _PIXELS:
            extract = extractor(reference, replace(domain.train, images=small["train"]))
            both = (normalised(np.asarray(extract(small[split]))) for split in ("query", "gallery"))
            yield _row(reference.name, *both, domain)


def untrained(system: System) -> Img2ID:
    """The placebo: Img2ID as it starts, from another seed than any stage's."""
    recipe = system.recipe
    build = lambda: Img2ID(recipe.size, recipe.dim, recipe.depths, recipe.blocks)  # noqa: E731
    net = fresh(build, "untrained", system.setting.seed)
    assert isinstance(net, Img2ID)
    return net.eval()


def arms(
    source: str, tier: str, seeds: Sequence[int], teachers: Sequence[str] = TEACHERS, leak: bool = False
) -> pd.DataFrame:
    """The whole comparison, what is missing being trained: one row per features and seed with the columns features,
    mAP, R1, code mAP, code R1, cosine mAP, named, seed. leak: also the arm whose generator has seen the test people.
    The references know no seed and have -1."""
    rows = []
    for seed in seeds:
        system = System(Setting(source, tier, seed), shipped=False)
        knows_table = {
            name: system if name != "classes" else None for name in teachers
        }  # others answer with its vectors
        found = [of_network(system.img2id(name), NAMES[name], system, table) for name, table in knows_table.items()]
        if leak:
            knowing = System(Setting(source, tier, seed, leak=True))
            found.append(of_network(knowing.img2id(), NAMES["leak"], system))
        found.append(of_network(untrained(system), NAMES["untrained"], system))
        rows += [row | {"seed": seed} for row in found]
    return pd.DataFrame(rows + [row | {"seed": -1} for row in references(System(Setting(source, tier)))])


def write(table: pd.DataFrame, file: Path) -> None:
    """The table as a csv file, two decimals."""
    with replacing(file) as temporary:
        table.round(2).to_csv(temporary, index=False)
