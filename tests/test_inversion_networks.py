"""The generative system: parameters at the paper's size, schedule, sampler, and what is known without training."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from dcac_lite.inversion.auxiliary import Auxiliary
from dcac_lite.inversion.generator import Generator
from dcac_lite.inversion.identities import IdentityTable
from dcac_lite.inversion.img2id import Img2ID
from dcac_lite.inversion.img2noise import loss as noise_loss
from dcac_lite.inversion.sampling import sample
from dcac_lite.inversion.schedule import embedding, noised, rates
from dcac_lite.inversion.unet import UNet

DEPTHS, BLOCKS, DIM, SIZE = (48, 96, 192, 384), 2, 32, (64, 32)
SMALL = (4, 6, 8, 10)


def trainable(net: nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


def running(net: nn.Module) -> int:
    norms = [m for m in net.modules() if isinstance(m, nn.BatchNorm2d)]
    return sum(m.running_mean.numel() + m.running_var.numel() for m in norms)


def kinds(net: nn.Module) -> list[int]:
    return [sum(isinstance(m, kind) for m in net.modules()) for kind in (nn.Conv2d, nn.BatchNorm2d, nn.Linear)]


def test_parameters_at_the_papers_size():
    with torch.device("meta"):
        denoiser = Generator(1, DIM, DEPTHS, BLOCKS).denoiser
        img2noise, img2id, auxiliary = UNet(DEPTHS, BLOCKS), Img2ID(SIZE, DIM, DEPTHS, BLOCKS), Auxiliary(DIM)
    table = IdentityTable(1502, DIM)
    assert (trainable(denoiser), trainable(table)) == (9_835_587, 48_064)
    assert trainable(denoiser) + trainable(table) == 9_883_651
    assert (trainable(img2noise), trainable(img2id), trainable(auxiliary)) == (9_572_115, 12_641_600, 592_416)
    assert [running(net) for net in (denoiser, img2noise, img2id)] == [5952, 5568, 2208]
    assert [kinds(net) for net in (denoiser, img2noise, img2id)] == [[40, 14, 0], [39, 14, 0], [20, 8, 3]]
    first = denoiser.unet.down[0][0]
    assert [trainable(m) for m in (first.first, first.second, first.beside)] == [62_256, 20_784, 6_960]
    assert (trainable(denoiser.unet.stem), trainable(denoiser.unet.head)) == (192, 147)


def test_rates_and_embedding():
    times = torch.tensor([0, 0.1, 0.2, 0.5, 0.8, 0.9, 1], dtype=torch.float64)
    signal, noise = rates(times)
    assert signal.numpy() == pytest.approx([0.95, 0.904375, 0.845013, 0.59448, 0.2635, 0.142835, 0.02], abs=1e-6)
    assert noise.square().numpy() == pytest.approx(
        [0.0975, 0.182106, 0.285953, 0.646594, 0.930568, 0.979598, 0.9996], abs=1e-6
    )
    told = embedding(torch.tensor([0.25], dtype=torch.float64), 32)[0].numpy()
    assert told[:4] == pytest.approx([1, 0.924114, 0.635579, 0.076433], abs=1e-6)
    assert told[32:36] == pytest.approx([0, -0.382116, -0.772036, -0.997075], abs=1e-6)
    told = embedding(rates(torch.zeros(1))[1].square(), 32)  # in float32, as the networks ask for it
    assert told.dtype == torch.float32 and told.shape == (1, 64)
    assert told[0, :4].numpy() == pytest.approx([0.575005, 0.692915, 0.81724, 0.930356], abs=1e-5)


def trailing_ddim(predict, z, steps):
    """diffusers' scheduler with this schedule on its grid of a thousand times."""
    from diffusers import DDIMScheduler

    scheduler = DDIMScheduler(1000, timestep_spacing="trailing", clip_sample=False)
    scheduler.alphas_cumprod = rates(torch.arange(1, 1001, dtype=torch.float64) / 1000)[0].square()
    scheduler.set_timesteps(steps)
    for k in scheduler.timesteps:
        done = scheduler.step(predict(z, ((k + 1).double() / 1000).expand(len(z))), k, z, eta=0.0)
        z = done.prev_sample
    return done.pred_original_sample


@pytest.mark.parametrize("steps", [10, 50])
def test_the_sampler_is_trailing_ddim(steps):
    z = torch.randn(3, 4, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)

    def predict(x, t):
        return (x * (1 + t.view(-1, 1, 1))).sin() * 0.7 + 0.1 * x  # any smooth function

    assert (sample(predict, z, steps) - trailing_ddim(predict, z, steps)).abs().max() < 1e-12


