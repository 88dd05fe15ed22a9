"""The paper's equations: memory, conditioning, losses, adaptation, against formulas written out."""

import math

import pytest
import torch
import torch.nn.functional as F

from dcac_lite import DCAC, MODES, SCHEMES, PrototypeMemory, ReIDModel, adapt, make_condition
from dcac_lite.diffusion import denoising_loss, sample_latents, use_one_token_attention
from dcac_lite.encoder import id_loss
from dcac_lite.pretrained.clip import load_clip_visual
from dcac_lite.pretrained.stable_diffusion import load_stable_diffusion
from dcac_lite.tiers import FULL, LITE, paper_rank, paper_tau_c
from dcac_lite.trainer import lr_factor


@pytest.fixture
def unet():
    return load_stable_diffusion(LITE.stable_diffusion, LITE.diffusion_size).unet.eval()


@pytest.fixture
def noisy():
    generator = torch.Generator().manual_seed(0)
    return (
        torch.randn(4, 4, 8, 8, generator=generator),
        torch.tensor([1, 200, 500, 999]),
        torch.randn(4, 1, 64, generator=generator),
    )


# ---------------------------------------------------------------- Sec. 4.1


def test_id_loss_is_equation_5():
    logits, labels = torch.randn(6, 10), torch.tensor([0, 3, 9, 3, 1, 2])
    q = torch.full((6, 10), 0.1 / 10).scatter_(1, labels[:, None], 0.9 + 0.1 / 10)
    expected = -(q * (logits - logits.logsumexp(1, keepdim=True))).sum(1).mean()
    assert torch.allclose(id_loss(logits, labels), expected)


def test_memory_loss_is_equation_6_and_update_is_equation_7():
    torch.manual_seed(1)
    memory = PrototypeMemory(8, 5, tau=0.3, gamma=0.2)
    memory.reset(F.normalize(torch.randn(24, 5)), torch.arange(24) % 8)
    z, labels = F.normalize(torch.randn(8, 5)), torch.tensor([2, 2, 2, 5, 5, 0, 0, 0])
    before = memory.prototypes.clone()
    expected = -torch.stack([F.log_softmax(before @ z[b] / 0.3, 0)[labels[b]] for b in range(8)]).mean()
    assert torch.allclose(memory.loss(z, labels), expected)
    memory.update(z, labels)
    for identity in range(8):
        members = z[labels == identity]
        row = before[identity]
        if len(members):
            hardest = members[(members @ row).argmin()]
            row = F.normalize(0.2 * row + 0.8 * hardest, dim=0)
        assert torch.allclose(memory.prototypes[identity], row, atol=1e-6)


def test_memory_takes_the_first_of_equally_hard_samples():
    memory = PrototypeMemory(2, 2, tau=1.0)
    memory.prototypes.copy_(torch.eye(2))
    z = torch.tensor([[0.6, 0.8], [0.6, -0.8]])  # both 0.6 away from prototype 0
    memory.update(z, torch.tensor([0, 0]))
    assert memory.prototypes[0, 1] > 0


def test_prototypes_need_every_identity():
    memory = PrototypeMemory(3, 2, tau=1.0)
    with pytest.raises(ValueError, match="Every identity"):
        memory.reset(torch.randn(2, 2), torch.tensor([0, 2]))


def test_memory_can_change_before_backward():
    # the official code's in-place update makes the backward pass fail in float32
    memory = PrototypeMemory(4, 3, tau=0.1)
    memory.reset(F.normalize(torch.randn(4, 3)), torch.arange(4))
    z = F.normalize(torch.randn(4, 3)).requires_grad_()
    loss = memory.loss(z, torch.arange(4))
    memory.update(z.detach(), torch.arange(4))
    loss.backward()
    assert z.grad.abs().sum() > 0


