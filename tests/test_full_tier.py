"""The full tier without its data and weights: rehearsed whole, refused with instructions, resumed, measured."""

import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from stops import stops

from dcac_lite import Experiment, checkpoints, training
from dcac_lite.__main__ import main
from dcac_lite.book.notebook import start
from dcac_lite.data import moments
from dcac_lite.diffusion import vae_moments
from dcac_lite.pretrained.stable_diffusion import load_stable_diffusion
from dcac_lite.tiers import LITE
from dcac_lite.tools.reproduce import NOTEBOOKS, execute
from dcac_lite.trainer import Machine

SMOKE = Experiment(tier="smoke", sources="MA", seed=8, epochs=1, precision="no").resolved()


def command(*words, **environment):
    words = [sys.executable, "-m", "dcac_lite", *words]
    done = subprocess.run(words, capture_output=True, text=True, env=os.environ | environment)
    return done.returncode, done.stdout, done.stderr


def test_the_rehearsal_goes_through(tmp_path):
    code, out, err = command("rehearsal", DCAC_RUNS=str(tmp_path))
    assert code == 0, err[-2000:]
    assert "The rehearsal went through." in out and "official recipe" in out and "(4, 48)" in out
    assert out.count("Table 1") >= 4 and "MSMT17_V2" in out  # it looked at the data sets as `verify` does
    # DLCR on two data sets: masks, words, copies, and three arms of stage 2 by every protocol
    assert out.count("16 pictures painted.") == 2 and out.count("2 of 8 outfits each") == 3
    for name, protocols in (("prcc", ("same clothes", "clothes-changing")), ("ltcc", ("general", "clothes-changing"))):
        for arm in ("CAL", "second augmentation", "copies"):
            assert all(re.search(rf"{name} +{arm} +0 +{protocol} +\d", out) for protocol in protocols)
    assert (
        "\n6 pictures painted." in out and len(re.findall("copies +0 +clothes-changing +Algorithm 1 +[0-9]", out)) == 1
    )
    # inversion at the paper's size: the paper's numbers, less 32 for each of 1,502 - 16 rows of the table
    counts = (
        f"generator, with its table: {9_883_651 - 32 * (1502 - 16):,}; auxiliary generator: 592,416; Img2ID: 12,641,600"
    )
    assert counts in out and "Img2ID taught by" in out


# A1 pre-trains the lite weights and needs nothing of others in any tier; B2 has no full tier
READ_WITHOUT = sorted({*NOTEBOOKS.glob("[0-9]*.ipynb"), *NOTEBOOKS.glob("A2*.ipynb"), *NOTEBOOKS.glob("B1*.ipynb")})


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    nothing = str(tmp_path_factory.mktemp("nothing"))
    places = dict.fromkeys(("DCAC_DATA", "DCAC_WEIGHTS", "DCAC_RUNS", "HF_HOME"), nothing)
    jobs = [(path, {"tier": "full"}) for path in READ_WITHOUT]
    return dict(zip(READ_WITHOUT, stops(jobs, **places, HF_HUB_OFFLINE="1"), strict=True))


@pytest.mark.parametrize("path", READ_WITHOUT, ids=lambda p: p.stem)
def test_notebooks_stop_with_instructions_where_data_or_weights_are_missing(path, stopped):
    stop = stopped[path]
    assert stop.error == "FileNotFoundError", stop.sentence
    assert "DCAC_DATA" in stop.sentence or "DCAC_WEIGHTS" in stop.sentence
    assert stop.cell <= 8, "a reader should not wait for this"


# ---------------------------------------------------------------- the command


