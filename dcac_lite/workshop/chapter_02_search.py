"""Exercises of notebook 02, continued: the batches, and how a ranking is scored."""

import random
from collections import Counter

import numpy as np

from .exercise import Exercise, Mistake, close, follows, need

PREDICTIONS = ()


# ---------------------------------------------------------------- a PK batch


def pk_batch(labels, P, K, seed):
    """Rows of one batch: P identities, drawn at random, with K different pictures each. labels: one int per row."""
    dice = random.Random(seed)
    batch = []
    for y in dice.sample(sorted(set(labels)), P):
        rows = [row for row, label in enumerate(labels) if label == y]
        batch += dice.sample(rows, K) if len(rows) >= K else dice.choices(rows, k=K)
    return batch


def _pk_labels() -> list[int]:
    return [y for y in range(12) for _ in range(4 + y % 3)]


def _people(rows) -> list[int]:
    labels = _pk_labels()
    return [labels[int(row)] for row in rows]


def _test_pk_batch(answer) -> None:
    labels, P, K = _pk_labels(), 5, 3
    batches = [[int(row) for row in answer(list(labels), P, K, seed)] for seed in range(30)]
    for rows in batches:
        need(len(rows) == P * K, f"it has {len(rows)} rows; a batch has P * K = {P * K}.")
        need(all(0 <= row < len(labels) for row in rows), "some of its numbers are no rows of the labels.")
        need(len(set(rows)) == len(rows), "a picture is in the batch twice.")
        counts = [_people(rows).count(y) for y in set(_people(rows))]
        need(counts == [K] * P, f"it should have {P} identities with {K} pictures each; got {sorted(counts)}.")
    need(set().union(*map(set, batches)) >= set(range(len(labels))), "some pictures never get their turn.")
    need(batches[0] == [int(row) for row in answer(list(labels), P, K, 0)], "the same seed gives another batch.")
    need(not _stops_at_few(answer), "it stops as soon as an identity has fewer than K pictures.")
    labels += [12, 13, 13]  # an identity with one picture, and one with two
    for seed in range(30):
        counts = Counter(labels[int(row)] for row in answer(list(labels), P, K, seed))
        need(list(counts.values()) == [K] * P, f"with identities of one and two pictures a batch should still have {P} "
             f"identities {K} times; got {sorted(counts.values())}.")  # fmt: skip


def _stops_at_few(answer) -> bool:
    try:
        return not [answer([*_pk_labels(), 12, 13, 13], 5, 3, seed) for seed in range(30)]
    except Exception:
        return True


def _without_replacement(labels, P, K, seed):
    dice = random.Random(seed)
    chosen = dice.sample(sorted(set(labels)), P)
    return [row for y in chosen for row in dice.sample([r for r, label in enumerate(labels) if label == y], K)]