def test_neck_moves_its_statistics_as_two_updates_would():
    reid = ReIDModel(load_clip_visual(LITE.clip, LITE.image_size), 10)
    twice = torch.nn.BatchNorm1d(reid.neck.num_features)
    f = torch.randn(32, reid.neck.num_features) * 3 + 1
    reid.neck(f), twice(f), twice(f)
    assert torch.allclose(reid.neck.running_mean, twice.running_mean, atol=1e-6)
    assert torch.allclose(reid.neck.running_var, twice.running_var, atol=1e-5)


def test_what_the_baseline_trains():
    reid = ReIDModel(load_clip_visual(LITE.clip, LITE.image_size), 10)
    still = {name for name, p in reid.named_parameters() if not p.requires_grad}
    assert still == {"visual.conv1.weight", "neck.bias"}
    assert reid.classifier.bias is None
    w = ReIDModel(reid.visual, 2000).classifier.weight.detach()  # N(0, 0.001), in a size that tells
    assert abs(w.mean()) < 2e-5 and abs(w.std() - 0.001) < 2e-5
    assert abs((w.abs() < 0.001).float().mean() - 0.6827) < 0.01


def test_features_are_unit_length_and_leave_the_model_alone():
    reid = ReIDModel(load_clip_visual(LITE.clip, LITE.image_size), 10).train()
    before = {k: v.clone() for k, v in reid.state_dict().items()}
    features = reid.features(torch.randint(0, 255, (7, 3, 64, 32), dtype=torch.uint8), batch=3)
    assert torch.allclose(features.norm(dim=1), torch.ones(7), atol=1e-5)
    assert reid.training and all(torch.equal(before[k], v) for k, v in reid.state_dict().items())


# ---------------------------------------------------------------- Sec. 4.2


def test_lora_at_initialisation_is_the_base_unet(unet, noisy):
    x, t, c = noisy
    with torch.no_grad():
        base = unet(x, t, c).sample
        adapted = adapt(unet, "lora", rank=8)(x, t, c).sample
    assert torch.equal(base, adapted)


def test_lora_is_equation_9(unet):
    layer = adapt(unet, "lora", rank=4).mid_block.attentions[0].transformer_blocks[0].attn1.to_q
    a, b = layer.lora_A["default"].weight, layer.lora_B["default"].weight
    torch.nn.init.normal_(b)
    h = torch.randn(3, a.shape[1])
    expected = layer.base_layer(h) + (1 / 4) * h @ a.t() @ b.t()
    assert torch.allclose(layer(h), expected, atol=1e-5)


@pytest.mark.parametrize("mode", MODES)
def test_modes_train_what_they_say(unet, mode):
    before = {k: v.clone() for k, v in unet.state_dict().items()}
    adapted = adapt(unet, mode)
    learning = {name for name, p in adapted.named_parameters() if p.requires_grad}
    if mode == "lora":
        assert learning and all("lora_" in name for name in learning)
    elif mode == "frozen":
        assert not learning
    elif "output" in mode:
        heads = {name.split(".")[0] for name in learning}
        middle = {"mid_block"} if "middle" in mode else set()
        assert heads == {"up_blocks", "time_embedding", "conv_norm_out", "conv_out"} | middle
    else:
        assert len(learning) == len(list(adapted.parameters()))
    if mode == "scratch":
        assert not torch.equal(adapted.state_dict()["conv_in.weight"], before["conv_in.weight"])


def trained_lora(unet):
    """A LoRA U-Net whose adapters do something, as after training."""
    adapted = adapt(unet, "lora")
    for name, p in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(p, std=0.02)
    return adapted


def test_one_token_gives_queries_and_keys_no_gradient(unet, noisy):
    x, t, c = noisy
    adapted = trained_lora(unet)
    adapted(x, t, c).sample.square().mean().backward()
    size = {n: p.grad.norm() for n, p in adapted.named_parameters() if p.requires_grad and "attn2" in n}
    assert max(v for n, v in size.items() if "to_q" in n or "to_k" in n) < 1e-6
    assert min(v for n, v in size.items() if "to_v" in n) > 1e-6


