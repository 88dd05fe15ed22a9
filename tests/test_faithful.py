"""One training step against the official computation written out in plain torch, and the rest of the recipe."""

from contextlib import nullcontext
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from plain_vit import awaken, learnable_parts, plain_vit

from benchmarks.plain_method import plain_losses, plain_neck, plain_prototypes, update_memory
from dcac_lite import DCAC, SCHEMES, Experiment, PrototypeMemory, ReIDModel, adapt, make_condition
from dcac_lite.adaptation import add_stray_biases
from dcac_lite.augment import random_crop, random_erasing
from dcac_lite.diffusion import sample_latents, use_one_token_attention
from dcac_lite.lean_unet import lean_unet
from dcac_lite.pretrained.stable_diffusion import load_stable_diffusion
from dcac_lite.recipes import RECIPES
from dcac_lite.tiers import FULL, LITE
from dcac_lite.trainer import lr_factor, step_inputs
from dcac_lite.training import build

IDENTITIES, BATCH, TAU_C, TAU, GAMMA = 6, 16, 0.6, 0.01, 0.2
ROUNDING = 1e-6  # gradients of what learns are above it, those that are truly zero below


def small_visual():
    """12 pre-norm blocks of width 32 with 2 heads on 4 x 2 patches, projected to 24."""
    from open_clip.transformer import QuickGELU, VisionTransformer

    return VisionTransformer(
        image_size=(64, 32),
        patch_size=16,
        width=32,
        layers=12,
        heads=2,
        mlp_ratio=4.0,
        output_dim=24,
        act_layer=QuickGELU,
    )


@pytest.fixture(scope="module")
def both():
    """Our step and the official one from the same weights and the same draws: losses and gradients."""
    torch.manual_seed(0)
    parts = load_stable_diffusion(LITE.stable_diffusion, LITE.diffusion_size)
    unet = adapt(parts.unet, "lora", 4)
    reid = ReIDModel(small_visual(), IDENTITIES).train()
    awaken(reid, unet)
    memory = PrototypeMemory(IDENTITIES, 24, TAU, GAMMA)
    memory.reset(torch.randn(2 * IDENTITIES, 24), torch.arange(2 * IDENTITIES) % IDENTITIES)
    condition = make_condition("correlation-aware", IDENTITIES, 24, parts.unet.config.cross_attention_dim, TAU_C)
    dcac = DCAC(reid, memory, condition, unet, parts.scheduler, lambda_=1.0)
    labels = torch.arange(BATCH) % IDENTITIES
    x, noise = torch.randn(BATCH, 3, 64, 32), torch.randn(BATCH, 4, 8, 8)
    moments, sampling = torch.randn(BATCH, 8, 8, 8), torch.randn(BATCH, 4, 8, 8)
    timesteps = torch.randint(1000, (BATCH,))

    bn = plain_neck(reid.neck)
    official_memory = memory.prototypes.clone()
    learning = {name: p for name, p in dcac.named_parameters() if p.requires_grad and not name.startswith("reid.neck")}
    mean, logvar = moments.chunk(2, 1)
    theirs, feature = plain_losses(
        partial(plain_vit, reid.visual), bn, reid.classifier.weight, condition.prompts, official_memory, unet,
        x, labels, (mean + torch.exp(0.5 * logvar) * sampling) * 0.18215, noise, timesteps, TAU_C, TAU, 1.0,
    )  # fmt: skip
    update_memory(official_memory, feature.detach(), labels, GAMMA)
    their_gradients = dict(
        zip(learning, torch.autograd.grad(theirs["total"], learning.values(), retain_graph=True, allow_unused=True))
    )
    their_gradients["reid.neck.weight"] = torch.autograd.grad(theirs["total"], bn.weight)[0]

    use_one_token_attention(lean_unet(unet))
    ours, z = dcac(x, labels, sample_latents(moments, 0.18215, sampling), noise, timesteps)
    ours["total"].backward()
    memory.update(F.normalize(z.detach()), labels)
    return dcac, ours, theirs, their_gradients, bn, official_memory


def test_losses_are_the_official_ones(both):
    _, ours, theirs, *_ = both
    for name, value in theirs.items():
        assert torch.allclose(ours[name], value, rtol=1e-5), name


