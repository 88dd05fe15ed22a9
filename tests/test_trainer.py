"""What `Trainer` does in a run: its inputs, epochs and steps, against the official computation."""

import copy
import math
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from official_checkpoint import UNET, VAE, small_parts, unet_to_ldm, vae_tensors
from plain_vit import awaken, learnable_parts, plain_vit
from safetensors.torch import save_file

from benchmarks.plain_method import PlainTraining, plain_prototypes
from dcac_lite import Experiment, load_domain, training, training_set
from dcac_lite.augment import normalise
from dcac_lite.data.domains import TrainingSet
from dcac_lite.pretrained.single_file import SD15_VAE, load_single_file
from dcac_lite.sampling import pk_batches
from dcac_lite.tiers import SMOKE
from dcac_lite.trainer import Trainer, step_inputs

#: Pad and crop instead of jitter: what was cropped can be read back from the pixels.
EXPERIMENT = Experiment(tier="smoke", sources="MA", seed=3, padding=2, jitter=0.0, precision="no").resolved()
BASELINE = replace(EXPERIMENT, conditioning="none")
RATES = (0.55, 0.1)  # of the smoke tier's two epochs: one of two steps up the ramp, then the milestone


def made(experiment, data):
    return Trainer(experiment.resolved(), data, *training.build(experiment.resolved(), data.identities))


def images_of(data) -> torch.Tensor:
    return torch.from_numpy(np.concatenate(data.parts))


# ---------------------------------------------------------------- steps


class Steps:
    """Two steps of a first epoch and one of a second, by `Trainer` and by the official formulas."""

    def __init__(self, data):
        dcac, parts = training.build(EXPERIMENT, data.identities)
        awaken(dcac.reid, dcac.unet)
        self.trainer = Trainer(EXPERIMENT, data, dcac, parts)
        own = copy.deepcopy(dcac)
        self.official = PlainTraining(own, EXPERIMENT, tower=partial(plain_vit, own.reid.visual))
        self.start = {n: p.detach().clone() for n, p in dcac.named_parameters()}
        self.rows, self.inputs, self.losses, self.memories = [], [], [], []
        for epoch, (factor, steps) in enumerate(zip(RATES, (2, 1)), 1):
            self.trainer.start_epoch(epoch)
            self.official.start_epoch(EXPERIMENT.lr * factor, images_of(data).to(self.trainer.device), data.labels)
            self._compare_memory()
            rows = pk_batches(data.labels, SMOKE.identities, SMOKE.instances, 3, epoch)[:steps]
            self.rows += list(rows)
            for inputs in self.trainer.inputs(rows, len(self.inputs)):
                self.inputs.append(inputs)
                self.losses.append((self.trainer.step(inputs), self.official.step(*inputs)))
                self._compare_memory()

    def _compare_memory(self):
        self.memories.append((self.trainer.dcac.memory.prototypes.clone(), self.official.memory.clone()))


@pytest.fixture(scope="module")
def steps(smoke_data):
    return Steps(smoke_data)


def test_losses_of_steps_are_the_official_ones(steps):
    for ours, theirs in steps.losses:
        assert ours.keys() == theirs.keys()
        for name, value in theirs.items():
            assert float(ours[name]) == pytest.approx(value, rel=1e-4), name


def test_memory_after_each_step_and_epoch_start_is_the_official_one(steps):
    for ours, theirs in steps.memories:
        assert torch.allclose(ours, theirs, atol=2e-4)
    changes = [(a - b).abs().max() for (a, _), (b, _) in zip(steps.memories, steps.memories[1:])]
    assert len(changes) == 4 and min(changes) > 0.05  # the tolerance is far below what a step or an epoch changes


def test_weights_after_steps_are_the_official_ones(steps):
    """What every tensor travelled agrees but for single entries:
    Adam makes whole steps of gradients that are rounding too."""
    compared, trained = 0, dict(steps.trainer.dcac.named_parameters())
    for name, theirs in steps.official.learning.items():
        ours = trained[name].detach()
        if "attn2.to_q" in name or "attn2.to_k" in name:  # one token: no gradient and no effect; ours rest
            assert torch.equal(ours, steps.start[name])
            continue
        for part, (a, b, start) in learnable_parts(name, ours, theirs.detach(), steps.start[name]).items():
            assert (a - b).norm() < 0.05 * (b - start).norm(), part
            compared += 1
    assert compared > 100


def test_what_is_frozen_stays(steps):
    still = {n: p for n, p in steps.trainer.dcac.named_parameters() if n not in steps.official.learning}
    assert {"reid.visual.conv1.weight", "reid.neck.bias", "unet.conv_in.weight"} < still.keys()
    assert all(torch.equal(p, steps.start[n]) for n, p in still.items())