def test_one_token_attention_is_the_full_one(unet, noisy):
    x, t, c = noisy
    adapted = trained_lora(unet)
    c.requires_grad_()
    full = adapted(x, t, c).sample
    (full_gradient,) = torch.autograd.grad(full.square().mean(), c)
    captions = torch.randn(4, 24, 64)
    with torch.no_grad():
        full_captioned = adapted(x, t, captions).sample
    short = use_one_token_attention(adapted)(x, t, c).sample
    (short_gradient,) = torch.autograd.grad(short.square().mean(), c)
    assert torch.allclose(full, short, atol=1e-5) and torch.allclose(full_gradient, short_gradient, atol=1e-6)
    with torch.no_grad():
        assert torch.equal(full_captioned, adapted(x, t, captions).sample)


def test_latents_are_scaled_posterior_samples():
    mean, logvar, noise = torch.randn(2, 4, 8, 8), torch.randn(2, 4, 8, 8), torch.randn(2, 4, 8, 8)
    latents = sample_latents(torch.cat([mean, logvar], 1), 0.18215, noise)
    assert torch.allclose(latents, (mean + logvar.exp().sqrt() * noise) * 0.18215, atol=1e-5)


def test_denoising_loss_is_a_mean_over_elements(unet, noisy):
    x, t, c = noisy
    scheduler = load_stable_diffusion(LITE.stable_diffusion, 32).scheduler
    noise = torch.randn_like(x)
    abar = torch.cumprod(1 - torch.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2, 0)[t][:, None, None, None]
    with torch.no_grad():
        eps = unet(abar.sqrt() * x + (1 - abar).sqrt() * noise, t, c).sample
        assert torch.allclose(denoising_loss(unet, scheduler, x, noise, t, c), ((eps - noise) ** 2).mean(), atol=1e-5)
        squared_norm = ((eps - noise) ** 2).sum((1, 2, 3)).mean()  # the norm of one latent's error, as in Eq. 3
        assert torch.allclose(denoising_loss(unet, scheduler, x, noise, t, c, "squared norm"), squared_norm, rtol=1e-4)
    with pytest.raises(ValueError, match="reduction is 'sum'; expected 'mean' or 'squared norm'"):
        denoising_loss(unet, scheduler, x, noise, t, c, "sum")


# ---------------------------------------------------------------- Sec. 4.3


def condition_of(scheme, logits, z, labels, seed=0, tau_c=0.6):
    torch.manual_seed(seed)
    module = make_condition(scheme, logits.shape[1], z.shape[1], 16, tau_c)
    return module, module(logits, z, labels)


@pytest.fixture
def head():
    torch.manual_seed(3)
    return (
        torch.randn(6, 10, requires_grad=True),
        torch.randn(6, 12, requires_grad=True),
        torch.tensor([0, 3, 9, 3, 1, 2]),
    )


def test_correlation_aware_is_equation_12(head):
    logits, z, labels = head
    module, c = condition_of("correlation-aware", *head)
    p = (logits / 0.6).exp() / (logits / 0.6).exp().sum(1, keepdim=True)
    assert torch.allclose(c, sum(p[:, j, None] * module.prompts[j] for j in range(10)), atol=1e-5)


def test_class_wise_as_text_and_as_code(head):
    logits, z, labels = head
    module, c = condition_of("class-wise", *head)
    p_y = (logits / 0.6).softmax(1)[torch.arange(6), labels]
    assert torch.allclose(c, p_y[:, None] * module.prompts[labels])
    module, c = condition_of("class-wise-rescaled", *head)
    assert torch.equal(c, module.prompts[labels])
    c.sum().backward()
    assert logits.grad is None and z.grad is None  # as coded, the Re-ID model hears nothing


def test_instance_wise_uses_the_normalised_feature(head):
    logits, z, labels = head
    module, c = condition_of("instance-wise", *head)
    assert torch.allclose(c, (z / z.norm(dim=1, keepdim=True)) @ module.projection, atol=1e-5)