def test_gradients_are_the_official_ones(both):
    dcac, _, _, gradients, *_ = both
    parameters = dict(dcac.named_parameters())
    compared = []
    for name, expected in gradients.items():
        if (
            "attn2.to_q" in name or "attn2.to_k" in name
        ):  # one token: nothing to learn there, and exactly nothing in ours
            assert parameters[name].grad is None and (expected is None or expected.abs().max() < 1e-6)
            continue
        for part, (ours, theirs) in learnable_parts(name, parameters[name].grad, expected).items():
            assert theirs.norm() > ROUNDING and (ours - theirs).norm() < 1e-3 * theirs.norm(), part
            compared.append(part)
    zero = [p.grad.chunk(3)[1] for n, p in parameters.items() if n.endswith("in_proj_bias")] + [
        dcac.reid.visual.ln_post.bias.grad
    ]
    assert len(zero) == 13 and max(g.abs().max() for g in zero) < 5e-6  # truly zero: the keys' biases and ln_post's
    assert parameters["reid.visual.conv1.weight"].grad is None
    for kind in (
        "reid.visual.proj",
        "reid.visual.class_embedding",
        "reid.classifier.weight",
        "reid.neck.weight",
        "condition.prompts",
    ):
        assert kind in compared
    a, b, v = (sum(kind in n for n in compared) for kind in ("lora_A", "lora_B", "attn2.to_v.lora_A"))
    assert a == b == 7 * v > 0  # of each block's nine layers all but two


def test_state_moves_as_the_official_one(both):
    dcac, _, _, _, bn, memory = both
    assert torch.allclose(dcac.reid.neck.running_mean, bn.running_mean, atol=1e-6)
    assert torch.allclose(dcac.reid.neck.running_var, bn.running_var, atol=1e-5)
    assert torch.allclose(dcac.memory.prototypes, memory, atol=1e-5)
    assert not torch.allclose(memory, F.normalize(torch.ones_like(memory)))


def test_one_token_teaches_nothing_before_the_values(both):
    """Queries and keys of the cross-attention, and the norm before them, in a U-Net that learns in full."""
    dcac, *_ = both
    torch.manual_seed(2)
    unet = adapt(load_stable_diffusion(LITE.stable_diffusion, LITE.diffusion_size).unet, "full")
    condition = dcac.condition.prompts[:4, None].detach()
    x, timesteps = torch.randn(4, 4, 8, 8), torch.randint(1000, (4,))

    def gradients():
        unet.zero_grad()
        unet(x, timesteps, condition).sample.square().mean().backward()
        return {
            n: 0.0 if p.grad is None else float(p.grad.norm())
            for n, p in unet.named_parameters()
            if "transformer_blocks" in n
        }

    full = gradients()
    use_one_token_attention(unet)
    short = gradients()
    silent = {n for n in full if "attn2.to_q" in n or "attn2.to_k" in n or "norm2" in n}
    assert len(silent) == 4 * sum("attn2.to_v.weight" in n for n in full) > 0
    assert max(full[n] for n in silent) < ROUNDING and max(short[n] for n in silent) == 0
    assert min(min(full[n], short[n]) for n in full.keys() - silent if "attn1.to_k" not in n) > ROUNDING


# ---------------------------------------------------------------- what the diffusion loss sends back


