"""What the expanded data are trained with: CAL's clothes losses, and copies that go with their originals."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from dcac_lite.expansion.adversary import ClothesAdversary, ClothesClassifier, outfit_classes
from dcac_lite.expansion.progressive import Expansion, in_use

# ---------------------------------------------------------------- the clothes losses


def classifier(owners=(0, 0, 0, 1, 2, 2), width=7, seed=0):
    torch.manual_seed(seed)
    return ClothesClassifier(torch.tensor(owners), width).double()


def features(batch=5, width=7, outfits=6, seed=1):
    generator = torch.Generator().manual_seed(seed)
    f = torch.randn(batch, width, generator=generator, dtype=torch.float64)
    return f, torch.randint(outfits, (batch,), generator=generator)


def by_loops(model, f, outfits, smoothing) -> float:
    """L_CA term by term."""
    total = 0.0
    for feature, own in zip(f.detach(), outfits.tolist()):
        z = [model.scale * float(F.cosine_similarity(feature, phi, 0)) for phi in model.directions.detach()]
        owner = model.owners.tolist()
        positive = [j for j in range(len(z)) if owner[j] == owner[own]]
        negative = [j for j in range(len(z)) if owner[j] != owner[own]]
        for j in positive:
            q = (1 - smoothing) * (j == own) + smoothing / len(positive)
            total -= q * math.log(math.exp(z[j]) / (math.exp(z[j]) + sum(math.exp(z[k]) for k in negative)))
    return total / len(f)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("owners", [(0, 0, 0, 1, 2, 2), (0, 1, 2, 3, 4, 5), (0, 0, 0, 0, 0, 1)])
def test_the_adversarial_loss_is_the_equation_s(owners, smoothing):
    model, (f, outfits) = classifier(owners), features()
    assert model.adversarial_loss(f, outfits, smoothing).item() == pytest.approx(by_loops(model, f, outfits, smoothing))


def test_its_gradient_is_that_of_finite_differences_and_spares_the_directions():
    model, (f, outfits) = classifier(), features(3)
    assert torch.autograd.gradcheck(lambda x: model.adversarial_loss(x, outfits), f.requires_grad_())
    model.adversarial_loss(f, outfits).backward()
    assert model.directions.grad is None and f.grad.abs().max() > 0


def test_the_classifier_s_loss_spares_the_features():
    model, (f, outfits) = classifier(), features(3)
    z = torch.stack(
        [torch.stack([16 * F.cosine_similarity(x, phi, 0) for phi in model.directions.detach()]) for x in f]
    )
    loss = model.loss(f.requires_grad_(), outfits)
    assert float(loss.detach()) == pytest.approx(float(F.cross_entropy(z, outfits).detach()))
    loss.backward()
    assert f.grad is None and model.directions.grad.abs().max() > 0


def test_with_one_outfit_each_both_losses_are_one():
    model, (f, outfits) = classifier(range(6)), features()
    assert torch.allclose(model.adversarial_loss(f, outfits), model.loss(f, outfits))


def test_far_logits_stay_finite():
    model, (f, outfits) = classifier().float(), features()
    model.scale = 1e4
    loss = model.adversarial_loss(f.float().requires_grad_(), outfits)
    assert torch.isfinite(loss) and loss > 0


def test_the_adversary_waits_and_then_answers_with_the_classifier_as_it_has_become():
    f, outfits = features(8)
    adversary = ClothesAdversary(classifier(), start=2, lr=0.1)
    before = adversary.classifier.directions.detach().clone()
    assert adversary.step(f, outfits, 1) == 0 and adversary.classifier.directions.equal(before)
    loss = adversary.step(f.requires_grad_(), outfits, 2)
    after = adversary.classifier.directions
    assert not after.equal(before) and float(loss.detach()) == pytest.approx(
        by_loops(adversary.classifier, f, outfits, 0.1)
    )
    loss.backward()
    assert f.grad.abs().max() > 0


def test_the_game_takes_clothes_out_of_the_features():
    """Features that hold person and outfit, and an encoder of two weights: with L_CA it turns the outfit down."""
    torch.manual_seed(0)
    people, outfits = torch.arange(24) // 2 % 4, torch.arange(24) % 8
    x = torch.cat([F.one_hot(people, 4), F.one_hot(outfits, 8)], 1).float()
    gains = torch.ones(2, requires_grad=True)
    adversary = ClothesAdversary(ClothesClassifier(torch.arange(8) // 2, 12), start=0, lr=0.05)
    optimizer = torch.optim.SGD([gains], lr=0.05)
    for epoch in range(60):
        f = x * gains[torch.tensor([0] * 4 + [1] * 8)]
        optimizer.zero_grad()
        adversary.step(f, outfits, epoch).backward()
        optimizer.step()
    assert gains[1] < 0.7 * gains[0]


def test_outfits_are_numbered_by_person():
    pids, clothes = np.array([7, 3, 7, 3, 9, 7]), np.array([1, 1, 2, 1, 5, 1])
    labels, owners = outfit_classes(pids, clothes)
    assert labels.tolist() == [1, 0, 2, 0, 3, 1] and owners.tolist() == [0, 1, 1, 2]
    with pytest.raises(ValueError, match="Picture 1 has outfit -1"):
        outfit_classes(pids[:2], np.array([0, -1]))
    with pytest.raises(ValueError, match="show 1 person"):
        outfit_classes(pids[[0, 2]], clothes[[0, 2]])
    with pytest.raises(ValueError, match="expected .M"):
        outfit_classes(pids, clothes[:2])


# ---------------------------------------------------------------- copies


def test_the_pool_grows_as_the_paper_says_and_as_the_code_does():
    assert [in_use(e, 10) for e in (0, 4, 5, 9, 10, 14, 15, 99)] == [2, 2, 5, 5, 7, 7, 10, 10]
    official = [in_use(e, 10, rule="official") for e in (0, 5, 6, 10, 11, 15, 16, 59)]
    assert official == [2, 2, 5, 5, 7, 7, 10, 10]
    assert [in_use(e, 8, every=1) for e in range(5)] == [2, 4, 6, 8, 8]
    assert [in_use(e, 1) for e in (0, 30)] == [1, 1] and in_use(0, 10, every=None) == 10
    with pytest.raises(ValueError, match="rule is 'half'; expected one of paper, official"):
        in_use(0, 10, rule="half")
    for wrong in ((-1, 10, 5), (0, 0, 5), (0, 10, 0)):
        with pytest.raises(ValueError, match="expected at least 0, 1 and 1"):
            in_use(*wrong)


def small(pictures=5, copies=8, **options):
    """Pictures whose first number says which they are, and copies whose second one says which of it."""
    originals = np.zeros((pictures, 3, 4, 2), np.uint8)
    originals[:, 0] = np.arange(pictures)[:, None, None]
    many = np.repeat(originals[:, None], copies, 1)
    many[:, :, 1] = 1 + np.arange(copies)[None, :, None, None]
    return Expansion(originals, many, **options)


def test_every_original_goes_with_a_copy_of_itself_from_the_part_in_use():
    data, rows = small(every=3), torch.tensor([4, 0, 0, 2] * 50)
    for epoch, used in ((0, 2), (3, 4), (6, 6), (9, 8), (50, 8)):
        pairs = data.pairs(rows, epoch, torch.Generator().manual_seed(epoch))
        assert pairs.shape == (400, 3, 4, 2) and pairs.dtype == torch.uint8
        one, other = pairs.chunk(2)
        assert one[:, 0, 0, 0].equal(rows.byte()) and other[:, 0, 0, 0].equal(rows.byte())
        assert (one[:, 1] == 0).all() and set(other[:, 1, 0, 0].tolist()) == set(range(1, used + 1))
    again = data.pairs(rows, 50, torch.Generator().manual_seed(50))
    assert again.equal(pairs) and not data.pairs(rows, 50, torch.Generator().manual_seed(51)).equal(pairs)


def test_copies_of_other_pictures_are_refused():
    data = small()
    for copies in (data.copies[:4], data.copies[:, :, :, :3], data.copies[:, :0], data.copies[:, 0]):
        with pytest.raises(ValueError, match="K copies of every original at its size"):
            Expansion(data.originals, copies)
