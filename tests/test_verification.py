"""Which distance means the same person: against known answers, scikit-learn, and resamples written out."""

from itertools import product

import numpy as np
import pytest
import torch
from scipy.stats import norm
from sklearn.metrics import roc_auc_score, roc_curve

from dcac_lite.evaluation import Features
from dcac_lite.verification import STEP, Verification


def on_a_circle(angles, pids, cameras) -> Features:
    """Features of unit length: two of them are 1 - cos(difference of their angles) apart."""
    angles = torch.as_tensor(angles, dtype=torch.float32)
    return Features(torch.stack([angles.cos(), angles.sin()], 1), np.asarray(pids), np.asarray(cameras))


def random_case(seed: int) -> tuple[Features, Features]:
    """Five people asked for, six found, distractors, three cameras."""
    rng = np.random.default_rng(seed)
    pids = rng.integers(1, 6, 14), rng.integers(0, 7, 60)
    return tuple(on_a_circle(p + rng.normal(size=len(p)), p, rng.integers(1, 4, len(p))) for p in pids)


def pairs_of(query: Features, gallery: Features) -> list[tuple[int, int, float]]:
    """Pairs between cameras one by one: person asked for, person found, distance rounded as thresholds are."""
    rounded = ((1 - query.x @ gallery.x.t()).clamp(0, 2).double() / STEP).floor() * STEP
    return [
        (int(query.pids[k]), int(gallery.pids[j]), float(rounded[k, j]))
        for k, j in product(range(len(query)), range(len(gallery)))
        if query.cameras[k] != gallery.cameras[j]
    ]


@pytest.mark.parametrize("seed", range(10))
def test_the_roc_is_scikit_learn_s(seed):
    case = random_case(seed)
    asked, found, distances = map(np.array, zip(*pairs_of(*case)))
    found_fpr, found_tpr, _ = roc_curve(asked == found, -distances, drop_intermediate=False)
    verification = Verification(*case)
    assert verification.genuine_pairs == (asked == found).sum()
    assert verification.impostor_pairs == (asked != found).sum() and verification.people == 6
    expected = np.unique(np.round([found_fpr, found_tpr], 9), axis=1)
    ours = np.unique(np.round([verification.fpr, verification.tpr], 9), axis=1)
    assert ours.shape == expected.shape and np.allclose(ours, expected)
    assert verification.auc == pytest.approx(roc_auc_score(asked == found, -distances))
    miss = 1 - np.interp(verification.eer, found_fpr, found_tpr)
    assert miss == pytest.approx(verification.eer, abs=0.02)  # where the curve is steep, `interp` takes a side


def test_a_threshold_lets_through_what_was_asked_for_and_no_larger_one_does():
    rng = np.random.default_rng(0)
    people = np.repeat(np.arange(1, 41), 4)
    angles = np.repeat(rng.normal(size=40), 4) + rng.normal(0, 0.1, 160)
    query, gallery = (on_a_circle(angles[k::2], people[k::2], np.full(80, k)) for k in (0, 1))
    verification = Verification(query, gallery)
    threshold = verification.threshold(0.05)
    asked, found, distances = map(np.array, zip(*pairs_of(query, gallery)))
    strangers = distances[asked != found]
    assert (strangers < threshold).mean() <= 0.05 < (strangers < threshold + STEP).mean()
    rates = verification.rates(threshold)
    assert rates.fpr == pytest.approx((strangers < threshold).mean())
    assert rates.tpr == pytest.approx((distances[asked == found] < threshold).mean())
    assert rates.fpr_low < rates.fpr < rates.fpr_high and rates.tpr_low < rates.tpr < rates.tpr_high
    low, high = verification.threshold_interval(rates)
    assert low < threshold < high


def test_intervals_hold_the_known_answer_in_about_95_of_100_cases():
    """Angles are normal: of people with SD 0.5, of their pictures with 0.15 around them. So are differences, whose
    quantiles are known."""
    spread, noise, false_alarm, cases = 0.5, 0.15, 0.05, 200
    reach = np.sqrt(2 * (spread**2 + noise**2)) * norm.ppf((1 + false_alarm) / 2)
    known = 1 - np.cos(reach)
    recognised = 2 * norm.cdf(reach / (np.sqrt(2) * noise)) - 1
    rng = np.random.default_rng(1)
    people, held = np.arange(1, 61), np.zeros((3, cases), bool)
    for case in range(cases):
        centres = rng.normal(0, spread, 60)
        query, gallery = (
            on_a_circle(np.repeat(centres, n) + rng.normal(0, noise, 60 * n), np.repeat(people, n), [n] * 60 * n)
            for n in (2, 4)
        )
        verification = Verification(query, gallery)
        low, high = verification.threshold_interval(verification.rates(verification.threshold(false_alarm)))
        rates = verification.rates(known)
        held[:, case] = (
            low <= known <= high,
            rates.fpr_low <= false_alarm <= rates.fpr_high,
            rates.tpr_low <= recognised <= rates.tpr_high,
        )
    assert ((held.mean(1) > 0.91) & (held.mean(1) < 0.99)).all(), held.mean(1)


