"""Planted bugs of the test: how a list is scored, and what a feature is."""

import numpy as np
import torch
import torch.nn.functional as F

from . import broken
from .chapter_02_search import rankings, slow_ap
from .exercise import Exercise, Mistake, close, follows, need

# ---------------------------------------------------------------- the score


def search_score(distance, person, camera, query_person, query_camera):
    """Average precision of one query."""
    valid = ~((person == query_person) & (camera == query_camera))
    right = (person == query_person)[valid][np.argsort(distance[valid])]
    precision = right.cumsum() / np.arange(1, len(right) + 1)
    return precision[right].mean()


def list_score(distance, person, camera, query_person, query_camera):
    """Average precision of one query."""
    valid = ~((person == query_person) & (camera == query_camera))
    right = (person == query_person)[valid][np.argsort(distance[valid])]
    precision = right.cumsum() / np.arange(1, len(right) + 1)
    return precision[right].mean()


def _ignoring(mask):
    """Average precision without the gallery pictures that `mask(own, same_camera)` names."""

    def answer(distance, person, camera, query_person, query_camera):
        valid = ~mask(person == query_person, camera == query_camera)
        return slow_ap(distance[valid], person[valid], camera[valid] * 0 - 1, query_person, query_camera)

    return answer


def _test_score(answer) -> None:
    follows(answer, slow_ap, rankings(), "it differs from the protocol, picture by picture, on random rankings.")


CAMERA = Exercise(
    name="bug.7",
    kind="diagnose",
    given=broken.search_score,
    solution=search_score,
    right="Two arguments were never used: the cameras. Pictures of the query's own camera share its background; they "
    "are taken out of the list by the protocol, and a score that counts them is too good.",
    hints=(
        "The score of trained features is too good; that of random ones hardly changes. Who profits?",
        "Which arguments does the function never look at?",
        "Leave out what shows the same person from the same camera, before sorting.",
    ),
    mistakes=(
        Mistake(
            _ignoring(lambda own, same: same),
            "You leave out everybody from that camera. Strangers from it stay in the list; only the same person goes.",
        ),
        Mistake(
            _ignoring(lambda own, same: own & ~same),
            "You leave out the other cameras and keep the own one: just the other way round.",
        ),
    ),
    test=_test_score,
    probes=rankings,
)

FAR = Exercise(
    name="bug.8",
    kind="diagnose",
    given=broken.list_score,
    solution=list_score,
    right="A trained model that scores below random features knows a great deal and says the opposite: the list "
    "began with the farthest picture. Distances are sorted upwards, similarities downwards.",
    hints=(
        "Random features score better than trained ones. To be worse than chance takes knowledge.",
        "Which picture stands first in the list?",
        "argsort sorts upwards. What does [::-1] do?",
    ),
    mistakes=(
        Mistake(
            lambda distance, person, camera, q, c: 1 - broken.list_score(distance, person, camera, q, c),
            "1 minus a bad score is no score: the list has to be turned round.",
        ),
        Mistake(
            lambda distance, person, camera, q, c: broken.search_score(distance, person, camera, q, c),
            "The order is right now, and the pictures of the own camera are back in the list.",
        ),
    ),
    test=_test_score,
    probes=rankings,
)


# ---------------------------------------------------------------- test features


def features(neck, f):
    """Test features of length 1. neck: the BN neck; f [B, d]: what the encoder gives."""
    was_training = neck.training
    neck.eval()
    z = F.normalize(neck(f))
    neck.train(was_training)
    return z


def _neck(seed: int = 0) -> torch.nn.BatchNorm1d:
    neck = torch.nn.BatchNorm1d(5, affine=False)
    for k in range(30):
        neck(3 + torch.randn(40, 5, generator=torch.Generator().manual_seed(seed + k)))
    return neck


def _neck_probes() -> list[tuple]:
    return [(_neck(k), 3 + torch.randn(6, 5, generator=torch.Generator().manual_seed(90 + k))) for k in range(2)]