def backward_by_formula(scheme, module, logits, z, labels, g):
    """From g = dL/dc to dL/dlogits and dL/dz of a conditioning scheme, as one derives it on paper."""

    def through_norm(norm, x, g):
        deviation = (x.var(0, unbiased=False) + norm.eps).sqrt()
        normal, g = (x - x.mean(0)) / deviation, g * norm.weight
        return (g - g.mean(0) - normal * (g * normal).mean(0)) / deviation, normal * norm.weight + norm.bias

    def through_silu(x, g):
        s = x.sigmoid()
        return g * s * (1 + x * (1 - s))

    nothing = torch.zeros_like(logits), torch.zeros_like(z)
    if scheme == "class-wise-rescaled":
        return nothing
    if scheme == "instance-wise":
        length = z.norm(dim=1, keepdim=True)
        back = g @ module.projection.t()
        return nothing[0], (back - z * (z * back).sum(1, keepdim=True) / length**2) / length
    p = (logits / TAU_C).exp() / (logits / TAU_C).exp().sum(1, keepdim=True)
    c = p @ module.prompts
    if scheme == "non-linearity":
        g = through_silu(c, g)
    elif scheme == "batch-norm":
        g, _ = through_norm(module.after, c, g)
    elif scheme == "condition-net":
        first, _, narrow, second, _, wide = module.after
        _, a = through_norm(first, c, g)
        b = F.silu(a) @ narrow.weight.t()
        _, d = through_norm(second, b, b)
        g, _ = through_norm(second, b, through_silu(d, g @ wide.weight))
        g, _ = through_norm(first, c, through_silu(a, g @ narrow.weight))
    each = g @ module.prompts.t()  # dL/dp_j, had every probability a place in c
    if scheme == "class-wise":
        each = each * F.one_hot(labels, IDENTITIES)
    return p * (each - (p * each).sum(1, keepdim=True)) / TAU_C, nothing[1]


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_diffusion_loss_teaches_the_encoder_what_the_scheme_lets_through(both, scheme):
    trained = both[0]
    torch.manual_seed(4)
    condition = make_condition(scheme, IDENTITIES, 24, trained.condition.prompts.shape[1], TAU_C)
    dcac = DCAC(trained.reid, trained.memory, condition, trained.unet, trained.scheduler)
    seen = {}
    hooks = [
        module.register_forward_hook(lambda module, inputs, output, name=name: seen.update({name: output}))
        for name, module in (("logits", dcac.reid.classifier), ("c", condition))
    ]
    labels, latents, noise = torch.arange(BATCH) % IDENTITIES, *torch.randn(2, BATCH, 4, 8, 8)
    losses, z = dcac(torch.randn(BATCH, 3, 64, 32), labels, latents, noise, torch.randint(1000, (BATCH,)))
    for hook in hooks:
        hook.remove()
    wanted = {
        "c": seen["c"],
        "logits": seen["logits"],
        "z": z,
        "proj": dcac.reid.visual.proj,
        "class": dcac.reid.visual.class_embedding,
    }
    found = torch.autograd.grad(losses["dif"], wanted.values(), allow_unused=True)
    found = {name: torch.zeros_like(t) if g is None else g for (name, t), g in zip(wanted.items(), found)}
    with torch.no_grad():
        to_logits, to_z = backward_by_formula(scheme, condition, seen["logits"], z, labels, found["c"])
    to_z = to_z + to_logits @ dcac.reid.classifier.weight
    assert found["c"].norm() > ROUNDING
    for name, expected in (("logits", to_logits), ("z", to_z)):
        assert (found[name] - expected).norm() <= 1e-3 * expected.norm(), name
    silent = scheme == "class-wise-rescaled"
    assert to_logits.norm() == 0 if silent or scheme == "instance-wise" else to_logits.norm() > ROUNDING
    for name in ("z", "proj", "class"):
        assert found[name].norm() == 0 if silent else found[name].norm() > ROUNDING, name


# ---------------------------------------------------------------- low precision


class Exact(torch.nn.Module):
    """An image tower whose features are the pixels, the same numbers in bfloat16 and in float32."""

    output_dim = 24

    def __init__(self):
        super().__init__()
        self.conv1, self.same = torch.nn.Conv2d(3, 1, 1), torch.nn.Parameter(torch.eye(24))

    def forward(self, x):
        return x.flatten(1) @ self.same


@pytest.mark.parametrize("scheme", SCHEMES)
def test_what_is_behind_a_temperature_stays_float32_under_autocast(scheme):
    torch.manual_seed(0)
    reid = ReIDModel(Exact(), IDENTITIES).train()
    torch.nn.init.normal_(reid.classifier.weight, std=0.3)
    memory = PrototypeMemory(IDENTITIES, 24, TAU)
    memory.reset(torch.randn(2 * IDENTITIES, 24), torch.arange(2 * IDENTITIES) % IDENTITIES)
    contexts = []

    def unet(x, timesteps, encoder_hidden_states):
        contexts.append(encoder_hidden_states)
        return SimpleNamespace(sample=x)

    dcac = DCAC(
        reid,
        memory,
        make_condition(scheme, IDENTITIES, 24, 16, TAU_C),
        unet,
        SimpleNamespace(add_noise=lambda x, *_: x),
    )
    x, latents = torch.randn(BATCH, 3, 8, 1).bfloat16().float(), torch.randn(BATCH, 4, 8, 8)
    made = []
    for autocast in (nullcontext(), torch.autocast("cpu", torch.bfloat16)):
        with autocast:
            assert torch.equal(reid.visual(x).float(), x.flatten(1))
            losses, z = dcac(
                x, torch.arange(BATCH) % IDENTITIES, latents, latents, torch.zeros(BATCH, dtype=torch.int64)
            )
        made.append(losses | {"condition": contexts.pop(), "z": z})
    full, low = made
    for name, expected in full.items():
        assert low[name].dtype == torch.float32 and torch.allclose(low[name], expected, rtol=1e-5, atol=1e-5), name


