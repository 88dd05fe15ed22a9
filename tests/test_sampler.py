"""The PK sampler: what a batch holds, who is drawn and how often, what is left out, how long an epoch is."""

import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from test_differences import said

from dcac_lite.data.domains import Domain, Split, training_set
from dcac_lite.data.registry import DATASETS
from dcac_lite.sampling import epoch_batches, pk_batches
from dcac_lite.tiers import FULL
from dcac_lite.trainer import lr_factor

P, K = 16, 4


def labels_of(counts) -> torch.Tensor:
    """Labels of identities 0, 1, ... with so many images each, not in order."""
    return torch.from_numpy(np.random.default_rng(0).permutation(np.repeat(np.arange(len(counts)), counts)))


def made_counts(identities: int, images: int) -> np.ndarray:
    """Images of each identity, as uneven as in a real data set: some have 4, some 15 times as many. Remainders of a
    division by 4 are as they come, 1.35 on average."""
    rng = np.random.default_rng(0)
    remainders = np.resize(np.repeat([0, 1, 2, 3], [218, 200, 183, 150]), identities)
    wanted = (images - int(remainders.sum())) // K - identities
    weights = rng.gamma(3, size=identities)
    groups = 1 + np.bincount(rng.choice(identities, wanted, p=weights / weights.sum()), minlength=identities)
    counts = K * groups + rng.permutation(remainders)
    counts[0] += images - counts.sum()
    return counts


def drawn(labels: torch.Tensor, epochs: int) -> list[np.ndarray]:
    """The identities of each batch [batches, P] of so many epochs."""
    return [labels[pk_batches(labels, P, K, 0, epoch)[:, ::K]].numpy() for epoch in range(epochs)]


# ---------------------------------------------------------------- a batch


def test_batches_are_p_identities_of_k_images():
    labels = torch.arange(20).repeat_interleave(torch.tensor([3, 4, 9, 12] * 5))
    batches = pk_batches(labels, P, K, seed=0, epoch=1)
    assert batches.shape[1] == 64
    seen = []
    for batch in batches:
        groups = labels[batch].view(P, K)
        assert (groups == groups[:, :1]).all() and len(set(groups[:, 0].tolist())) == P
        seen += [row for row in batch.tolist() if (labels == labels[row]).sum() >= K]
    assert len(seen) == len(set(seen))  # no repeats except for identities with fewer than K images
    assert torch.equal(batches, pk_batches(labels, P, K, 0, 1))
    assert not torch.equal(batches, pk_batches(labels, P, K, 0, 2)) and not torch.equal(
        batches, pk_batches(labels, P, K, 1, 1)
    )


def test_fixed_number_of_iterations():
    labels = torch.arange(16).repeat_interleave(8)
    assert [len(epoch_batches(labels, P, K, 0, 1, n)) for n in (None, 1, 2, 7)] == [2, 1, 2, 7]


def test_too_few_identities_is_said():
    with pytest.raises(ValueError, match="16 identities.* has 3"):
        pk_batches(torch.tensor([0, 1, 2]), P, K, 0, 1)


# ---------------------------------------------------------------- who is drawn

EPOCHS = 2000


def test_the_first_batch_takes_every_identity_and_every_pair_equally_often():
    counts = np.array([4, 40, 8, 5, 20] * 8)
    share = P / len(counts)
    first = np.zeros((EPOCHS, len(counts)))
    for epoch, batches in enumerate(drawn(labels_of(counts), EPOCHS)):
        first[epoch, batches[0]] = 1
    # five standard deviations of a fair draw; weights by the number of images would give 0.1 to 0.8
    assert np.abs(first.mean(0) - share).max() < 5 * (share * (1 - share) / EPOCHS) ** 0.5
    together = first.T @ first / EPOCHS
    share = share * (P - 1) / (len(counts) - 1)
    pairs = together[np.triu_indices(len(counts), 1)]
    assert np.abs(pairs - share).max() < 5 * (share * (1 - share) / EPOCHS) ** 0.5