def test_running_statistics_after_steps_are_the_official_ones(steps):
    ours, theirs = steps.trainer.dcac.reid.neck, steps.official.neck
    assert torch.allclose(ours.running_mean, theirs.running_mean, atol=1e-3)
    assert torch.allclose(ours.running_var, theirs.running_var, rtol=1e-3)
    assert (theirs.running_mean.abs() > 0.01).any()


def test_adam_has_one_group_of_all_that_learns(steps):
    optimizer = steps.trainer.optimizer.optimizer
    (group,) = optimizer.param_groups
    assert type(optimizer) is torch.optim.Adam and not group.get("decoupled_weight_decay") and not group["amsgrad"]
    assert (group["weight_decay"], group["betas"], group["eps"]) == (1e-4, (0.9, 0.999), 1e-8)
    learning = {n for n, p in steps.trainer.dcac.named_parameters() if any(p is q for q in group["params"])}
    assert len(group["params"]) == len(learning) and learning == steps.official.learning.keys()


# ---------------------------------------------------------------- epochs


@pytest.mark.parametrize(
    ("recipe", "rates"),
    [
        ("default", {1: 9.5e-7, 2: 1.4e-6, 9: 4.55e-6, 10: 5e-6, 29: 5e-6, 30: 5e-7, 49: 5e-7, 50: 5e-8, 60: 5e-8}),
        ("official", {1: 9.5e-7, 10: 5e-6, 30: 5e-7, 50: 5e-8}),
        ("paper", {1: 5e-7, 2: 9.5e-7, 10: 4.55e-6, 11: 5e-6, 29: 5e-6, 30: 5e-7, 50: 5e-8}),
    ],
)
def test_epochs_run_at_the_learning_rates_of_the_recipe(smoke_data, recipe, rates):
    own = made(replace(BASELINE, recipe=recipe, lr=5e-6, warmup=10, milestones=(30, 50)), smoke_data)
    for epoch, rate in rates.items():
        assert own.start_epoch(epoch, reset_memory=False) == pytest.approx(rate)
        assert [group["lr"] for group in own.optimizer.optimizer.param_groups] == [pytest.approx(rate)]


def test_the_history_holds_the_rates_that_were_used(smoke_data, tmp_path, monkeypatch):
    used = []
    step = torch.optim.Adam.step
    monkeypatch.setattr(
        torch.optim.Adam, "step", lambda self, *a, **k: used.append(self.param_groups[0]["lr"]) or step(self, *a, **k)
    )
    training.train(BASELINE.resolved(), smoke_data, tmp_path, progress=False)
    expected = [EXPERIMENT.lr * factor for factor in RATES for _ in range(SMOKE.iterations)]
    assert used == pytest.approx(expected) and list(pd.read_csv(tmp_path / "history.csv")["lr"]) == pytest.approx(
        expected
    )