def _test_features(answer) -> None:
    for neck, f in _neck_probes():
        before, together = neck.running_mean.clone(), answer(neck, f)
        need(close(together.norm(dim=1), torch.ones(len(f))), "the features should have length 1.")
        need(close(before, neck.running_mean), "asking for features has changed the neck's statistics.")
        need(close(torch.cat([answer(neck, part) for part in f.split(2)]), together),
             "a picture's feature depends on which pictures come with it.")  # fmt: skip
        need(neck.training, "the neck was in training mode before, and is not afterwards: training would go on in the "
             "wrong mode.")  # fmt: skip
    follows(answer, features, _neck_probes(), "it differs from the neck with its running statistics.")


def _stays_eval(neck, f):
    neck.eval()
    return F.normalize(neck(f))


def _not_unit(neck, f):
    was = neck.training
    z = neck.eval()(f)
    neck.train(was)
    return z


NECK = Exercise(
    name="bug.9",
    kind="diagnose",
    given=broken.features,
    solution=features,
    right="In training mode a batch normalisation uses the statistics of the batch at hand. At the test that makes a "
    "picture's feature depend on its companions; in evaluation mode it uses the running statistics.",
    hints=(
        "The same pictures, the same weights, and another score when they come in smaller batches.",
        "What in a network looks at the whole batch?",
        "neck.eval() before, and the mode it was in afterwards.",
    ),
    mistakes=(
        Mistake(
            _stays_eval,
            "Right features, but the neck stays in evaluation mode: the next training step would no longer move its "
            "statistics. Put the mode back.",
            lambda answer: _left_in_eval(answer),
        ),
        Mistake(_not_unit, "The mode is right; now the features have lost their length of 1."),
        Mistake(lambda neck, f: F.normalize(f), "You leave the neck out. The test features come after it."),
    ),
    test=_test_features,
    probes=_neck_probes,
)


# ---------------------------------------------------------------- similarity


def ranked(query, gallery):
    """Rows of the gallery for each query, the most similar first. query [Q, d], gallery [G, d]: features."""
    return (F.normalize(query) @ F.normalize(gallery).T).argsort(dim=1, descending=True)


def _similarity_probes() -> list[tuple]:
    made = []
    for seed in range(3):
        dice = torch.Generator().manual_seed(seed)
        query, gallery = torch.randn(5, 6, generator=dice), torch.randn(9, 6, generator=dice)
        made.append((query * (torch.arange(5.0) + 1)[:, None], gallery * (1 + torch.arange(9.0))[:, None]))
    return made


def _test_ranked(answer) -> None:
    for query, gallery in _similarity_probes():
        order = answer(query, gallery)
        need(np.shape(order) == (len(query), len(gallery)), "give each query a list of the whole gallery, [Q, G].")
        longer = gallery * torch.linspace(5, 1, len(gallery))[:, None]
        need(close(answer(query, longer), order), "a picture climbs by having a longer feature; only its direction "
             "says who it is.")  # fmt: skip
    follows(answer, ranked, _similarity_probes(), "it differs from the order of the cosines.")


HUBS = Exercise(
    name="bug.14",
    kind="diagnose",
    given=broken.ranked,
    solution=ranked,
    right="An inner product grows with the length of both features, so the longest ones of the gallery come first for "
    "half of the world: hubs. At length 1 it is the cosine, and every picture is as near as it looks.",
    hints=(
        "A few pictures come first for nearly every query. What do they have that others lack?",
        "An inner product is a cosine times two lengths. One of them is the query's, the same down its whole list.",
        "F.normalize both before the product.",
    ),
    mistakes=(
        Mistake(
            lambda query, gallery: (F.normalize(query) @ gallery.T).argsort(dim=1, descending=True),
            "You scale the queries only. A query's own length is a factor of its whole list and changes no order; the "
            "gallery's lengths do.",
        ),
        Mistake(
            lambda query, gallery: torch.cdist(query, gallery).argsort(dim=1),
            "Euclidean distances of features as they are: the favourites are gone, and lengths still count. Scale "
            "first; then distance and cosine give the same order.",
        ),
        Mistake(
            lambda query, gallery: (F.normalize(query) @ F.normalize(gallery).T).argsort(dim=1),
            "The cosines are right, and your lists begin with the smallest: similarities are sorted downwards.",
        ),
    ),
    test=_test_ranked,
    probes=_similarity_probes,
)


def _left_in_eval(answer) -> bool:
    neck = _neck()
    answer(neck, torch.randn(4, 5))
    return not neck.training