def test_every_later_batch_is_a_fair_draw_among_those_left():
    counts = np.array([2, 4, 12, 30, 7, 60] * 12)
    surplus, variance, later = np.zeros(len(counts)), np.zeros(len(counts)), 0
    for batches in drawn(labels_of(counts), EPOCHS // 4):
        groups = np.maximum(counts, K) // K
        for chosen in batches:
            left = groups > 0
            assert left[chosen].all()
            share = P / left.sum()
            surplus[chosen] += 1
            surplus[left] -= share
            variance[left] += share * (1 - share)
            groups[chosen] -= 1
        assert (groups > 0).sum() < P  # nothing is dropped while a batch can be formed
        later += len(batches) - 1
    assert later > 10 * EPOCHS // 4
    assert np.abs(surplus / variance**0.5).max() < 4.5


def test_identities_of_several_sources_are_mixed_without_regard_to_the_source():
    def domain(name, pids, each):
        pids = np.repeat(pids, each)
        split = Split(
            np.zeros((len(pids), 3, 2, 1), np.uint8),
            pids,
            np.zeros_like(pids),
            ("x",) * len(pids),
            (Path("x"),) * len(pids),
        )
        return Domain(name, Path(name), split, split, split, name)

    # ten identities with 24 images and thirty with 4; the person ids overlap and are in no order
    data = training_set([domain("a", np.arange(10)[::-1] * 3, 24), domain("b", np.arange(30)[::-1], 4)])
    assert np.bincount(data.labels).tolist() == [24] * 10 + [4] * 30
    first = np.stack([batches[0] for batches in drawn(data.labels, EPOCHS)])
    frequency = np.bincount(first.ravel()) / EPOCHS
    assert np.abs(frequency - P / 40).max() < 5 * (0.4 * 0.6 / EPOCHS) ** 0.5
    of_a = (first < 10).sum(
        1
    )  # hypergeometric: mean 4, variance 16 * 1/4 * 3/4 * 24/39; balancing would make it 8, or always 4
    assert of_a.mean() == pytest.approx(4, abs=0.25) and of_a.var() == pytest.approx(
        16 * 0.25 * 0.75 * 24 / 39, rel=0.2
    )


# ---------------------------------------------------------------- which images


def groups_by_identity(counts, epochs: int) -> dict[int, list[tuple[int, ...]]]:
    """All groups of K images that `epochs` epochs draw of each identity; images are counted from 0 in each identity."""
    labels = labels_of(counts)
    place = {row: number for y in range(len(counts)) for number, row in enumerate(torch.where(labels == y)[0].tolist())}
    found = {y: [] for y in range(len(counts))}
    for epoch in range(epochs):
        for group in pk_batches(labels, P, K, 0, epoch).view(-1, K).tolist():
            found[int(labels[group[0]])].append(tuple(place[row] for row in group))
    return found


def test_identities_with_too_few_images_give_one_group_drawn_with_replacement():
    found = groups_by_identity(
        [1, 2, 3, *[4] * 13], EPOCHS
    )  # 16 identities with one group each: all are in the one batch
    assert all(len(groups) == EPOCHS for groups in found.values())
    assert set(found[0]) == {(0, 0, 0, 0)}
    for identity, images in ((1, 2), (2, 3)):
        shown = Counter(place for group in found[identity] for place in group)
        assert all(shown[place] / (EPOCHS * K) == pytest.approx(1 / images, abs=0.03) for place in range(images))
    distinct = [len(set(group)) for group in found[2]]
    # of 3^4 ordered draws 36 hold all three images and 3 one image only; a cycle through the images
    # would always hold all
    assert np.mean([n == 3 for n in distinct]) == pytest.approx(36 / 81, abs=0.06)
    assert np.mean([n == 1 for n in distinct]) == pytest.approx(3 / 81, abs=0.025)
    assert all(len(set(group)) == 4 for group in found[3])


def test_few_images_never_give_a_second_group_in_an_epoch():
    labels = labels_of([1, 2, 3, *[40] * 17])
    for epoch in range(30):
        drawn_groups = Counter(labels[pk_batches(labels, P, K, 0, epoch)[:, ::K]].flatten().tolist())
        assert all(drawn_groups[y] <= 1 for y in (0, 1, 2)) and max(drawn_groups.values()) > 5


def test_the_images_left_out_change_from_epoch_to_epoch():
    (five, eight, *_) = groups_by_identity([5, *[8] * 19], EPOCHS).values()
    left_out, first = Counter(sum(range(5)) - sum(group) for group in five), Counter(group[0] for group in five)
    for seen in (left_out, first):
        assert all(seen[place] / len(five) == pytest.approx(1 / 5, abs=0.05) for place in range(5))
    # two images of eight meet in one group of four as often as chance has it
    assert np.mean([{0, 1} <= set(group) for group in eight]) == pytest.approx(4 * 3 / (8 * 7), abs=0.05)


# ---------------------------------------------------------------- how long an epoch is


def test_lengths_of_epochs_of_the_published_code():
    assert (
        len(pk_batches(labels_of([400, *[4] * 40]), P, K, seed=0, epoch=1)) == 2
    )  # of nine that the images would allow
    assert {len(pk_batches(labels_of([8] * 64), P, K, seed, 1)) for seed in range(20)} == {7, 8}


def test_an_epoch_of_market_is_shorter_than_the_loader_says():
    counts = made_counts(751, 13_248)
    assert (
        counts.sum() == 13_248 and np.sum(counts // K * K) == 12_232 and -(-12_232 // 64) == 192
    )  # the loader's length
    labels = labels_of(counts)
    lengths = {len(pk_batches(labels, P, K, seed, 1)) for seed in range(20)}
    assert lengths <= {188, 189, 190} and len(lengths) > 1
    assert (
        "751 identities and 13,248 pictures: 188 to 190 batches an epoch, where the pictures would fill "
        f"{13_248 // 64}." in said("Pictures that are left out")
    )


@pytest.mark.parametrize("source, identities, title", [("MA", 751, "Market1501"), ("MS", 1041, "MSMT17")])
def test_adam_can_move_a_prompt_as_far_as_is_said(source, identities, title):
    labels = labels_of(made_counts(identities, DATASETS[source].images[0]))
    steps = np.mean([len(pk_batches(labels, P, K, 0, epoch)) for epoch in range(5)])
    entry = torch.nn.Parameter(torch.zeros(1))
    adam = torch.optim.Adam([entry])
    for epoch in range(1, FULL.epochs + 1):  # ten of an epoch's steps, the gradient always of one sign
        adam.param_groups[0]["lr"] = FULL.lr * lr_factor(epoch, FULL.warmup, FULL.milestones)
        for _ in range(10):
            entry.grad = torch.ones(1)
            adam.step()
    about = float(re.search(rf"([\d.]+) on {title}", said("Learnable prompts"))[1])
    assert -entry.item() * steps / 10 == pytest.approx(
        about, rel=0.03
    )  # the real data's counts of each identity are not here