_PK = Exercise(
    name="02.pk",
    kind="implement",
    solution=pk_batch,
    right="P identities, K different pictures of each, all of them random and each with its turn. Eq. 7 needs the K to "
    "choose the hardest from.",
    hints=(
        "Two draws, one inside the other: first identities, then pictures of each.",
        "random.Random(seed).sample(population, k) draws without replacement.",
        "For each chosen y collect the rows with labels[row] == y and sample K of them.",
    ),
    mistakes=(
        Mistake(
            lambda labels, P, K, seed: random.Random(seed).sample(range(len(labels)), P * K),
            "You draw P * K pictures of anybody. Then hardly anybody is there K times, and no sample is the hardest of "
            "several: choose the P identities first.",
            lambda answer: sorted({_people(answer(_pk_labels(), 5, 3, 0)).count(y) for y in range(12)}) not in
            ([0, 3], [3]) and len(set(answer(_pk_labels(), 5, 3, 0))) == 15,
        ),
        Mistake(
            lambda labels, P, K, seed: [row for y in random.Random(seed).sample(sorted(set(labels)), P)
                                        for row in random.Random(seed).choices(
                                            [r for r, label in enumerate(labels) if label == y], k=K)],
            "The same picture comes twice: you draw with replacement. Two copies of one picture teach nothing about "
            "how a person varies.",
            lambda answer: any(len(set(map(int, answer(_pk_labels(), 5, 3, s)))) < 15 for s in range(30)),
        ),
        Mistake(
            lambda labels, P, K, seed: [row for y in sorted(set(labels))[:P] for row in random.Random(seed).sample(
                [r for r, label in enumerate(labels) if label == y], K)],
            "It is always the first P identities. They, too, must be drawn, or the others never train.",
            lambda answer: len({frozenset(_people(answer(_pk_labels(), 5, 3, s))) for s in range(30)}) == 1
            and len(set(_people(answer(_pk_labels(), 5, 3, 0)))) == 5,
        ),
        Mistake(
            lambda labels, P, K, seed: [row for y in random.Random(seed).sample(sorted(set(labels)), P)
                                        for row in [r for r, label in enumerate(labels) if label == y][:K]],
            "It is always the first K pictures of an identity; the rest never trains. Draw them.",
            lambda answer: max(len({int(r) for s in range(30) for r in answer(_pk_labels(), 5, 3, s)}), 36) == 36,
        ),
        Mistake(
            _without_replacement,
            "It stops as soon as it draws an identity with fewer than K pictures, and real data sets have some. "
            "Let their pictures come twice, as the module does, or leave such identities out.",
            _stops_at_few,
        ),
    ),
    test=_test_pk_batch,
    probes=lambda: [(_pk_labels(), 5, 3, seed) for seed in range(3)],
)  # fmt: skip


# ---------------------------------------------------------------- average precision


def average_precision(distance, person, camera, query_person, query_camera):
    """AP of one query, between 0 and 1. distance, person, camera: arrays [G] of the gallery, in any order."""
    valid = ~((person == query_person) & (camera == query_camera))
    right = (person == query_person)[valid][np.argsort(distance[valid])]
    precision = right.cumsum() / np.arange(1, len(right) + 1)
    return precision[right].mean()


def slow_ap(distance, person, camera, query_person, query_camera):
    seen, found, notes = 0, 0, []
    for k in sorted(range(len(distance)), key=lambda k: distance[k]):
        if person[k] == query_person and camera[k] == query_camera:
            continue  # ignored: neither right nor wrong
        seen += 1
        if person[k] == query_person:
            found += 1
            notes.append(found / seen)
    return sum(notes) / len(notes)


def rankings() -> list[tuple]:
    made = []
    for seed in range(50):
        dice = np.random.default_rng(seed)
        person, camera = dice.integers(1, 4, 14), dice.integers(1, 4, 14)
        person[:3], camera[:3] = 1, (1, 2, 3)  # one picture of the query's own camera, two others
        made.append((dice.permutation(14) / 10 + 0.05, person, camera, 1, 1))
    return made


def _ap(right_of, order=1, ignored=lambda own, same_camera: own & same_camera, score=None):
    """An average precision with another rule in one place."""

    def answer(distance, person, camera, query_person, query_camera):
        own, same_camera = person == query_person, camera == query_camera
        valid = ~ignored(own, same_camera)
        right = right_of(own, same_camera)[valid][np.argsort(order * distance[valid])]
        precision = right.cumsum() / np.arange(1, len(right) + 1)
        return score(precision, right) if score else precision[right].mean()

    return answer


def _masked_late(distance, person, camera, query_person, query_camera):
    valid = ~((person == query_person) & (camera == query_camera))
    right = (person == query_person)[np.argsort(distance)][valid]
    return (right.cumsum() / np.arange(1, len(right) + 1))[right].mean()


def _test_average_precision(answer) -> None:
    for distance, person, camera, q, c in rankings()[:10]:
        found = float(answer(distance.copy(), person, camera, q, c))
        need(0 <= found <= 1, f"it is {found:.3g}; an average of precisions lies between 0 and 1.")
        need(close(found, answer(distance**3, person, camera, q, c)), "only the order of the distances may matter.")
        turned = [x[::-1].copy() for x in (distance, person, camera)]
        need(close(found, answer(*turned, q, c)), "it changes with the order in which the gallery is stored.")
    follows(answer, slow_ap, rankings(), "it differs from the slow one, picture by picture, on random rankings.")


