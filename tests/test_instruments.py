"""The instruments on small cases whose answers are known."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from dcac_lite.conditioning import InstanceWise
from dcac_lite.dcac import DCAC
from dcac_lite.encoder import id_loss
from dcac_lite.memory import PrototypeMemory
from dcac_lite.teaching import instruments
from dcac_lite.teaching.captions import Readable

BATCH, IDENTITIES, D = 6, 5, 4


class Head(torch.nn.Module):
    """An encoder whose feature is the picture."""

    def __init__(self):
        super().__init__()
        self.classifier = torch.nn.Linear(D, IDENTITIES, bias=False)

    def forward(self, x):
        return x, self.classifier(x)


class Scheduler:
    """Adds nothing."""

    def add_noise(self, latents, noise, timesteps):
        return latents


class KnowsTheAnswer(torch.nn.Module):
    """A U-Net that guesses the mean of the condition's tokens; it errs by that mean's distance to the noise."""

    def forward(self, noisy, timesteps, encoder_hidden_states):
        return SimpleNamespace(sample=encoder_hidden_states.mean(1)[:, :, None, None])


@pytest.fixture(params=[1, 3])
def model(request):
    torch.manual_seed(0)
    memory = PrototypeMemory(IDENTITIES, D, 0.1)
    memory.reset(torch.nn.functional.normalize(torch.randn(IDENTITIES, D)), torch.arange(IDENTITIES))
    prompts = torch.eye(IDENTITIES)[:, None].repeat(1, request.param, 1)
    return DCAC(Head(), memory, Readable(prompts, 0.5), KnowsTheAnswer(), Scheduler()).eval()


def draws(labels, count, blur=0.0):
    """The noise is the prompt of a picture's own identity, with an error."""
    generator = torch.Generator().manual_seed(0)
    own = torch.eye(IDENTITIES)[labels][:, :, None, None]
    error = blur * torch.randn(count, *own.shape, generator=generator)
    return [(torch.zeros_like(own), own + e, torch.full((len(labels),), 100)) for e in error]


LABELS = torch.tensor([0, 1, 2, 3, 4, 0])


def test_gradients_at_z_are_those_of_a_step(model):
    x = torch.randn(BATCH, D)
    of_reid, each = instruments.gradients_at_z(model, x, LABELS, draws(LABELS, 2))
    z = x.clone().requires_grad_()
    losses, _ = model(z, LABELS, *draws(LABELS, 1)[0])
    assert torch.allclose(each[0], torch.autograd.grad(losses["dif"], z, retain_graph=True)[0], atol=1e-6)
    assert torch.allclose(of_reid, torch.autograd.grad(losses["id"] + losses["pcl"], z)[0], atol=1e-6)
    assert losses["id"].item() == pytest.approx(id_loss(model.reid.classifier(x), LABELS).item())


def test_cosines():
    a = torch.tensor([[1.0, 0.0], [0.0, 2.0], [0.0, 0.0]])
    assert instruments.mean_cosine(a, a) == pytest.approx(1) and instruments.mean_cosine(a, -3 * a) == pytest.approx(-1)
    assert instruments.mean_cosine(1e-9 * a, a) == pytest.approx(1)  # small is not nothing


def test_agreement_grows_with_draws_where_there_is_something_to_agree_on():
    generator = torch.Generator().manual_seed(0)
    noise, signal = torch.randn(32, 200, 20, generator=generator), torch.randn(1, 200, 20, generator=generator)
    alone, both = instruments.agreement(noise), instruments.agreement(signal + 2 * noise)
    assert list(alone) == [1, 2, 4, 8, 16] and max(map(abs, alone.values())) < 0.05
    # two means of m draws share 1 / (1 + 4 / m) of their squares
    assert both[1] == pytest.approx(0.2, abs=0.03) and both[16] == pytest.approx(0.8, abs=0.03)
    assert instruments.agreement(signal.expand(4, -1, -1)) == {1: pytest.approx(1), 2: pytest.approx(1)}


def test_worth_is_the_error_of_every_picture_under_every_condition(model):
    right = model.condition.prompts[LABELS]
    found = instruments.worth(model, {"right": right, "zeros": 0 * right}, draws(LABELS, 2))
    means = found.groupby("condition")["error"].mean()
    assert means["right"] == 0 and means["zeros"] == pytest.approx(1 / IDENTITIES)
    assert len(found) == 2 * 2 * BATCH and set(found["timestep"]) == {100}


