"""Lean layers compute what the libraries' own do, forward and backward."""

import copy

import pytest
import torch
import torch.nn.functional as F
from plain_vit import awaken

from dcac_lite import ReIDModel, adapt
from dcac_lite.adaptation import add_stray_biases
from dcac_lite.lean import Lean, attention, plain
from dcac_lite.lean_unet import FoldedLinear, lean_unet
from dcac_lite.pretrained.clip import load_clip_visual
from dcac_lite.pretrained.stable_diffusion import load_stable_diffusion
from dcac_lite.tiers import LITE


def gradients(model, output):
    """Of a fixed random number of what `output` gives, by parameter and with the output itself."""
    model.zero_grad()
    out = output()
    (out.float() * torch.linspace(-1, 1, out.numel()).view(out.shape)).sum().backward()
    return {"": out.detach().float()} | {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}


def compare(lean, output, tolerance):
    """`output(model)` and its gradients, lean against plain."""
    usual = plain(copy.deepcopy(lean))
    assert any(isinstance(m, Lean) for m in lean.modules()) and not any(isinstance(m, Lean) for m in usual.modules())
    assert lean.state_dict().keys() == usual.state_dict().keys()
    ours, theirs = (gradients(model, lambda model=model: output(model)) for model in (lean, usual))
    assert ours.keys() == theirs.keys()
    for name, expected in theirs.items():
        if not name.endswith("in_proj_bias"):  # a third of it, the keys', is rounding alone
            assert (ours[name] - expected).norm() <= tolerance * expected.norm(), name


@pytest.mark.parametrize("training", [True, False])
def test_encoder(training):
    torch.manual_seed(0)
    reid, x = ReIDModel(load_clip_visual(LITE.clip, LITE.image_size), 5), torch.randn(4, 3, *LITE.image_size)
    compare(reid.train(training).visual, lambda visual: visual(x), 1e-4)


@pytest.mark.parametrize("mode", ["lora", "full", "frozen", "stray biases"])
def test_unet(mode):
    torch.manual_seed(0)
    unet = load_stable_diffusion(LITE.stable_diffusion, LITE.diffusion_size).unet
    if mode == "stray biases":
        unet, mode = add_stray_biases(unet), "lora"
    unet = lean_unet(adapt(unet, mode))
    awaken(ReIDModel(load_clip_visual(LITE.clip, LITE.image_size), 5), unet)
    x, timesteps, context = (
        torch.randn(4, 4, 8, 8),
        torch.randint(1000, (4,)),
        torch.randn(4, 3, 64, requires_grad=True),
    )
    compare(unet, lambda unet: unet(x, timesteps, encoder_hidden_states=context).sample, 1e-4)


def test_attention_in_bfloat16():
    torch.manual_seed(0)
    exact = torch.randn(3, 2, 3, 5, 8, requires_grad=True)  # q, k, v of 2 images with 3 heads, 5 tokens
    low = exact.detach().bfloat16().requires_grad_()
    outs = F.scaled_dot_product_attention(*exact), attention(*low)
    weights = torch.randn(2, 3, 5, 8)
    for out in outs:
        (out * weights).sum().backward()
    assert outs[1].dtype == torch.bfloat16
    assert (outs[1].float() - outs[0]).norm() < 0.01 * outs[0].norm()
    assert (low.grad.float() - exact.grad).norm() < 0.02 * exact.grad.norm()


def test_layers_of_stable_diffusions_size_stay_as_they_are():
    from diffusers import UNet2DConditionModel

    from dcac_lite.pretrained.single_file import SD15_UNET

    with torch.device("meta"):
        unet = lean_unet(adapt(UNet2DConditionModel(**SD15_UNET), "lora"))
    assert not any(isinstance(m, Lean) for m in unet.modules())


def test_an_adapter_is_not_lost_in_a_frozen_weight_of_low_precision():
    torch.manual_seed(0)
    unet = lean_unet(adapt(load_stable_diffusion(LITE.stable_diffusion, LITE.diffusion_size).unet, "lora"))
    layer = next(m for m in unet.modules() if isinstance(m, FoldedLinear))
    torch.nn.init.constant_(layer.lora_B["default"].weight, 1e-6)
    with torch.autocast("cpu", torch.bfloat16):
        assert layer.folded().dtype == torch.float32 and not torch.equal(layer.folded(), layer.base_layer.weight)
