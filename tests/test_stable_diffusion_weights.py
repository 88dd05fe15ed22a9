"""Stable Diffusion's weights: folders, single files and their two U-Nets, found and loaded whole."""

import numpy as np
import pytest
import torch
from official_checkpoint import ADAPTED, STRAY, UNET, VAE, betas, small_parts, unet_to_ldm, vae_tensors, vae_to_ldm
from safetensors.torch import load_file, save_file
from tiny_weights import copy_of_lite
from torch import nn

from dcac_lite.adaptation import adapt, add_stray_biases
from dcac_lite.pretrained.single_file import SD15_UNET, SD15_VAE, build_unet, build_vae, load_single_file, unet_names
from dcac_lite.pretrained.stable_diffusion import SD15, load_stable_diffusion
from dcac_lite.release.convert import _peft_name
from dcac_lite.tiers import FULL, LITE


def single_file(unet, vae, ema=None) -> dict:
    """Tensors as `v1-5-pruned.ckpt` names them; `ema`: a second U-Net."""
    state = {f"model.diffusion_model.{unet_to_ldm(n)}": t for n, t in unet.state_dict().items()}
    if ema is not None:
        state |= {"model_ema.diffusion_model" + unet_to_ldm(n).replace(".", ""): t for n, t in ema.state_dict().items()}
        state |= {"model_ema.decay": torch.tensor(0.9999), "model_ema.num_updates": torch.tensor(5)}
    state |= {f"first_stage_model.{n}": t for n, t in vae_tensors(vae).items()}
    return state | {"betas": betas(), "cond_stage_model.transformer.text_model.final_layer_norm.bias": torch.ones(3)}


def same(one: nn.Module, other: nn.Module) -> bool:
    a, b = one.state_dict(), other.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[n], b[n]) for n in a)


@pytest.fixture(scope="module")
def parts():
    from diffusers import UNet2DConditionModel

    _, unet, vae = small_parts()
    return unet, vae, UNet2DConditionModel(**UNET)


def test_single_files_hold_two_unets_and_the_option_chooses(parts, tmp_path, monkeypatch):
    unet, vae, average = parts
    state = single_file(unet, vae, average)
    # what Lightning leaves beside the tensors: a class of its own as a key, NumPy numbers
    import sys
    import types

    lightning = types.ModuleType("pytorch_lightning.callbacks.model_checkpoint")
    checkpoint = type("ModelCheckpoint", (), {"__module__": lightning.__name__})
    lightning.ModelCheckpoint = checkpoint
    for name in ("pytorch_lightning", "pytorch_lightning.callbacks", lightning.__name__):
        monkeypatch.setitem(sys.modules, name, lightning if name == lightning.__name__ else types.ModuleType(name))
    junk = {"callbacks": {checkpoint: {"best": np.float64(0.3), "made": checkpoint()}}, "epoch": 3}
    torch.save({"state_dict": state, **junk}, tmp_path / "v1-5-pruned.ckpt")
    monkeypatch.undo()
    torch.save({"state_dict": state}, tmp_path / "old-format.ckpt", _use_new_zipfile_serialization=False)
    save_file({n: t.clone() for n, t in state.items()}, tmp_path / "v1-5-pruned.safetensors")
    for name in ("v1-5-pruned.ckpt", "old-format.ckpt", "v1-5-pruned.safetensors"):
        for ema, expected in ((False, unet), (True, average)):
            loaded, autoencoder, schedule = load_single_file(tmp_path / name, ema, UNET, VAE)
            assert same(loaded, expected) and same(autoencoder, vae)
    assert torch.allclose(schedule.betas, betas(), atol=1e-7) and schedule.config.prediction_type == "epsilon"


def test_a_file_with_one_unet_is_not_taken_for_the_other(parts, tmp_path):
    unet, vae, _ = parts
    for name, holds in (("v1-5-pruned-emaonly.safetensors", True), ("tuned.safetensors", False)):
        save_file({n: t.clone() for n, t in single_file(unet, vae).items()}, tmp_path / name)
        assert same(load_single_file(tmp_path / name, holds, UNET, VAE)[0], unet)
        with pytest.raises(ValueError, match=f"ema={holds}"):
            load_single_file(tmp_path / name, not holds, UNET, VAE)


