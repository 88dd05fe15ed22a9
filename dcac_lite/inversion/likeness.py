"""Are wrong answers look-alikes? The paper says so of its errors; the renderer knows how alike people look."""

import numpy as np

from ..data.domains import Domain
from ..evaluation import rank_lists
from ..world.truth import look_similarity, truth_of
from .reid import Reader


def likeness_of_wrong_answers(reader: Reader, domain: Domain, tier: str) -> float:
    """How alike the query and a wrong first answer look (`world.truth.look_similarity`), as the percent of the
    gallery's other people who look less like the query, averaged over the queries with a wrong first answer: 50 where
    answers are blind. Of an embedded domain; raises ValueError as `truth_of` does."""
    query, gallery = domain.query, domain.gallery
    seen = [truth_of(domain.name, split.names, tier) for split in (query, gallery)]
    looks = {s.record.person: s.appearance for samples in seen for s in samples}
    place = {person: k for k, person in enumerate(looks)}
    alike = look_similarity(list(looks.values()))
    asked, shown = (np.array([place[s.record.person] for s in samples]) for samples in seen)
    x = (reader.features(split.images) for split in (query, gallery))
    first, right = rank_lists(*x, query.pids, gallery.pids, query.cameras, gallery.cameras, top=1)
    others, shares = np.unique(shown), []
    for row in np.flatnonzero(~right[:, 0]):
        person, answer = asked[row], shown[first[row, 0]]
        rest = others[(others != person) & (others != answer)]
        shares.append(float((alike[person, rest] < alike[person, answer]).mean()))
    return 100 * float(np.mean(shares))
