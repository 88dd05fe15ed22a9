"""A full disk, a killed process, a flipped bit, another user: nothing wrong is used, and the next attempt works."""

import contextlib
import os
import random
import re
import resource
import shutil
import signal
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from dcac_lite import Experiment, paths, run, training
from dcac_lite.checkpoints import Checkpoints
from dcac_lite.data import moments
from dcac_lite.paths import replacing
from dcac_lite.pretrained.stable_diffusion import load_stable_diffusion
from dcac_lite.runs import Run
from dcac_lite.tiers import LITE

BASELINE = Experiment(tier="smoke", sources="MA", conditioning="none", epochs=1)


@contextlib.contextmanager
def largest_file(size):
    """No file may become larger than `size` bytes, as on a disk that fills up."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def flip(file, at, bit=0):
    content = bytearray(file.read_bytes())
    content[at] ^= 1 << bit
    file.write_bytes(content)


# ---------------------------------------------------------------- the VAE's moments


@pytest.fixture
def build(smoke_data, tmp_path, monkeypatch):
    """Builds or finds the moments of the smoke data in an empty data folder, in chunks of 64 images."""
    monkeypatch.setenv("DCAC_DATA", str(tmp_path))
    monkeypatch.setattr(moments, "CHUNK", 64)
    parts = load_stable_diffusion(LITE.stable_diffusion, LITE.diffusion_size)
    return lambda: moments.cached_moments(parts, smoke_data)


def test_moments_on_a_disk_that_fills_up(build, tmp_path):
    said = r"moments of \d+ images need 0.\d MB in .*did not work .*; make room or set DCAC_DATA"
    with largest_file(100_000), pytest.raises(OSError, match=said):
        build()
    assert not list(tmp_path.rglob("*.npy"))
    resumed = np.array(build())
    shutil.rmtree(tmp_path / "moments")
    assert np.array_equal(resumed, build())


def test_moments_ask_for_room_before_the_work(build, tmp_path, monkeypatch):
    monkeypatch.setattr(moments.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 9_000}))
    monkeypatch.setattr(moments, "vae_moments", None)
    with pytest.raises(OSError, match="9.0 kB are free"):
        build()


@pytest.mark.parametrize("left", [b"", b"\x93NUMPY", b"garbage" * 9000])
def test_an_unreadable_beginning_of_the_moments_is_started_over(build, tmp_path, left):
    expected = np.array(build())
    (file,) = tmp_path.glob("moments/*.npy")
    file.unlink()
    file.with_suffix(".part").write_bytes(left)
    file.with_suffix(".json").write_bytes(b"")  # the note that earlier versions kept
    assert np.array_equal(build(), expected)


@pytest.mark.parametrize(
    "damage", [lambda f: f.write_bytes(b""), lambda f: os.truncate(f, f.stat().st_size // 2), lambda f: flip(f, 5000)]
)
def test_damaged_moments_are_built_again(build, tmp_path, damage):
    expected = np.array(build())
    (file,) = tmp_path.glob("moments/*.npy")
    damage(file)
    assert np.array_equal(build(), expected)


# ---------------------------------------------------------------- runs


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished run with a history and one measured target. Read only; copy what a test changes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DCAC_RUNS", str(tmp_path_factory.mktemp("runs")))
        result = run(BASELINE, progress=False)
    result.evaluate("D")
    return result.folder


@pytest.fixture
def own(finished, tmp_path):
    return Path(shutil.copytree(finished, tmp_path / "run"))


def test_one_flipped_bit_in_a_checkpoint_is_noticed(tmp_path):
    state = {"step": 7, "model": {"a": torch.randn(30, 40), "b": torch.randn(900)}, "history": [{"total": 0.25}]}
    Checkpoints(tmp_path).write(state)
    (file,) = tmp_path.glob("checkpoint-*.pt")
    whole, refused = file.read_bytes(), 0
    rng = random.Random(0)
    for _ in range(300):
        flip(file, rng.randrange(len(whole)), rng.randrange(8))
        try:
            found = Checkpoints(tmp_path).newest()
        except ValueError as error:
            assert f"{file} is damaged" in str(error) and "delete it to resume from the checkpoint before it" in str(
                error
            )
            refused += 1
        else:  # it hit what holds nothing
            assert found["history"] == state["history"]
            assert all(torch.equal(tensor, state["model"][name]) for name, tensor in found["model"].items())
        file.write_bytes(whole)
    assert refused > 200 and Checkpoints(tmp_path).newest()["step"] == 7


def test_one_flipped_bit_in_trained_weights_is_noticed(own):
    Run(own).reid()
    flip(own / "model.safetensors", -1)
    with pytest.raises(ValueError, match="model.safetensors is damaged: its tensors do not have the checksum"):
        Run(own).reid()


@pytest.mark.parametrize("name", ["config.json", "history.csv", "provenance.json"])
@pytest.mark.parametrize(
    "damage",
    [
        lambda text: "",
        lambda text: text[: len(text) // 2],
        lambda text: text.replace("1", "2", 1),
        lambda text: "\n".join(text.splitlines()[:4]),
    ],
)
def test_changed_records_are_not_used(own, name, damage):
    (own / name).write_text(damage((own / name).read_text()))
    with pytest.raises(ValueError, match=f"{name} is not as it was when the run was finished; delete the folder"):
        (Run(own).history, Run(own).provenance)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"experiment": 3}', '{"experiment": {"sources": ["MA"], "depth": 3}}']
)
def test_an_unfinished_run_s_broken_description_is_named(own, text):
    (own / "complete").unlink()
    (own / "config.json").write_text(text)
    with pytest.raises(ValueError, match="config.json (is no JSON|holds list|describes no experiment)"):
        Run(own)


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: "",
        lambda text: text[:40],
        lambda text: "[]",
        lambda text: '{"D": 5}',
        lambda text: re.sub(r'("mAP": )\d', r"\g<1>9", text),
    ],
)
def test_damaged_metrics_are_measured_again(own, damage):
    file = own / "metrics.json"
    expected, text = Run(own).evaluate("D"), file.read_text()
    file.write_text(damage(text))
    assert file.read_text() != text and Run(own).evaluate("D").equals(expected) and file.read_text() == text


def test_metrics_that_are_right_are_kept(own, monkeypatch):
    Run(own).evaluate("C3")
    monkeypatch.setattr(Run, "reid", None)  # nothing is measured again
    assert Run(own).evaluate("D", "C3")["target"].tolist() == ["D", "C3"]


def test_others_may_read_what_is_written_as_the_umask_says(own):
    modes = {
        p.name: stat.S_IMODE(p.stat().st_mode) for p in own.iterdir() if p.suffix in (".json", ".csv", ".safetensors")
    }
    umask = os.umask(0)
    os.umask(umask)
    assert len(modes) == 6 and set(modes.values()) == {0o666 & ~umask}, modes


def test_what_a_killed_training_left_is_removed(tmp_path, monkeypatch):
    monkeypatch.setenv("DCAC_RUNS", str(tmp_path))
    code = """