def test_training_from_the_command_line(tmp_path):
    words = (
        "--tier smoke --sources MA --epochs 1 --seed 4 --accumulation 2 --gradient-checkpointing "
        "--tracker tensorboard --targets D"
    )
    code, out, err = command("train", *words.split(), DCAC_RUNS=str(tmp_path))
    assert code == 0, err[-2000:]
    assert "mAP" in out and "D" in out.splitlines()[-1]
    (folder,) = (tmp_path / "smoke").iterdir()
    assert json.loads((folder / "config.json").read_text())["experiment"]["accumulation"] == 2
    assert list(folder.rglob("events.out.tfevents*"))


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--sources", "XX"], "source is 'XX'; expected one of MA"),
        (["--rank", "0"], "rank is 0"),
        (["--recipe", "text"], "recipe is 'text'; expected one of default, official, paper"),
        (["--sedd", "3"], "unrecognized arguments: --sedd"),
        (["--tier", "smoke", "--targets", "XX"], "domain is 'XX'; expected one of MA"),
        (["--tier", "smoke", "--targets", "./nothing-here"], "nothing-here"),
        (["--tier", "full", "--sources", "./nothing-here"], "nothing-here"),
        (["--milestones", "5", "3"], "milestones is [5, 3]; expected rising epochs"),
    ],
)
def test_wrong_options_are_refused_in_a_sentence(words, sentence, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("DCAC_RUNS", str(tmp_path))
    with pytest.raises(SystemExit, match="2"):
        main(["train", *words])
    assert sentence in capsys.readouterr().err
    assert not list(tmp_path.iterdir())  # before any training


# ---------------------------------------------------------------- how the machine is used


def losses(folder, data, machine=Machine(), **options):
    folder.mkdir()
    training.train(SMOKE, data, folder, progress=False, machine=machine, **options)
    return np.loadtxt(folder / "history.csv", delimiter=",", skiprows=1, usecols=range(3, 7))


def test_gradient_checkpointing_changes_nothing(smoke_data, tmp_path):
    plain = losses(tmp_path / "plain", smoke_data)
    assert np.allclose(plain, losses(tmp_path / "saving", smoke_data, Machine(gradient_checkpointing=True)), rtol=1e-5)


def test_compiling_changes_nothing(smoke_data, tmp_path, monkeypatch):
    plain = losses(tmp_path / "plain", smoke_data)
    compile = torch.nn.Module.compile
    # a backend that needs no C++ compiler, and keeps the rules of the one that does
    monkeypatch.setattr(
        torch.nn.Module,
        "compile",
        lambda self, **options: compile(self, backend="aot_eager_decomp_partition", **options),
    )
    assert np.allclose(plain, losses(tmp_path / "compiled", smoke_data, Machine(compile=True)), rtol=1e-4)


def test_starting_over_forgets_the_checkpoints(smoke_data, tmp_path, monkeypatch):
    checkpoints.Checkpoints(tmp_path).write({"step": 1000, "of": "an earlier attempt"})
    written, write = [], checkpoints.Checkpoints.write
    monkeypatch.setattr(
        checkpoints.Checkpoints,
        "write",
        lambda self, state: [write(self, state), written.extend(self.folder.glob("*.pt"))],
    )
    training.train(SMOKE, smoke_data, tmp_path, progress=False, resume="never")
    assert [p.name for p in written] == ["checkpoint-00000004.pt"]


def test_a_batch_that_cannot_be_shared_is_refused(smoke_data, tmp_path):
    for parts in (5, 64):  # not equally, and one image each
        with pytest.raises(ValueError, match=f"64 images cannot be shared equally by 1 processes in {parts} parts"):
            training.train(Experiment(tier="smoke", accumulation=parts).resolved(), smoke_data, tmp_path)


def test_a_required_checkpoint_that_is_missing_or_damaged_is_an_error(smoke_data, tmp_path):
    with pytest.raises(FileNotFoundError, match="no checkpoint"):
        training.train(SMOKE, smoke_data, tmp_path, resume="required")
    with pytest.raises(ValueError, match="resume is 'latest'; expected 'auto', 'required' or 'never'"):
        training.train(SMOKE, smoke_data, tmp_path, resume="latest")
    (tmp_path / "checkpoint-00000002.pt").write_bytes(b"half a checkpoint")
    with pytest.raises(ValueError, match="checkpoint-00000002.pt is damaged.*delete it"):
        training.train(SMOKE, smoke_data, tmp_path)
    checkpoints.Checkpoints(tmp_path).write({"step": 5, "x": torch.ones(2)})
    checkpoints.Checkpoints(tmp_path).write({"step": 9, "x": torch.ones(2)})
    assert sorted(p.name for p in tmp_path.glob("*.pt")) == ["checkpoint-00000005.pt", "checkpoint-00000009.pt"]


def test_moments_go_on_where_they_were_interrupted(smoke_data, tmp_path, monkeypatch):
    monkeypatch.setenv("DCAC_DATA", str(tmp_path))
    monkeypatch.setattr(moments, "CHUNK", 64)
    parts = load_stable_diffusion(LITE.stable_diffusion, LITE.diffusion_size)
    encoded = []

    def counting(vae, images, size):
        if len(encoded) == 2:
            raise KeyboardInterrupt
        encoded.append(len(images))
        return vae_moments(vae, images, size)

    monkeypatch.setattr(moments, "vae_moments", counting)
    with pytest.raises(KeyboardInterrupt):
        moments.cached_moments(parts, smoke_data)
    assert not list(tmp_path.rglob("*.npy"))
    monkeypatch.setattr(moments, "vae_moments", lambda *a: encoded.append(len(a[1])) or vae_moments(*a))
    whole = moments.cached_moments(parts, smoke_data)
    assert sum(encoded) == len(smoke_data) and whole.dtype == np.float16  # no image twice
    resized = [
        np.asarray(Image.open(file).resize((32, 32), Image.Resampling.BICUBIC)).transpose(2, 0, 1)
        for file in smoke_data.files
    ]
    direct = vae_moments(parts.vae, np.stack(resized), 32).numpy()
    assert np.allclose(whole, direct, rtol=1e-3, atol=1e-4)  # float16
    assert isinstance(moments.cached_moments(parts, smoke_data), np.memmap)


def test_notebooks_can_be_rehearsed(tmp_path):
    setup = start({"In": [], "tier": "rehearsal"}, tier=("smoke", "lite", "full"))
    assert setup.rehearsal and setup.tier.image_size == (256, 128)
    # the one that trains; the others take minutes and are for `python -m dcac_lite reproduce --tier rehearsal`
    execute(NOTEBOOKS / "05_full_training.ipynb", tmp_path / "05.ipynb", {"tier": "rehearsal", "targets": "C3"})
    assert (tmp_path / "05.ipynb").exists()
