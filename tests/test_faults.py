"""A full disk, a killed process, a flipped bit, another user: nothing wrong is used, and the next attempt works."""

import contextlib
import resource
import shutil

import numpy as np
import pytest

from dcac_lite import moments
from dcac_lite.diffusion import load_stable_diffusion
from dcac_lite.tiers import LITE


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
    with largest_file(100_000), pytest.raises(OSError, match=r"moments of \d+ images need 0.\d MB in .*did not work .*; make room or set DCAC_DATA"):
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


@pytest.mark.parametrize("damage", [lambda f: f.write_bytes(b""), lambda f: f.write_bytes(f.read_bytes()[: f.stat().st_size // 2]), lambda f: flip(f, 5000)])
def test_damaged_moments_are_built_again(build, tmp_path, damage):
    expected = np.array(build())
    (file,) = tmp_path.glob("moments/*.npy")
    damage(file)
    assert np.array_equal(build(), expected)