def test_help_is_the_loss_that_a_step_towards_a_prompt_saves(model):
    x = torch.randn(BATCH, D)
    helps = instruments.help_of_prompts(model, x, LABELS, draws(LABELS, 3))
    assert helps.shape == (BATCH, IDENTITIES) and (helps.argmax(1) == LABELS).all()
    z, logits = model.reid(x)
    c, step = model.condition(logits, z, LABELS), 1e-3
    towards = c + step * (model.condition.prompts[2] - c)
    noise = draws(LABELS, 1)[0][1].flatten(1)
    saved = ((c.mean(1) - noise) ** 2 - (towards.mean(1) - noise) ** 2).mean(1) / step
    assert torch.allclose(helps[:, 2], saved, atol=2e-3)


def test_swapped_prompts_err_as_often_as_they_are_wrong(model):
    errors = instruments.swap_errors(model, draws(LABELS, 2))
    right = torch.eye(IDENTITIES)[LABELS] > 0
    assert errors.shape == (BATCH, IDENTITIES) and (errors[right] == 0).all()
    assert torch.allclose(errors[~right], torch.tensor(2 / IDENTITIES))  # two of five numbers are off by one


def test_the_next_picture_of_somebody_else():
    assert instruments.somebody_else(torch.tensor([0, 0, 1, 1, 0])).tolist() == [2, 2, 4, 4, 2]
    with pytest.raises(ValueError, match="all 3 pictures show one person"):
        instruments.somebody_else(torch.tensor([4, 4, 4]))


def test_between_two_people_one_can_only_say_surer_or_vaguer(model):
    x = torch.randn(BATCH, D)
    among_five = instruments.by_chance(model, x)
    model.reid.classifier = torch.nn.Linear(D, 2, bias=False)
    model.condition.prompts = model.condition.prompts[:2]
    assert instruments.by_chance(model, x) == pytest.approx(1) and among_five < 0.95


def test_other_temperatures_are_tried_and_the_usual_one_is_kept(model):
    looks = np.random.default_rng(0).random((IDENTITIES, IDENTITIES))
    x = torch.randn(BATCH, D)
    found = instruments.by_softness(model, x, LABELS, draws(LABELS, 2), looks, (0.1, 0.5, 5.0))
    assert model.condition.tau_c == 0.5 and found["tau_c"].tolist() == [0.1, 0.5, 5.0]
    usual = instruments.help_and_looks(instruments.help_of_prompts(model, x, LABELS, draws(LABELS, 2)), LABELS, looks)
    assert found.loc[1, [*usual]].to_dict() == pytest.approx(usual)
    assert found["p"].iloc[2] == pytest.approx(1 / IDENTITIES, abs=0.05)


def test_who_helps_is_compared_with_who_looks_alike():
    looks = np.array([[1.0, 0.9, 0.5, 0.1], [0.9, 1.0, 0.3, 0.2]] + [[0.5, 0.3, 1.0, 0.4], [0.1, 0.2, 0.4, 1.0]])
    labels = torch.tensor([0, 1, 2, 3])
    knows = instruments.help_and_looks(torch.tensor(looks), labels, looks)
    assert knows == {"rank correlation": pytest.approx(1), "better than own": 0.0}
    turned = instruments.help_and_looks(-torch.tensor(looks), labels, looks)
    assert turned == {"rank correlation": pytest.approx(-1), "better than own": 1.0}


def test_the_vaguer_direction_is_that_of_the_condition_s_temperature(model):
    x = torch.randn(BATCH, D)
    before = (model.reid.classifier(x) / 0.5).softmax(1).square().sum(1)
    after = (model.reid.classifier(x - 1e-2 * instruments.vaguer(model, x)) / 0.5).softmax(1).square().sum(1)
    assert (after <= before + 1e-6).all() and after.mean() < before.mean()


def test_a_condition_without_prompts_is_refused(model):
    model.condition = InstanceWise(IDENTITIES, D, D, 1.0)
    with pytest.raises(ValueError, match="InstanceWise has no prompts"):
        instruments.help_of_prompts(model, torch.randn(BATCH, D), LABELS, draws(LABELS, 1))
