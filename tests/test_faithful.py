"""One training step against the official computation written out in plain torch, and the rest of the recipe."""

import math
import random

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from dcac_lite import DCAC, Experiment, PrototypeMemory, ReIDModel, adapt, make_condition
from dcac_lite.adaptation import add_stray_biases
from dcac_lite.augment import normalise, random_crop, random_erasing
from dcac_lite.diffusion import load_stable_diffusion, sample_latents, use_one_token_attention
from dcac_lite.recipes import RECIPES
from dcac_lite.sampling import pk_batches
from dcac_lite.tiers import FULL, LITE
from dcac_lite.trainer import lr_factor, step_inputs
from dcac_lite.training import build

IDENTITIES, BATCH, TAU_C, TAU, GAMMA = 6, 16, 0.6, 0.01, 0.2


def small_visual():
    """12 pre-norm blocks of width 32 with 2 heads on 4 x 2 patches, projected to 24."""
    from open_clip.transformer import QuickGELU, VisionTransformer

    return VisionTransformer(
        image_size=(64, 32), patch_size=16, width=32, layers=12, heads=2, mlp_ratio=4.0, output_dim=24, act_layer=QuickGELU
    )


def official_vit(w: dict, x):
    """f = ViT(image): patches, class token, positions, ln_pre, blocks, ln_post on all tokens, projection, class token."""

    def norm(h, name):
        return F.layer_norm(h, h.shape[-1:], w[f"{name}.weight"], w[f"{name}.bias"])

    patches = F.conv2d(x, w["conv1.weight"], stride=16).flatten(2).transpose(1, 2)
    h = torch.cat([w["class_embedding"].expand(len(x), 1, -1), patches], 1) + w["positional_embedding"]
    h = norm(h, "ln_pre")
    for k in range(12):
        block = f"transformer.resblocks.{k}"
        a = norm(h, f"{block}.ln_1") @ w[f"{block}.attn.in_proj_weight"].t() + w[f"{block}.attn.in_proj_bias"]
        q, k_, v = (t.unflatten(-1, (2, 16)).transpose(1, 2) for t in a.chunk(3, -1))
        a = ((q @ k_.transpose(-1, -2) / math.sqrt(16)).softmax(-1) @ v).transpose(1, 2).flatten(2)
        h = h + a @ w[f"{block}.attn.out_proj.weight"].t() + w[f"{block}.attn.out_proj.bias"]
        m = norm(h, f"{block}.ln_2") @ w[f"{block}.mlp.c_fc.weight"].t() + w[f"{block}.mlp.c_fc.bias"]
        m = m * torch.sigmoid(1.702 * m)
        h = h + m @ w[f"{block}.mlp.c_proj.weight"].t() + w[f"{block}.mlp.c_proj.bias"]
    return (norm(h, "ln_post") @ w["proj"])[:, 0]


def official_step(visual, fc, bn, prompts, memory, unet, x, labels, latents, noise, timesteps):
    """Section by section what the published code computes; returns losses and updates bn and memory."""
    f = official_vit(dict(visual.named_parameters()), x)
    logits = bn(f) @ fc.t()
    z = bn(f)  # a second time, so the running statistics move twice
    feature = z / z.norm(dim=1, keepdim=True)
    condition = torch.softmax(logits / TAU_C, 1) @ prompts
    beta = torch.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2
    abar = torch.cumprod(1 - beta, 0)[timesteps].view(-1, 1, 1, 1)
    predicted = unet(abar.sqrt() * latents + (1 - abar).sqrt() * noise, timesteps, condition[:, None]).sample
    dif = ((predicted - noise) ** 2).mean()
    smooth = torch.full_like(logits, 0.1 / IDENTITIES).scatter(1, labels[:, None], 0.9 + 0.1 / IDENTITIES)
    ce = -(smooth * logits.log_softmax(1)).sum(1).mean()
    pcl = F.cross_entropy(feature @ memory.clone().t() / TAU, labels)
    with torch.no_grad():
        for y in set(labels.tolist()):
            own = feature[labels == y]
            hardest = own[(own @ memory[y]).argmin()]
            row = GAMMA * memory[y] + (1 - GAMMA) * hardest
            memory[y] = row / row.norm()
    return {"id": ce, "pcl": pcl, "dif": dif, "total": dif + ce + pcl}


@pytest.fixture(scope="module")
def both():
    """Our step and the official one from the same weights and the same draws: losses and gradients."""
    torch.manual_seed(0)
    parts = load_stable_diffusion(LITE.stable_diffusion, LITE.diffusion_size)
    unet = adapt(parts.unet, "lora", 4)
    for name, p in unet.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(p, std=0.05)
    reid = ReIDModel(small_visual(), IDENTITIES).train()
    torch.nn.init.normal_(reid.classifier.weight, std=0.3)
    torch.nn.init.normal_(reid.neck.weight, 1.0, 0.2)
    memory = PrototypeMemory(IDENTITIES, 24, TAU, GAMMA)
    memory.reset(torch.randn(2 * IDENTITIES, 24), torch.arange(2 * IDENTITIES) % IDENTITIES)
    condition = make_condition("correlation-aware", IDENTITIES, 24, parts.unet.config.cross_attention_dim, TAU_C)
    dcac = DCAC(reid, memory, condition, unet, parts.scheduler, lambda_=1.0)
    labels = torch.arange(BATCH) % IDENTITIES
    x, noise = torch.randn(BATCH, 3, 64, 32), torch.randn(BATCH, 4, 8, 8)
    moments, sampling = torch.randn(BATCH, 8, 8, 8), torch.randn(BATCH, 4, 8, 8)
    timesteps = torch.randint(1000, (BATCH,))

    bn = torch.nn.BatchNorm1d(24)
    bn.weight.data.copy_(reid.neck.weight.data)
    official_memory = memory.prototypes.clone()
    learning = {name: p for name, p in dcac.named_parameters() if p.requires_grad and not name.startswith("reid.neck")}
    mean, logvar = moments.chunk(2, 1)
    theirs = official_step(
        reid.visual, reid.classifier.weight, bn, condition.prompts, official_memory, unet, x, labels,
        (mean + torch.exp(0.5 * logvar) * sampling) * 0.18215, noise, timesteps,
    )  # fmt: skip
    their_gradients = dict(zip(learning, torch.autograd.grad(theirs["total"], learning.values(), retain_graph=True, allow_unused=True)))
    their_gradients["reid.neck.weight"] = torch.autograd.grad(theirs["total"], bn.weight)[0]

    use_one_token_attention(unet)
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
    compared = 0
    for name, expected in gradients.items():
        if "attn2.to_q" in name or "attn2.to_k" in name:  # one token: nothing to learn there, and exactly nothing in ours
            assert parameters[name].grad is None and (expected is None or expected.abs().max() < 1e-6)
            continue
        # the true gradient of ln_post's bias and of the key biases is zero: what is left is rounding
        assert (parameters[name].grad - expected).abs().max() < 2e-4 * expected.abs().max() + 5e-6, name
        compared += 1
    assert compared > 100 and parameters["reid.visual.conv1.weight"].grad is None