# ---------------------------------------------------------------- the rest of the recipe


def test_prototypes_start_as_normalised_means_of_test_features():
    torch.manual_seed(0)
    reid = ReIDModel(small_visual(), 4)
    reid.neck.running_mean.normal_()
    images = torch.randint(256, (12, 3, 64, 32), dtype=torch.uint8)
    labels = torch.arange(12) % 4
    memory = PrototypeMemory(4, 24, TAU)
    memory.reset(reid.train().features(images), labels)
    expected = plain_prototypes(partial(plain_vit, reid.visual), reid.neck, images, labels)
    assert torch.allclose(memory.prototypes, expected, atol=1e-5)


def test_padding_is_black_and_erasing_is_light_grey():
    generator = torch.Generator().manual_seed(0)
    white = torch.ones(200, 3, 40, 20)
    padded = random_crop(white, 10, generator)
    assert set(padded.unique().tolist()) == {-1.0, 1.0}  # pixel 0 before normalisation
    erased = random_erasing(white, generator, probability=0.5)
    assert set(erased.unique().tolist()) == {0.5, 1.0}  # 0.5 after normalisation; the mean would be 0
    share = (erased[:, 0] == 0.5).flatten(1).float().mean(1)
    assert 0.35 < (share > 0).float().mean() < 0.65
    assert share[share > 0].min() > 0.01 and share.max() < 0.45


# ---------------------------------------------------------------- recipes


def test_warm_up_of_the_text_starts_at_a_tenth():
    factors = [lr_factor(e, FULL.warmup, FULL.milestones, from_start=True) for e in range(1, 61)]
    assert (factors[0], factors[10], factors[29], factors[49]) == pytest.approx((0.1, 1, 0.1, 0.01))


def test_recipes_change_what_they_name(smoke_data):
    def made(recipe, scheme="class-wise", **options):
        experiment = Experiment(tier="smoke", conditioning=scheme, recipe=recipe, lambda_=2.0, **options).resolved()
        return experiment, build(experiment, 24)[0]

    default, official, paper = (made(r)[1] for r in RECIPES)
    assert [type(d.condition).__name__ for d in (default, official, paper)] == [
        "ClassWise",
        "ClassWiseRescaled",
        "ClassWise",
    ]
    biases = [
        sum("to_q" in n and n.endswith("bias") for n, _ in d.unet.named_parameters())
        for d in (default, official, paper)
    ]
    assert biases[0] == biases[2] == 0 and biases[1] > 0
    second = [any("ff.net.2.lora_A" in n for n, _ in d.unet.named_parameters()) for d in (default, official, paper)]
    assert second == [False, False, True]
    assert [d.lambda_ for d in (default, official, paper)] == [2.0] * 3  # lambda is lambda in every recipe
    assert [d.reduction for d in (default, official, paper)] == ["mean", "mean", "squared norm"]
    moments = np.random.default_rng(0).normal(size=(len(smoke_data), 8, 8, 8)).astype(np.float16)
    rows = torch.arange(4)
    for recipe, sampled in (("default", True), ("official", True), ("paper", False)):
        latents = step_inputs(made(recipe)[0], smoke_data, moments, 1.0, rows, 0, "cpu").latents
        assert torch.equal(latents, torch.from_numpy(moments[:4, :4]).float()) != sampled
    with pytest.raises(ValueError, match="recipe is 'text'; expected one of default, official, paper"):
        Experiment(recipe="text")


def test_recipes_at_full_size():
    """Stray biases and the second feed-forward adapter in Stable Diffusion's own architecture, on no memory."""
    from diffusers import UNet2DConditionModel

    assert Experiment(tier="full", recipe="official").resolved().precision == "fp16"
    with torch.device("meta"):
        unet = UNet2DConditionModel(
            sample_size=64, block_out_channels=(320, 640, 1280, 1280), cross_attention_dim=768, attention_head_dim=8
        )
        before = {n for n, _ in unet.named_parameters()}
        stray = {n: p for n, p in add_stray_biases(unet).named_parameters() if n not in before}
        assert len(stray) == 96 and sum(p.numel() for p in stray.values()) == 74_880
        assert not any(p.requires_grad for p in stray.values())
        learning = sum(
            p.numel() for p in adapt(unet, "lora", 8, second_feed_forward=True).parameters() if p.requires_grad
        )
    assert round((86_512_384 + learning) / 1e6, 2) == 89.50