def test_who_knows_the_only_picture_finds_it_from_any_noise():
    x = torch.rand(1, 3, 4, 4, dtype=torch.float64)

    def predict(state, t):
        signal, noise = rates(t)
        return (state - signal.view(-1, 1, 1, 1) * x) / noise.view(-1, 1, 1, 1)

    for steps in (1, 10):
        assert torch.allclose(sample(predict, torch.randn(1, 3, 4, 4, dtype=torch.float64), steps), x)


def test_an_untrained_generator():
    torch.manual_seed(0)
    generator = Generator(1502, DIM, SMALL, 1)
    rng = torch.Generator().manual_seed(0)
    x, noise = (torch.randn(16, 3, *SIZE, generator=rng) for _ in range(2))
    labels, t = torch.randint(1502, (16,), generator=rng), torch.rand(16, generator=rng)
    per_picture, attraction = generator.losses(x, labels, t, noise)
    assert per_picture.mean().item() == pytest.approx(64 * 32 * math.sqrt(2 / math.pi), rel=0.01)  # 1634.06
    assert attraction.mean().item() == pytest.approx(0.5 * 0.1**2 / 12, rel=0.1)
    generator.eval()
    drawn = generator.draw(noise[:2], generator.table(labels[:2]), 10)
    assert torch.allclose(drawn, (50 * noise[:2]).clamp(0, 1), atol=1e-4)
    # the logged error of the picture that an untrained network estimates
    times = (torch.arange(2000, dtype=torch.float64) + 0.5) / 2000
    signal, amount = rates(times)
    assert (amount / signal).mean().item() * math.sqrt(2 / math.pi) == pytest.approx(2.49784, rel=2e-3)


def test_the_identity_reaches_the_picture_and_the_gradient_the_table():
    torch.manual_seed(0)
    generator = Generator(5, DIM, SMALL, 1)
    nn.init.normal_(generator.denoiser.unet.head.weight)
    x = torch.randn(2, 3, 16, 8)
    per_picture, _ = generator.losses(x, torch.tensor([1, 3]), torch.tensor([0.2, 0.7]), torch.randn_like(x))
    per_picture.sum().backward()
    moved = generator.table.vectors.grad.abs().sum(1) > 0
    assert moved.tolist() == [False, True, False, True, False]
    generator.eval()
    one, other = (generator.draw(x[:1], generator.table(torch.tensor([k])), 3) for k in (0, 1))
    assert not torch.allclose(one, other)


def test_pixel_statistics_are_those_of_the_training_pictures():
    images = torch.randint(256, (8, 3, 16, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    generator = Generator(2, DIM, SMALL, 1)
    generator.see(images)
    x = generator.normalised(images)
    assert x.mean((0, 2, 3)).abs().max() < 1e-5 and (x.std((0, 2, 3), correction=0) - 1).abs().max() < 1e-5
    assert torch.allclose(generator.pictures(x), images / 255, atol=1e-6)


def test_the_auxiliary_generator_knows_one_person_by_heart():
    torch.manual_seed(0)
    auxiliary, row = Auxiliary(DIM), torch.randn(1, DIM)
    auxiliary.see(torch.cat([row - 1, row + 1]))
    for layer in (*auxiliary.hidden, auxiliary.last):
        nn.init.zeros_(layer.weight)
    auxiliary.last.bias.data.fill_(0.5)  # its answer to everything, in units of the table's SD
    assert torch.allclose(auxiliary.draw(torch.randn(4, DIM), 50), (row + 0.5).expand(4, -1), atol=1e-4)
    rows = torch.cat([row - 1, row + 1])
    losses = auxiliary.losses(rows, torch.tensor([0.3, 0.6]), torch.randn(2, DIM))
    assert losses.tolist() == pytest.approx([1.5, 0.5], abs=1e-4)


def test_img2noise_learns_through_the_generator():
    torch.manual_seed(0)
    generator, net = Generator(2, DIM, SMALL, 1).requires_grad_(False).eval(), UNet(SMALL, 1)
    nn.init.normal_(net.head.weight, std=1e-3)
    value = noise_loss(net, generator, torch.rand(2, 3, 16, 8), generator.table(torch.tensor([0, 1])), 3)
    value.backward()
    assert 0 < value.item() < 1 and net.stem.weight.grad.abs().sum() > 0


def test_noise_at_a_time():
    x, noise = torch.ones(2, 1, 2, 2), torch.full((2, 1, 2, 2), 2.0)
    both = noised(x, noise, torch.tensor([0.0, 1.0]))[:, 0, 0, 0].numpy()
    assert both == pytest.approx([0.95 + 2 * np.sqrt(0.0975), 0.02 + 2 * np.sqrt(0.9996)], abs=1e-6)