def test_table_10_modules(head):
    logits, z, labels = head
    _, c = condition_of("correlation-aware", *head)
    for scheme, expected in (("non-linearity", F.silu(c)), ("batch-norm", F.batch_norm(c, None, None, training=True))):
        assert torch.allclose(condition_of(scheme, *head)[1], expected, atol=1e-5)
    net = condition_of("condition-net", *head)[0].after
    assert [type(m).__name__ for m in net] == [
        "GlobalBatchNorm1d",
        "SiLU",
        "Linear",
        "GlobalBatchNorm1d",
        "SiLU",
        "Linear",
    ]
    assert net[2].bias is None and net[5].bias is None and net[2].out_features == 2


@pytest.mark.parametrize("scheme", SCHEMES)
def test_every_scheme_gives_one_token(scheme, head):
    assert condition_of(scheme, *head)[1].shape == (6, 16)


def test_wrong_scheme_and_temperature_are_named():
    with pytest.raises(ValueError, match="'correlation'.*correlation-aware"):
        make_condition("correlation", 5, 4, 3, 1.0)
    with pytest.raises(ValueError, match="tau_c is 0"):
        make_condition("correlation-aware", 5, 4, 3, 0)
    with pytest.raises(ValueError, match="'partial'.*output-blocks"):
        adapt(torch.nn.Linear(1, 1), "partial")


def test_a_rank_beyond_every_layer_is_refused(unet):
    with pytest.raises(ValueError, match="LoRA rank is 1000000; more than the 64 of the widest"):
        adapt(unet, "lora", rank=10**6)


# ---------------------------------------------------------------- Sec. 4.4 and 5.2


def test_total_loss_is_equation_13(unet):
    scheduler = load_stable_diffusion(LITE.stable_diffusion, 32).scheduler
    torch.manual_seed(0)
    reid = ReIDModel(load_clip_visual(LITE.clip, LITE.image_size), 6)
    width = reid.visual.output_dim
    memory = PrototypeMemory(6, width, 0.1)
    memory.reset(torch.randn(6, width), torch.arange(6))
    condition = make_condition("correlation-aware", 6, width, 64, 1.0)
    dcac = DCAC(reid, memory, condition, adapt(unet, "lora"), scheduler, lambda_=7.0)
    x, noise = torch.randn(6, 3, 64, 32), torch.randn(6, 4, 8, 8)
    losses, z = dcac(x, torch.arange(6), torch.randn(6, 4, 8, 8), noise, torch.arange(6) * 100)
    assert torch.allclose(losses["total"], losses["id"] + losses["pcl"] + 7.0 * losses["dif"])
    (gradient,) = torch.autograd.grad(losses["dif"], z)
    assert gradient.norm() > 0  # the diffusion model teaches the encoder


def test_learning_rates_of_the_official_schedule():
    factors = [lr_factor(e, FULL.warmup, FULL.milestones) for e in range(1, 61)]
    assert factors[0] * 5e-6 == pytest.approx(9.5e-7)
    assert (factors[9], factors[28], factors[29], factors[49]) == pytest.approx((1, 1, 0.1, 0.01))
    assert sum(factors) * 5e-6 == pytest.approx(1.353e-4, abs=1e-7)


def test_the_papers_ranks_and_temperatures():
    assert [paper_rank((s,)) for s in ("MA", "D", "C3", "MS")] == [8, 8, 8, 32] and paper_rank(("MA", "D", "C3")) == 32
    assert [paper_tau_c((s,)) for s in ("C3", "MA", "D", "MS")] == [0.1, 0.6, 0.6, 1.0] and paper_tau_c(
        ("MA", "D")
    ) == 1.0
    assert (
        math.isclose(FULL.tau, 0.01)
        and FULL.gamma == 0.2
        and FULL.image_size == (256, 128)
        and FULL.diffusion_size == 128
    )


def test_every_scheme_has_a_colour_of_its_own():
    from dcac_lite.book.notebook import PALETTE

    assert len({PALETTE[scheme] for scheme in SCHEMES}) == len(SCHEMES)