def test_an_epoch_starts_with_the_centroids_of_the_images_as_they_are():
    """Two sources of different size: the first images of the second are not those of the first."""
    first, second = load_domain("MA", "smoke"), load_domain("C3", "smoke")
    some = slice(len(second.train) // 3, None)
    fields = ("images", "pids", "cameras", "names", "files")
    second = replace(second, train=replace(second.train, **{f: getattr(second.train, f)[some] for f in fields}))
    data = training_set([first, second])
    own = made(replace(BASELINE, sources=("MA", "C3")), data)
    reid = own.dcac.reid
    generator = torch.Generator().manual_seed(0)
    reid.neck.running_mean.copy_(0.3 * torch.randn(reid.neck.num_features, generator=generator))
    reid.neck.running_var.copy_(0.5 + torch.rand(reid.neck.num_features, generator=generator))
    own.start_epoch(1)
    people = [(d.name, pid) for d in (first, second) for pid in d.train.pids]
    known = sorted(set(people), key=lambda p: (p[0] != first.name, p[1]))
    labels = torch.tensor([known.index(person) for person in people])
    images = torch.from_numpy(np.concatenate([first.train.images, second.train.images]))
    expected = plain_prototypes(partial(plain_vit, reid.visual), reid.neck, images.to(own.device), labels)
    assert len(first.train) != len(second.train) and len(expected) == data.identities
    assert torch.allclose(own.dcac.memory.prototypes, expected, atol=1e-5)
    assert reid.training and int(reid.neck.num_batches_tracked) == 0


# ---------------------------------------------------------------- inputs


def test_a_step_sees_its_rows_augmented_once_and_noised(steps, smoke_data):
    mean, logvar = torch.from_numpy(steps.trainer.moments.astype(np.float32)).chunk(2, 1)
    draws = []
    for rows, inputs in zip(steps.rows, steps.inputs, strict=True):
        x, labels, latents, noise, timesteps = (t.cpu() for t in inputs)
        assert torch.equal(labels, smoke_data.labels[rows])
        original = normalise(smoke_data.images(rows))
        places = torch.stack(
            [
                padded[:, :, top : top + 64, left : left + 32]
                for padded in (F.pad(image, [2] * 4, value=-1.0) for image in (original, original.flip(-1)))
                for top in range(5)
                for left in range(5)
            ]
        )
        assert (places == x).flatten(2).all(2).any(0).all()  # each image is one of its flips and crops
        draws.append((latents / steps.trainer.scaling - mean[rows]) / torch.exp(0.5 * logvar[rows]))
        draws.append(noise)
    for draw in draws:
        assert draw.shape == (64, 4, 8, 8) and abs(draw.mean()) < 0.05 and abs(draw.std() - 1) < 0.05
    correlation = torch.corrcoef(torch.stack([d.flatten() for d in draws]))
    assert (correlation - torch.eye(len(draws))).abs().max() < 0.05


MANY = 50_000


@pytest.fixture(scope="module")
def many_draws():
    """Timesteps, eps and sampling noise of two steps of 50,000 rows: the same three tiny images over and over."""
    moments = np.random.default_rng(0).normal(size=(3, 8, 2, 2)).astype(np.float16)
    data = TrainingSet((np.zeros((3, 3, 2, 1), np.uint8),), torch.arange(3), 3, (), "tiny")
    rows = torch.arange(MANY) % 3
    mean, logvar = torch.from_numpy(moments[rows]).float().chunk(2, 1)
    drawn = []
    for step in (0, 1):
        *_, latents, noise, timesteps = step_inputs(EXPERIMENT, data, moments, 0.18215, rows, step, "cpu")
        sampling = (latents / 0.18215 - mean) / torch.exp(0.5 * logvar)
        drawn.append((timesteps, noise.flatten(1), sampling.flatten(1)))
    return drawn


def test_timesteps_are_uniform_over_a_thousand(many_draws):
    for timesteps, *_ in many_draws:
        counts = torch.bincount(timesteps)
        assert len(counts) == 1000 and counts.min() > 0 and timesteps.dtype == torch.int64
        assert (counts.cumsum(0) / MANY - torch.arange(1, 1001) / 1000).abs().max() < 0.01
        square = ((counts - MANY / 1000) ** 2 / (MANY / 1000)).sum()
        assert abs(square - 999) < 5 * math.sqrt(2 * 999)  # chi-square of 999 degrees of freedom


def test_noise_is_normal_and_new_for_every_image_element_and_step(many_draws):
    columns = torch.cat([draw for _, *draws in many_draws for draw in draws], 1)  # [50000, 2 steps * 2 kinds * 16]
    for draw in columns.split(16, 1):
        ordered = draw.flatten().sort().values
        normal = torch.distributions.Normal(0, 1).cdf(ordered)
        assert (normal - torch.linspace(0, 1, len(ordered))).abs().max() < 0.004  # Kolmogorov-Smirnov
    assert columns.shape == (MANY, 64)
    assert (torch.corrcoef(columns.t()) - torch.eye(64)).abs().max() < 6 / math.sqrt(MANY)
    neighbours = torch.corrcoef(torch.cat([columns[:-3], columns[3:]], 1).t())[
        :64, 64:
    ]  # the next rows of the same images
    assert neighbours.abs().max() < 6 / math.sqrt(MANY)


def test_latents_are_scaled_by_the_vae_s_own_factor(steps, tmp_path):
    own = steps.trainer.scaling
    lite = training.build(EXPERIMENT, 2)[1].vae.config.scaling_factor
    assert own == lite and abs(own - 0.18215) > 0.1  # of the lite VAE, unlike Stable Diffusion's
    assert SD15_VAE["scaling_factor"] == 0.18215
    _, unet, vae = small_parts()
    state = {f"model.diffusion_model.{unet_to_ldm(n)}": t for n, t in unet.state_dict().items()}
    state |= {f"first_stage_model.{n}": t.clone() for n, t in vae_tensors(vae).items()}
    save_file(state, tmp_path / "v1-5-pruned-emaonly.safetensors")
    sizes = SD15_VAE | {"block_out_channels": VAE["block_out_channels"]}
    _, loaded, _ = load_single_file(tmp_path / "v1-5-pruned-emaonly.safetensors", True, UNET, sizes)
    assert loaded.config.scaling_factor == 0.18215
