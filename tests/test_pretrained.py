"""Real weights: where they are looked for, what their files may look like, and what is refused."""

import json
import os
import pickle
import shutil
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from official_checkpoint import ADAPTED, STRAY, UNET, VAE, betas, small_parts, unet_to_ldm, vae_tensors, vae_to_ldm
from safetensors.torch import load_file, save_file
from torch import nn

from dcac_lite.adaptation import adapt, add_stray_biases
from dcac_lite.convert import _peft_name
from dcac_lite.diffusion import SD15, load_stable_diffusion
from dcac_lite.encoder import build_visual, load_clip, load_clip_visual, resize_positions, visual_architecture
from dcac_lite.single_file import SD15_UNET, SD15_VAE, build_unet, build_vae, load_single_file, unet_names
from dcac_lite.tensor_files import read_tensors, write_tensors
from dcac_lite.tiers import FULL, LITE

TINY = {
    "embed_dim": 16, "quick_gelu": True,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 64, "patch_size": 8},
    "text_cfg": {"context_length": 8, "vocab_size": 20, "width": 32, "heads": 2, "layers": 1},
}  # fmt: skip
SIZE = (64, 32)  # a grid of 8 x 4 where the tiny CLIP was trained with 4 x 4


class RunsCode:
    """An object whose unpickling makes a folder: the proof that a pickle was executed."""

    def __init__(self, marker: Path):
        self.marker = str(marker)

    def __reduce__(self):
        return os.mkdir, (self.marker,)