def test_every_name_of_stable_diffusion_1_5_has_its_place():
    from diffusers import AutoencoderKL, UNet2DConditionModel

    def hollow(model, rename):  # the right shapes, one number each
        return {rename(n): torch.zeros(1).expand(t.shape) for n, t in model.state_dict().items()}

    with torch.device("meta"):
        unet, vae = UNet2DConditionModel(**SD15_UNET), AutoencoderKL(**SD15_VAE)
    names, plain = hollow(unet, unet_to_ldm), set(unet.state_dict())
    # written down from CompVis' code: three inputs of a level, its downsampling, the deepest up level without attention
    for name in ("time_embed.0.weight", "input_blocks.0.0.weight", "input_blocks.3.0.op.weight",
                 "input_blocks.8.1.proj_in.weight",
                 "input_blocks.11.0.out_layers.3.bias", "middle_block.1.transformer_blocks.0.attn2.to_k.weight",
                 "output_blocks.2.1.conv.weight", "output_blocks.5.2.conv.weight", "output_blocks.8.2.conv.bias",
                 "output_blocks.11.1.transformer_blocks.0.ff.net.0.proj.weight",
                 "output_blocks.11.0.skip_connection.weight",
                 "out.2.weight"):  # fmt: skip
        assert name in names
    added = {}
    for name, tensor in unet.state_dict().items():
        if ADAPTED.match(name.removesuffix(".weight")):
            layer = unet_to_ldm(name).removesuffix(".weight")
            added[f"{layer}.lora_A"], added[f"{layer}.lora_B"] = (
                torch.zeros(8, tensor.shape[1]),
                torch.zeros(tensor.shape[0], 8),
            )
            if STRAY.match(name.removesuffix(".weight")):
                added[f"{layer}.bias"] = torch.zeros(tensor.shape[0])
    renamed = unet_names(names | added, unet.config, "x")
    expected = {name for name, _ in adapt(add_stray_biases(unet), "lora", 8).named_parameters()}
    assert {_peft_name(name) for name in renamed if name not in plain} <= expected
    assert sum(t.numel() for n, t in added.items() if "lora" in n) == 2_492_928  # Table 6, r = 8
    assert sum(t.numel() for n, t in added.items() if "bias" in n) == 74_880
    assert len(names) == 686 and sum(p.numel() for p in build_unet(names, SD15_UNET, "x").parameters()) == 859_520_964
    names = {
        n: t[:, :, None, None] if ".attn_1." in n and t.dim() == 2 else t for n, t in hollow(vae, vae_to_ldm).items()
    }
    assert (
        "encoder.down.1.block.0.nin_shortcut.weight" in names
        and "decoder.up.3.upsample.conv.weight" in names
        and "decoder.mid.attn_1.q.weight" in names
    )
    assert len(names) == 248 and sum(p.numel() for p in build_vae(names, SD15_VAE, "x").parameters()) == 83_653_863


def test_a_folder_in_the_weights_folder_is_found_and_its_non_ema_variant_chosen(weights):
    folder = copy_of_lite(weights / "stable-diffusion-v1-5")
    lite = load_stable_diffusion(LITE.stable_diffusion, 32)
    assert same(load_stable_diffusion(SD15, 32).unet, lite.unet)
    with pytest.raises(
        FileNotFoundError, match="lacks unet/diffusion_pytorch_model.non_ema.safetensors: run `hf download"
    ):
        load_stable_diffusion(SD15, 32, ema=False)
    other = {n: t + 1 for n, t in lite.unet.state_dict().items()}
    save_file(other, folder / "unet" / "diffusion_pytorch_model.non_ema.safetensors")
    assert torch.equal(load_stable_diffusion(SD15, 32, ema=False).unet.conv_out.bias, other["conv_out.bias"])
    assert same(load_stable_diffusion(SD15, 32, ema=True).unet, lite.unet)


def test_a_diffusion_model_that_is_nowhere_says_how_to_fetch_it(weights):
    with pytest.raises(
        FileNotFoundError, match=rf"hf download {SD15} unet/config.json .*non_ema.* --revision 451f4fe\w+ --local-dir"
    ) as error:
        load_stable_diffusion(FULL.stable_diffusion, 128, ema=False)
    assert "\n" not in str(error.value)
    with pytest.raises(FileNotFoundError, match="does not exist"):
        load_stable_diffusion(weights / "v1-5-pruned.ckpt", 128)


def test_a_single_file_in_the_weights_folder_is_found(weights, parts):
    save_file({n: t.clone() for n, t in single_file(*parts).items()}, weights / "v1-5-pruned.safetensors")
    with pytest.raises(ValueError, match="v1-5-pruned.safetensors .* wrong shape"):  # it is found, and it is not SD 1.5
        load_stable_diffusion(SD15, 128)


def test_older_names_of_the_vae_s_attention_are_known(tmp_path):
    folder = copy_of_lite(tmp_path / "old")
    file = folder / "vae" / "diffusion_pytorch_model.safetensors"
    renamed = {}
    for name, tensor in load_file(file).items():
        for new, old in (("to_q", "query"), ("to_k", "key"), ("to_v", "value"), ("to_out.0", "proj_attn")):
            name = name.replace(f"attentions.0.{new}.", f"attentions.0.{old}.")
        renamed[name] = tensor
    assert any("proj_attn" in name for name in renamed)
    save_file(renamed, file)
    assert same(load_stable_diffusion(folder, 32).vae, load_stable_diffusion(LITE.stable_diffusion, 32).vae)