def test_a_resample_counts_pairs_as_if_people_were_written_down_as_often_as_drawn():
    query, gallery = random_case(3)
    threshold, resamples = 0.5, 200
    rates = Verification(query, gallery).rates(threshold, resamples, seed=7)
    shares = []
    for counts in np.random.default_rng(7).multinomial(6, np.full(6, 1 / 6), resamples):
        drawn = np.repeat(np.arange(1, 7), counts)  # of a person drawn twice there are two, who never meet
        hits, total = np.zeros(2), np.zeros(2)
        for asked, found, distance in pairs_of(query, gallery):
            if asked == found or found == 0:
                times = (drawn == asked).sum()
            else:
                times = sum(a == asked and b == found for a, b in product(drawn, drawn))
            total[int(asked == found)] += times
            hits[int(asked == found)] += times * (distance < threshold)
        shares.append(np.where(total > 0, hits / np.maximum(total, 1), np.nan))
    expected = np.nanquantile(shares, (0.025, 0.975), axis=0)
    assert np.allclose([rates[1:3], rates[4:6]], expected.T)


def test_the_order_of_the_pictures_changes_nothing():
    case = random_case(5)
    rng = np.random.default_rng(0)
    orders = [rng.permutation(len(part)) for part in case]
    mixed = [Features(p.x[torch.from_numpy(o)], p.pids[o], p.cameras[o]) for p, o in zip(case, orders)]
    first, second = Verification(*case), Verification(*mixed)
    assert np.array_equal(first.fpr, second.fpr) and np.array_equal(first.tpr, second.tpr)
    assert first.rates(0.3) == second.rates(0.3)


def test_pairs_within_a_camera_and_junk_count_nothing():
    query, gallery = random_case(6)
    more = on_a_circle([0.1, 1.1, 2.1, 3.0], [1, 2, 6, -1], [9, 9, 9, 1])

    def joined(a: Features, b: Features) -> Features:
        together = (np.concatenate([getattr(a, name), getattr(b, name)]) for name in ("pids", "cameras"))
        return Features(torch.cat([a.x, b.x]), *together)

    first = Verification(query, joined(gallery, more))
    other_junk = on_a_circle([0.1, 1.1, 2.1, 0.5], [1, 2, 6, -1], [9, 9, 9, 1])
    assert np.array_equal(first.fpr, Verification(query, joined(gallery, other_junk)).fpr)
    # a query in camera 9 meets none of the three, wherever it is
    for angle in (0.1, 2.5):
        asked = joined(query, on_a_circle([angle], [1], [9]))
        alone = Verification(on_a_circle([angle], [1], [9]), gallery)
        together = Verification(asked, joined(gallery, more))
        assert together.genuine_pairs == first.genuine_pairs + alone.genuine_pairs
        assert together.impostor_pairs == first.impostor_pairs + alone.impostor_pairs


def test_distractors_are_strangers_to_everybody_and_a_person_0_who_is_asked_for_is_a_person():
    query, gallery = on_a_circle([0, 1], [1, 2], [1, 1]), on_a_circle([0, 1, 2, 3], [1, 2, 0, 0], [2] * 4)
    verification = Verification(query, gallery)
    assert (verification.people, verification.person_pairs) == (2, 1)
    assert (verification.genuine_pairs, verification.impostor_pairs) == (2, 2 + 4)
    asked = Verification(on_a_circle([0, 1, 2], [1, 2, 0], [1] * 3), gallery)
    assert (asked.people, asked.genuine_pairs, asked.impostor_pairs) == (3, 4, 8)


@pytest.mark.parametrize("false_alarm", [0.01, 0.0, -1.0, 1.0, float("nan")])
def test_a_rate_that_cannot_be_told_is_refused(false_alarm):
    pids = np.arange(1, 21)  # 190 pairs: 30 / 190 = 0.158
    angles = np.random.default_rng(0).normal(size=20)
    verification = Verification(on_a_circle(angles, pids, [1] * 20), on_a_circle(angles, pids, [2] * 20))
    assert verification.threshold(0.16) > 0
    with pytest.raises(ValueError, match=r"cannot be told from 20 people: .* a rate of at least 30 / 190 and below 1"):
        verification.threshold(false_alarm)


def test_what_cannot_be_compared_is_said():
    one, other = on_a_circle([0.0], [1], [1]), on_a_circle([1.0], [2], [2])
    for query, gallery, said in (
        (one, one, "no pair of pictures from two cameras"),
        (one, other, "no pair of one person"),
        (one, on_a_circle([1.0], [1], [2]), "no pair of two persons"),
        (Features(one.x * 2, one.pids, one.cameras), other, "query features have not unit length"),
        (one, Features(other.x * float("nan"), other.pids, other.cameras), "gallery features have not unit length"),
    ):
        with pytest.raises(ValueError, match=said):
            Verification(query, gallery)
