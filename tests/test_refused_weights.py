"""Weight files that are refused: damaged ones, ones that do not fit, and ones that hold code."""

import json
import os
import pickle
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_weights import SIZE, copy_of_lite

from dcac_lite.pretrained.clip import load_clip
from dcac_lite.pretrained.files import read_tensors, write_tensors
from dcac_lite.pretrained.stable_diffusion import load_stable_diffusion
from dcac_lite.tiers import LITE


class RunsCode:
    """An object whose unpickling makes a folder: the proof that a pickle was executed."""

    def __init__(self, marker: Path):
        self.marker = str(marker)

    def __reduce__(self):
        return os.mkdir, (self.marker,)


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
    "a transposed tensor": (
        rewrite(lambda s: s.update({n: t.transpose(0, 1).contiguous() for n, t in s.items() if t.dim() > 1})),
        "wrong shape",
    ),
    "integers": (rewrite(lambda s: s.update({first(s): s[first(s)].int()})), "wrong type: .*int32"),
    "NaN": (rewrite(lambda s: s[first(s)].view(-1)[-1:].fill_(torch.nan)), "NaN or infinity in"),
    "infinity": (rewrite(lambda s: s[first(s)].fill_(torch.inf)), "NaN or infinity in"),
    "a pickle called safetensors": (lambda file: file.write_bytes(pickle.dumps({"a": 1})), "damaged"),
}


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


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text[: len(text) // 2],
        lambda text: "[]",
        lambda text: "",
        lambda text: text.replace("128", '"wide"'),
        lambda text: text.replace("vision_cfg", "vision"),
        lambda text: text.replace("quick_gelu", "quicker_gelu"),
        lambda text: text.replace('"head_width": 32', '"head_width": 0'),
    ],
)
def test_a_broken_clip_config_is_refused(tmp_path, change):
    shutil.copytree(LITE.clip, tmp_path / "clip")
    file = tmp_path / "clip" / "open_clip_config.json"
    file.write_text(change(file.read_text()))
    with pytest.raises(ValueError, match="open_clip_config.json"):
        load_clip(tmp_path / "clip", LITE.image_size)


@pytest.mark.parametrize("part, change", [
    ("unet", lambda c: c.update(block_out_channels=[32, 33])), ("unet", lambda c: c.update(cross_attention_dim="wide")),
    ("unet", lambda c: c.update(down_block_types=["NoSuchBlock"])), ("unet", lambda c: c.clear()),
    ("vae", lambda c: c.update(latent_channels=5)),
    ("vae", lambda c: c.update(block_out_channels=[])),
    ("scheduler", lambda c: c.update(prediction_type="v_prediction")),
    ("scheduler", lambda c: c.update(beta_schedule="steep")),
    ("scheduler", lambda c: c.update(num_train_timesteps="many")),
    ("scheduler", lambda c: c.clear()), ("scheduler", lambda c: c.update(beta_end=float("nan"))),
    ("scheduler", lambda c: c.update(num_train_timesteps=10)),
    *(("vae", lambda c, s=s: c.update(scaling_factor=s))
      for s in (0, -1.0, float("nan"), float("inf"), "big", True, None)),
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


@pytest.mark.parametrize(
    "wrap", ["tensor's place", "beside the tensors", "the whole file", "old format", "bare pickle"]
)
def test_code_in_a_file_is_refused_and_not_run(weights, tmp_path, wrap):
    marker = tmp_path / "executed"
    evil = RunsCode(marker)
    whole = {
        "tensor's place": {"state_dict": {"a": evil}},
        "beside the tensors": {"state_dict": {"a": torch.ones(1)}, "callbacks": evil},
    }
    for file in (weights / "Tiny.pt", tmp_path / "v1-5-pruned.ckpt", tmp_path / "source_ma.pth"):
        if wrap == "bare pickle":
            file.write_bytes(pickle.dumps(evil, protocol=2))
        else:
            torch.save(whole.get(wrap, evil), file, _use_new_zipfile_serialization=wrap != "old format")
    from dcac_lite.release.convert import convert

    for load in (
        lambda: load_clip("Tiny:openai", SIZE),
        lambda: load_stable_diffusion(tmp_path / "v1-5-pruned.ckpt", 32),
        lambda: convert(tmp_path / "source_ma.pth", tmp_path / "out"),
    ):
        with pytest.raises(ValueError, match="refused and nothing in it was run.*mkdir") as error:
            load()
        assert "\n" not in str(error.value)
    assert not marker.exists() and not (tmp_path / "out").exists()


@pytest.mark.parametrize("spoil, said", [
    (cut(0.5), "damaged"), (cut(0), "damaged"), (flip(-80), "damaged"), (flip(2000), "checksum|damaged"),
    (flip(20000), "checksum of"),
    (lambda f: torch.save([1, 2], f), "list instead of named tensors"),
    (lambda f: torch.save({}, f), "instead of named tensors"),
    (lambda f: torch.save({"a": torch.ones(1), "b": "text"}, f), "holds b, which is no tensor"),
    (lambda f: f.unlink(), "does not exist"),
    (lambda f: f.write_text("<html>"), "damaged"), (lambda f: f.write_bytes(pickle.dumps({"a": 1}, protocol=4)),
                                                    "damaged"),
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