def test_state_moves_as_the_official_one(both):
    dcac, _, _, _, bn, memory = both
    assert torch.allclose(dcac.reid.neck.running_mean, bn.running_mean, atol=1e-6)
    assert torch.allclose(dcac.reid.neck.running_var, bn.running_var, atol=1e-5)
    assert torch.allclose(dcac.memory.prototypes, memory, atol=1e-5)
    assert not torch.allclose(memory, F.normalize(torch.ones_like(memory)))


# ---------------------------------------------------------------- the rest of the recipe


def test_prototypes_start_as_normalised_means_of_test_features():
    torch.manual_seed(0)
    reid = ReIDModel(small_visual(), 4)
    reid.neck.running_mean.normal_()
    images = torch.randint(256, (12, 3, 64, 32), dtype=torch.uint8)
    labels = torch.arange(12) % 4
    memory = PrototypeMemory(4, 24, TAU)
    memory.reset(reid.train().features(images), labels)
    with torch.no_grad():
        f = reid.visual(normalise(images))
        neck = (f - reid.neck.running_mean) / (reid.neck.running_var + 1e-5).sqrt() * reid.neck.weight
        means = torch.stack([F.normalize(neck)[labels == y].mean(0) for y in range(4)])
    assert torch.allclose(memory.prototypes, F.normalize(means), atol=1e-5)


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


def test_sampler_counts_of_the_published_code():
    labels = torch.cat([torch.zeros(400, dtype=torch.int64), torch.arange(1, 41).repeat_interleave(4)])
    assert len(pk_batches(labels, 16, 4, seed=0, epoch=1)) == 2  # of nine that the images would allow
    regular = torch.arange(64).repeat_interleave(8)
    assert {len(pk_batches(regular, 16, 4, seed, 1)) for seed in range(20)} <= {7, 8}
    market_like = torch.from_numpy(np.repeat(np.arange(751), random.Random(0).choices(range(8, 28), k=751)))
    whole = sum(n // 4 * 4 for n in torch.bincount(market_like).tolist())
    got = len(pk_batches(market_like, 16, 4, seed=0, epoch=1))
    assert whole // 64 - 12 < got <= whole // 64


def test_adam_can_move_an_entry_by_two_hundredths_at_most():
    travel = 188 * 5e-6 * sum(lr_factor(e, FULL.warmup, FULL.milestones) for e in range(1, 61))
    assert travel == pytest.approx(0.0254, abs=5e-4)  # against prompts of SD 1


# ---------------------------------------------------------------- recipes


def test_warm_up_of_the_text_starts_at_a_tenth():
    factors = [lr_factor(e, FULL.warmup, FULL.milestones, from_start=True) for e in range(1, 61)]
    assert (factors[0], factors[10], factors[29], factors[49]) == pytest.approx((0.1, 1, 0.1, 0.01))


def test_recipes_change_what_they_name(smoke_data):
    def made(recipe, scheme="class-wise", **options):
        experiment = Experiment(tier="smoke", conditioning=scheme, recipe=recipe, lambda_=2.0, **options).resolved()
        return experiment, build(experiment, 24)[0]

    default, official, paper = (made(r)[1] for r in RECIPES)
    assert [type(d.condition).__name__ for d in (default, official, paper)] == ["ClassWise", "ClassWiseRescaled", "ClassWise"]
    biases = [sum("to_q" in n and n.endswith("bias") for n, _ in d.unet.named_parameters()) for d in (default, official, paper)]
    assert biases[0] == biases[2] == 0 and biases[1] > 0
    second = [any("ff.net.2.lora_A" in n for n, _ in d.unet.named_parameters()) for d in (default, official, paper)]
    assert second == [False, False, True]
    assert (default.lambda_, official.lambda_, paper.lambda_) == (2.0, 2.0, 2.0 * 4 * 8 * 8)
    moments = np.random.default_rng(0).normal(size=(len(smoke_data), 8, 8, 8)).astype(np.float16)
    rows = torch.arange(4)
    for recipe, sampled in (("default", True), ("official", True), ("paper", False)):
        _, _, latents, *_ = step_inputs(made(recipe)[0], smoke_data, moments, 1.0, rows, 0, "cpu")
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
        learning = sum(p.numel() for p in adapt(unet, "lora", 8, second_feed_forward=True).parameters() if p.requires_grad)
    assert round((86_512_384 + learning) / 1e6, 2) == 89.50