@pytest.fixture
def weights(tmp_path, monkeypatch):
    """An empty weights folder, an empty hub cache, no network, and a small CLIP in open_clip's registry."""
    import huggingface_hub

    monkeypatch.setenv("DCAC_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    known, registered = open_clip.get_model_config, open_clip.get_pretrained_cfg
    entry = {"url": "https://example.org/Tiny.pt", "hf_hub": "owner/tiny.openai/", "quick_gelu": True}
    monkeypatch.setattr(open_clip, "get_model_config", lambda name: {**TINY} if name == "Tiny" else known(name))
    monkeypatch.setattr(open_clip, "get_pretrained_cfg", lambda name, tag: entry if (name, tag) == ("Tiny", "openai") else registered(name, tag))
    (tmp_path / "weights").mkdir()
    return tmp_path / "weights"


@pytest.fixture(scope="module")
def clip():
    torch.manual_seed(0)
    return open_clip.CLIP(**TINY).eval()


def resized_by_hand(positions: np.ndarray, height: int, width: int) -> np.ndarray:
    """Bilinear with half-pixel centres, edges repeated, no smoothing: one position at a time."""
    side = round((len(positions) - 1) ** 0.5)
    grid, rows = positions[1:].reshape(side, side, -1), [positions[0]]
    for y in range(height):
        for x in range(width):
            v, u = (max((k + 0.5) * side / n - 0.5, 0) for k, n in ((y, height), (x, width)))
            top, left = int(v), int(u)
            below, right = min(top + 1, side - 1), min(left + 1, side - 1)
            a, b = v - top, u - left
            rows.append((1 - a) * ((1 - b) * grid[top, left] + b * grid[top, right]) + a * ((1 - b) * grid[below, left] + b * grid[below, right]))
    return np.stack(rows)


# ---------------------------------------------------------------- CLIP


def test_lite_weights_load_bit_by_bit():
    stored, loaded = load_file(f"{LITE.clip}/open_clip_model.safetensors"), load_clip(LITE.clip, LITE.image_size).state_dict()
    assert stored.keys() == loaded.keys() and all(torch.equal(stored[n], loaded[n]) for n in stored)
    for part, model in (("unet", (parts := load_stable_diffusion(LITE.stable_diffusion, 32)).unet), ("vae", parts.vae)):
        stored = load_file(f"{LITE.stable_diffusion}/{part}/diffusion_pytorch_model.safetensors")
        assert stored.keys() == model.state_dict().keys() and all(torch.equal(t, stored[n]) for n, t in model.state_dict().items())


def test_positions_are_resized_as_the_official_code_does():
    positions = torch.randn(1 + 14 * 14, 5)
    resized = resize_positions(positions, (16, 8))
    assert np.allclose(resized.numpy(), resized_by_hand(positions.double().numpy(), 16, 8), atol=1e-5)
    assert torch.equal(resize_positions(positions, (14, 14)), positions)


def torchscript(state: dict, path: Path) -> None:
    """An archive as OpenAI publishes: TorchScript, half precision, three numbers beside the tensors."""
    root = nn.Module()
    numbers = {"input_resolution": torch.tensor(32), "context_length": torch.tensor(8), "vocab_size": torch.tensor(20)}
    for name, tensor in (state | numbers).items():
        module, (*folders, last) = root, name.split(".")
        for folder in folders:
            if folder not in dict(module.named_children()):
                module.add_module(folder, nn.Module())
            module = getattr(module, folder)
        module.register_buffer(last, tensor.half() if tensor.is_floating_point() and tensor.dim() else tensor)
    torch.jit.script(root).save(str(path))


@torch.no_grad()
@pytest.mark.parametrize("kind", ["openai's own file", "hub folder", "hub cache"])
def test_a_named_clip_is_found_and_computes_the_same(weights, clip, kind):
    if kind == "openai's own file":
        torchscript(clip.state_dict(), weights / "Tiny.pt")
    else:
        folder = weights / "tiny.openai"
        if kind == "hub cache":
            folder = weights.parent / "cache" / "models--owner--tiny.openai" / "snapshots" / ("0" * 40)
            (refs := folder.parents[1] / "refs").mkdir(parents=True)
            (refs / "main").write_text("0" * 40)
        folder.mkdir(parents=True)
        save_file(clip.state_dict(), folder / "open_clip_model.safetensors")
    loaded = load_clip("Tiny:openai", (32, 32)).eval()
    image = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    assert torch.allclose(loaded.encode_image(image), clip.encode_image(image), atol=0.02 if kind == "openai's own file" else 1e-6)
    wide = load_clip_visual("Tiny:openai", SIZE)
    expected = resized_by_hand(clip.visual.positional_embedding.double().numpy(), 8, 4)
    assert np.allclose(wide.positional_embedding.numpy(), expected, atol=1e-3) and wide(torch.randn(1, 3, *SIZE)).shape == (1, 16)


def test_a_clip_that_is_nowhere_says_how_to_fetch_it(weights):
    with pytest.raises(FileNotFoundError, match="hf download timm/vit_base_patch16_clip_224.openai open_clip_model.safetensors --local-dir") as error:
        load_clip(FULL.clip, FULL.image_size)
    assert "DCAC_WEIGHTS" in str(error.value) and "\n" not in str(error.value)
    for name, said in (("ViT-B-16:openai", "use ViT-B-16-quickgelu:openai"), ("ViT-B-16-quickgelu:opnai", "tags of ViT-B-16-quickgelu: openai"),
                       ("nowhere/clip", "neither a folder nor")):  # fmt: skip
        with pytest.raises(ValueError, match=said):
            load_clip(name, SIZE)


def test_the_image_tower_can_be_built_from_its_sizes():
    visual = load_clip_visual(LITE.clip, LITE.image_size).eval()
    twin = build_visual(visual_architecture(visual)).eval()
    twin.load_state_dict(visual.state_dict())
    x = torch.randn(2, 3, *LITE.image_size)
    assert torch.equal(twin(x), visual(x))
    with torch.device("meta"):  # ViT-B/16 of Table 6
        sizes = {"image_size": [256, 128], "patch_size": 16, "width": 768, "layers": 12, "heads": 12, "output_dim": 512, "quick_gelu": True}
        assert sum(p.numel() for p in build_visual(sizes).parameters()) == 86_140_416


# ---------------------------------------------------------------- Stable Diffusion


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
    for name in ("time_embed.0.weight", "input_blocks.0.0.weight", "input_blocks.3.0.op.weight", "input_blocks.8.1.proj_in.weight",
                 "input_blocks.11.0.out_layers.3.bias", "middle_block.1.transformer_blocks.0.attn2.to_k.weight",
                 "output_blocks.2.1.conv.weight", "output_blocks.5.2.conv.weight", "output_blocks.8.2.conv.bias",
                 "output_blocks.11.1.transformer_blocks.0.ff.net.0.proj.weight", "output_blocks.11.0.skip_connection.weight",
                 "out.2.weight"):  # fmt: skip
        assert name in names
    added = {}
    for name, tensor in unet.state_dict().items():
        if ADAPTED.match(name.removesuffix(".weight")):
            layer = unet_to_ldm(name).removesuffix(".weight")
            added[f"{layer}.lora_A"], added[f"{layer}.lora_B"] = torch.zeros(8, tensor.shape[1]), torch.zeros(tensor.shape[0], 8)
            if STRAY.match(name.removesuffix(".weight")):
                added[f"{layer}.bias"] = torch.zeros(tensor.shape[0])
    renamed = unet_names(names | added, unet.config, "x")
    expected = {name for name, _ in adapt(add_stray_biases(unet), "lora", 8).named_parameters()}
    assert {_peft_name(name) for name in renamed if name not in plain} <= expected
    assert sum(t.numel() for n, t in added.items() if "lora" in n) == 2_492_928  # Table 6, r = 8
    assert sum(t.numel() for n, t in added.items() if "bias" in n) == 74_880
    assert len(names) == 686 and sum(p.numel() for p in build_unet(names, SD15_UNET, "x").parameters()) == 859_520_964
    names = {n: t[:, :, None, None] if ".attn_1." in n and t.dim() == 2 else t for n, t in hollow(vae, vae_to_ldm).items()}
    assert "encoder.down.1.block.0.nin_shortcut.weight" in names and "decoder.up.3.upsample.conv.weight" in names and "decoder.mid.attn_1.q.weight" in names
    assert len(names) == 248 and sum(p.numel() for p in build_vae(names, SD15_VAE, "x").parameters()) == 83_653_863


def copy_of_lite(folder: Path) -> Path:
    for part in ("unet", "vae", "scheduler"):
        shutil.copytree(f"{LITE.stable_diffusion}/{part}", folder / part)
    return folder


def test_a_folder_in_the_weights_folder_is_found_and_its_non_ema_variant_chosen(weights):
    folder = copy_of_lite(weights / "stable-diffusion-v1-5")
    lite = load_stable_diffusion(LITE.stable_diffusion, 32)
    assert same(load_stable_diffusion(SD15, 32).unet, lite.unet)
    with pytest.raises(FileNotFoundError, match="lacks unet/diffusion_pytorch_model.non_ema.safetensors: run `hf download"):
        load_stable_diffusion(SD15, 32, ema=False)
    other = {n: t + 1 for n, t in lite.unet.state_dict().items()}
    save_file(other, folder / "unet" / "diffusion_pytorch_model.non_ema.safetensors")
    assert torch.equal(load_stable_diffusion(SD15, 32, ema=False).unet.conv_out.bias, other["conv_out.bias"])
    assert same(load_stable_diffusion(SD15, 32, ema=True).unet, lite.unet)


def test_a_diffusion_model_that_is_nowhere_says_how_to_fetch_it(weights):
    with pytest.raises(FileNotFoundError, match=rf"hf download {SD15} unet/config.json .*non_ema.* --revision 451f4fe\w+ --local-dir") as error:
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


# ---------------------------------------------------------------- what is refused


def rewrite(change):
    """Change the tensors of a .safetensors file."""

    def apply(file: Path):
        state = load_file(file)
        change(state)
        save_file(state, file)

    return apply


def flip(place):
    def apply(file: Path):
        content = bytearray(file.read_bytes())
        content[place] ^= 0xFF
        file.write_bytes(content)

    return apply


def cut(keep):
    return lambda file: file.write_bytes(file.read_bytes()[: int(keep * file.stat().st_size)])


def first(state):
    return sorted(name for name in state if state[name].dim() and state[name].is_floating_point())[0]


BROKEN_TENSORS = {
    "truncated": (cut(0.7), "damaged"),
    "truncated in the header": (cut(0.001), "damaged"),
    "empty": (cut(0), "damaged"),
    "header length flipped": (flip(3), "damaged"),
    "header flipped": (flip(8), "damaged"),
    "a tensor missing": (rewrite(lambda s: s.pop(first(s))), "missing"),
    "many tensors missing": (rewrite(lambda s: [s.pop(n) for n in list(s)[10:]]), r"missing .* and \d+ more"),
    "a tensor too many": (rewrite(lambda s: s.update(stranger=torch.ones(2))), "unexpected stranger"),
    "a tensor renamed": (rewrite(lambda s: s.update(renamed=s.pop(first(s)))), "missing .*; unexpected renamed"),
    "a wrong shape": (rewrite(lambda s: s.update({first(s): s[first(s)][None]})), "wrong shape"),
    "a transposed tensor": (rewrite(lambda s: s.update({n: t.transpose(0, 1).contiguous() for n, t in s.items() if t.dim() > 1})), "wrong shape"),
    "integers": (rewrite(lambda s: s.update({first(s): s[first(s)].int()})), "wrong type: .*int32"),
    "NaN": (rewrite(lambda s: s[first(s)].view(-1)[-1:].fill_(torch.nan)), "NaN or infinity in"),
    "infinity": (rewrite(lambda s: s[first(s)].fill_(torch.inf)), "NaN or infinity in"),
    "a pickle called safetensors": (lambda file: file.write_bytes(pickle.dumps({"a": 1})), "damaged"),
}  # fmt: skip


@pytest.mark.parametrize("what", BROKEN_TENSORS)
@pytest.mark.parametrize("model", ["clip", "unet", "vae"])
def test_broken_tensors_are_refused_by_name(tmp_path, model, what):
    spoil, said = BROKEN_TENSORS[what]
    if model == "clip":
        folder = tmp_path / "clip"
        shutil.copytree(LITE.clip, folder)
        file, load = folder / "open_clip_model.safetensors", lambda: load_clip(folder, LITE.image_size)
    else:
        folder = copy_of_lite(tmp_path / "sd")
        file, load = folder / model / "diffusion_pytorch_model.safetensors", lambda: load_stable_diffusion(folder, 32)
    spoil(file)
    with pytest.raises(ValueError, match=said) as error:
        load()
    assert str(file) in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("change", [
    lambda text: text[: len(text) // 2], lambda text: "[]", lambda text: "", lambda text: text.replace("96", '"wide"'),
    lambda text: text.replace("vision_cfg", "vision"), lambda text: text.replace("quick_gelu", "quicker_gelu"), lambda text: text.replace("48", "0"),
])  # fmt: skip
def test_a_broken_clip_config_is_refused(tmp_path, change):
    shutil.copytree(LITE.clip, tmp_path / "clip")
    file = tmp_path / "clip" / "open_clip_config.json"
    file.write_text(change(file.read_text()))
    with pytest.raises(ValueError, match="open_clip_config.json"):
        load_clip(tmp_path / "clip", LITE.image_size)


@pytest.mark.parametrize("part, change", [
    ("unet", lambda c: c.update(block_out_channels=[32, 33])), ("unet", lambda c: c.update(cross_attention_dim="wide")),
    ("unet", lambda c: c.update(down_block_types=["NoSuchBlock"])), ("unet", lambda c: c.clear()), ("vae", lambda c: c.update(latent_channels=5)),
    ("vae", lambda c: c.update(block_out_channels=[])), ("scheduler", lambda c: c.update(prediction_type="v_prediction")),
    ("scheduler", lambda c: c.update(beta_schedule="steep")), ("scheduler", lambda c: c.update(num_train_timesteps="many")),
])  # fmt: skip
def test_a_broken_diffusion_config_is_refused(tmp_path, part, change):
    folder = copy_of_lite(tmp_path / "sd")
    file = folder / part / ("scheduler_config.json" if part == "scheduler" else "config.json")
    config = json.loads(file.read_text())
    change(config)
    file.write_text(json.dumps(config))
    with pytest.raises(ValueError, match=str(folder)):
        load_stable_diffusion(folder, 32)


@pytest.mark.parametrize("content", ["{", "[1]", ""])
@pytest.mark.parametrize("part", ["unet/config.json", "vae/config.json", "scheduler/scheduler_config.json"])
def test_a_config_that_is_no_json_is_refused(tmp_path, part, content):
    folder = copy_of_lite(tmp_path / "sd")
    (folder / part).write_text(content)
    with pytest.raises(ValueError, match=part):
        load_stable_diffusion(folder, 32)
    (folder / part).unlink()
    with pytest.raises(FileNotFoundError, match=part):
        load_stable_diffusion(folder, 32)


@pytest.mark.parametrize("wrap", ["tensor's place", "beside the tensors", "the whole file", "old format", "bare pickle"])
def test_code_in_a_file_is_refused_and_not_run(weights, tmp_path, wrap):
    marker = tmp_path / "executed"
    evil = RunsCode(marker)
    whole = {"tensor's place": {"state_dict": {"a": evil}}, "beside the tensors": {"state_dict": {"a": torch.ones(1)}, "callbacks": evil}}
    for file in (weights / "Tiny.pt", tmp_path / "v1-5-pruned.ckpt", tmp_path / "source_ma.pth"):
        if wrap == "bare pickle":
            file.write_bytes(pickle.dumps(evil, protocol=2))
        else:
            torch.save(whole.get(wrap, evil), file, _use_new_zipfile_serialization=wrap != "old format")
    from dcac_lite.convert import convert

    for load in (lambda: load_clip("Tiny:openai", SIZE), lambda: load_stable_diffusion(tmp_path / "v1-5-pruned.ckpt", 32),
                 lambda: convert(tmp_path / "source_ma.pth", tmp_path / "out")):  # fmt: skip
        with pytest.raises(ValueError, match="refused and nothing in it was run.*mkdir") as error:
            load()
        assert "\n" not in str(error.value)
    assert not marker.exists() and not (tmp_path / "out").exists()


@pytest.mark.parametrize("spoil, said", [
    (cut(0.5), "damaged"), (cut(0), "damaged"), (flip(-80), "damaged"), (flip(2000), "checksum|damaged"), (flip(20000), "checksum of"),
    (lambda f: torch.save([1, 2], f), "list instead of named tensors"), (lambda f: torch.save({}, f), "instead of named tensors"),
    (lambda f: torch.save({"a": torch.ones(1), "b": "text"}, f), "holds b, which is no tensor"), (lambda f: f.unlink(), "does not exist"),
    (lambda f: f.write_text("<html>"), "damaged"), (lambda f: f.write_bytes(pickle.dumps({"a": 1}, protocol=4)), "damaged"),
])  # fmt: skip
def test_broken_pytorch_files_are_refused(tmp_path, spoil, said):
    file = tmp_path / "v1-5-pruned.ckpt"
    torch.save({"state_dict": {"w": torch.randn(100, 100), "b": torch.randn(3)}}, file)
    spoil(file)
    with pytest.raises((ValueError, FileNotFoundError), match=said) as error:
        read_tensors(file)
    assert str(file) in str(error.value) and "\n" not in str(error.value)


def test_one_flipped_bit_of_a_file_written_here_is_noticed(tmp_path):
    write_tensors({"w": torch.randn(4, 4).t(), "n": torch.tensor(3)}, tmp_path / "a.safetensors")
    assert read_tensors(tmp_path / "a.safetensors")["w"].shape == (4, 4)
    flip(-1)(tmp_path / "a.safetensors")
    with pytest.raises(ValueError, match="checksum"):
        read_tensors(tmp_path / "a.safetensors")