AP = Exercise(
    name="02.ap",
    kind="implement",
    solution=average_precision,
    right="It equals the slow walk down the list on 50 random rankings, and neither the scale of the distances nor the "
    "order of the gallery matters to it.",
    hints=(
        "First take out the gallery pictures of the same person from the same camera; then sort the rest by distance.",
        "right.cumsum() counts the right ones seen so far; divide by the rank, 1, 2, 3, ...",
        "Average the precision at the right pictures only: precision[right].mean().",
    ),
    mistakes=(
        Mistake(
            _ap(lambda own, same: own, ignored=lambda own, same: own & False),
            "You count pictures from the query's own camera. They were taken a moment earlier before the same wall; "
            "the protocol takes them out of the list, so that they are neither right nor wrong.",
        ),
        Mistake(
            _ap(lambda own, same: own & ~same, ignored=lambda own, same: own & False),
            "Pictures of the person from the query's own camera stay in your list as wrong ones. They are to be taken "
            "out, before you count ranks.",
        ),
        Mistake(
            _ap(lambda own, same: own, ignored=lambda own, same: same),
            "You take out everybody from the query's camera. Only the same person's pictures go; strangers from that "
            "camera stay, and may be mistaken for the person.",
        ),
        Mistake(
            _ap(lambda own, same: own, score=lambda precision, right: precision.mean()),
            "You average the precision over all ranks. AP takes notes at the right pictures only.",
        ),
        Mistake(
            _ap(lambda own, same: own, score=lambda precision, right: (precision * right).sum() / len(right)),
            "You divide by the length of the list. Divide by the number of right pictures: a perfect list has AP 1.",
        ),
        Mistake(
            _ap(lambda own, same: own, order=-1),
            "Your list begins with the farthest picture. Distances are sorted from small to large; similarities the "
            "other way.",
        ),
        Mistake(
            _masked_late,
            "You sort first, and then take pictures out with a mask that is still in the gallery's own order: it hits "
            "others. Take them out before you sort, or sort the mask as well.",
        ),
        Mistake(
            _ap(lambda own, same: own, score=lambda precision, right: 100 * precision[right].mean()),
            "It is in percent. Hand in a number between 0 and 1 here.",
        ),
    ),
    test=_test_average_precision,
    probes=rankings,
)  # fmt: skip


# ---------------------------------------------------------------- "Try it" of the notebook


def _test_lenient(answer) -> None:
    proper, lenient = (float(x) for x in answer)
    need(0 <= min(proper, lenient) and 1 < max(proper, lenient) <= 100, "hand in mAP in percent, 0 to 100.")
    need(lenient != proper, "the two are equal: in the second, some pictures should no longer be ignored.")
    need(lenient > proper, "counting easy pictures cannot lower the score.")


_LENIENT = Exercise(
    name="02.2",
    kind="change",
    solution=(54.5, 61.9),
    in_notebook='(tuned_scores.loc["D", "mAP"], lenient["mAP"])',
    right="The encoder is the same and its score is higher: same-camera pictures are easy. A score of another paper is "
    "comparable only if its protocol is.",
    hints=(
        "rank_metrics ignores a gallery picture if person and camera are the query's.",
        "Give the queries a camera number that no gallery picture has, such as 99.",
        "Hand in two numbers: (mAP by the protocol, mAP with same-camera pictures counted).",
    ),
    mistakes=(
        Mistake((61.9, 54.5), "By the protocol first, then with same-camera pictures counted: yours are swapped.",
                lambda answer: 1 < float(answer[1]) < float(answer[0]) <= 100),
        Mistake((0.545, 0.619), "These are fractions; rank_metrics answers in percent.",
                lambda answer: 0 < max(map(float, answer)) <= 1),
        Mistake((54.5, 54.5), "Both are the same: the query cameras of your second call still occur in the gallery.",
                lambda answer: float(answer[0]) == float(answer[1])),
    ),
    test=_test_lenient,
)  # fmt: skip


EXERCISES = (_PK, AP, _LENIENT)