import os, signal, torch
from dcac_lite import Experiment, run
torch.save = lambda state, path: [path.write_bytes(bytes(1000)), os.kill(os.getpid(), signal.SIGKILL)]
run(Experiment(tier="smoke", sources="MA", conditioning="none", epochs=1, seed=2), progress=False)
"""
    assert subprocess.run([sys.executable, "-c", code]).returncode == -signal.SIGKILL
    assert list(tmp_path.rglob(".*.part*"))
    assert run(replace(BASELINE, seed=2), progress=False).folder.is_relative_to(tmp_path)
    assert not list(tmp_path.rglob(".*.part*"))


def test_old_leftovers_of_a_file_go_when_it_is_written_again(tmp_path):
    names = {name: tmp_path / f".table.{name}.part.csv" for name in ("old", "of-another-process")}
    for path in names.values():
        path.write_text("half")
    os.utime(names["old"], (0, 0))
    with replacing(tmp_path / "table.csv") as temporary:
        temporary.write_text("whole")
    assert sorted(p.name for p in tmp_path.iterdir()) == [names["of-another-process"].name, "table.csv"]


@pytest.mark.parametrize(
    "write",
    [
        lambda path: path.write_bytes(bytes(300_000)),
        lambda path: torch.save(torch.zeros(90_000), path),
        lambda path: save_file({"a": torch.zeros(90_000)}, path),
    ],
)
def test_a_full_disk_is_a_sentence_whoever_writes(tmp_path, monkeypatch, write):
    monkeypatch.setattr(paths.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 0}))
    (tmp_path / "kept").write_text("before")
    with (
        largest_file(100_000),
        pytest.raises(OSError, match="the disk is full; make room and run again. Not written: .*kept"),
    ):
        with replacing(tmp_path / "kept") as temporary:
            write(temporary)
    assert [p.name for p in tmp_path.iterdir()] == ["kept"] and (tmp_path / "kept").read_text() == "before"


@pytest.mark.parametrize("every", [0, -3])
def test_checkpoints_every_no_steps_are_refused(smoke_data, tmp_path, every):
    with pytest.raises(ValueError, match=f"checkpoint_every is {every}; expected at least 1 step"):
        training.train(BASELINE.resolved(), smoke_data, tmp_path, checkpoint_every=every)
