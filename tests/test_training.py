"""Runs: deterministic, resumable to the last bit, trained once, and clear about what is wrong."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from dcac_lite import Experiment, checkpoints, load_domain, run, training
from dcac_lite.data.registry import FOLDERS
from dcac_lite.paths import runs_root
from dcac_lite.recipes import RECIPES
from dcac_lite.runs import Run
from dcac_lite.studies.study import rows_of

SMOKE = Experiment(tier="smoke", sources="MA", conditioning="correlation-aware", seed=5)


def same(a: dict, b: dict) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def trained(experiment, data, folder, **options) -> dict:
    folder.mkdir(exist_ok=True)
    training.train(experiment.resolved(), data, folder, progress=False, **options)
    return load_file(folder / "model.safetensors")


def test_same_seed_same_weights_other_seed_others(smoke_data, tmp_path):
    first = trained(SMOKE, smoke_data, tmp_path / "a")
    assert same(first, trained(SMOKE, smoke_data, tmp_path / "b"))
    assert not same(first, trained(replace(SMOKE, seed=6), smoke_data, tmp_path / "c"))


@pytest.mark.parametrize("killed_at_write", [1, 2])
def test_a_killed_run_resumes_to_the_same_weights(smoke_data, tmp_path, monkeypatch, killed_at_write):
    whole = trained(SMOKE, smoke_data, tmp_path / "whole")
    write, writes = checkpoints.Checkpoints.write, []

    def killing_write(self, state):
        write(self, state)
        writes.append(state["step"])
        if len(writes) == killed_at_write:
            raise KeyboardInterrupt

    monkeypatch.setattr(checkpoints.Checkpoints, "write", killing_write)
    with pytest.raises(KeyboardInterrupt):
        trained(SMOKE, smoke_data, tmp_path / "cut", checkpoint_every=3)
    assert not (tmp_path / "cut" / "model.safetensors").exists()
    monkeypatch.undo()
    assert same(whole, trained(SMOKE, smoke_data, tmp_path / "cut", checkpoint_every=3))
    assert writes[0] == 3  # the first cut is in the middle of an epoch of four steps


def test_a_half_written_checkpoint_is_not_taken_up(smoke_data, tmp_path, monkeypatch):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".checkpoint-00000004.pt.123.part").write_bytes(b"half")
    assert checkpoints.Checkpoints(tmp_path / "run").newest() is None


def test_lambda_zero_is_the_baseline(smoke_data, tmp_path):
    baseline = trained(replace(SMOKE, conditioning="none"), smoke_data, tmp_path / "baseline")
    silent = trained(replace(SMOKE, lambda_=0.0), smoke_data, tmp_path / "silent")
    encoder = {k: v for k, v in silent.items() if k.startswith("reid.")}
    assert same(encoder, {k: v for k, v in baseline.items() if k.startswith("reid.")})


def test_lambda_teaches_the_encoder(smoke_data, tmp_path):
    baseline = trained(replace(SMOKE, conditioning="none"), smoke_data, tmp_path / "baseline")
    taught = trained(replace(SMOKE, lambda_=100.0), smoke_data, tmp_path / "taught")
    name = "reid.visual.proj"
    assert not torch.equal(baseline[name], taught[name])


@pytest.mark.parametrize("recipe", RECIPES)
def test_lambda_is_what_the_history_s_losses_were_added_with(recipe):
    """The gradient ratio that studies and notebook 05 report multiplies by this lambda."""
    result = run(Experiment(tier="smoke", sources="MA", recipe=recipe, lambda_=0.5, epochs=1, seed=5), progress=False)
    h = result.history
    assert np.allclose(h["total"], h["id"] + h["pcl"] + 0.5 * h["dif"], rtol=1e-5)
    (row,) = rows_of(result.experiment, ["D"])
    assert row["gradient_ratio"] == pytest.approx(0.5 * (h["gradient_dif"] / h["gradient_reid"]).median(), abs=1e-5)
    assert (h["dif"] > 10).all() == (recipe == "paper")  # a sum over 256 elements


def test_run_is_found_again_and_measures_only_what_is_asked():
    first = run(SMOKE, progress=False)
    assert first.evaluate("D").columns.tolist() == ["target", "mAP", "R1", "R5", "R10", "queries"]
    assert "MS" not in (first.folder / "metrics.json").read_text()
    changed = (first.folder / "model.safetensors").stat().st_mtime_ns
    again = run(SMOKE, progress=False)
    assert again.folder == first.folder and (again.folder / "model.safetensors").stat().st_mtime_ns == changed
    assert again.experiment.lambda_ is not None and len(again.history) == 8
    (first.folder / "metrics.json").unlink()
    assert again.evaluate("D").equals(Run(first.folder).evaluate("D"))  # to the last digit


def test_targets_are_measured_again_when_their_files_change(smoke_data, tmp_path):
    result, D = run(SMOKE, progress=False), load_domain("D", "smoke")
    mine = tmp_path / "mine"
    for split, folder in FOLDERS.items():
        (mine / folder).mkdir(parents=True)
        for name in getattr(D, split).names:
            shutil.copy(D.root / folder / name, mine / folder / name)
    before = result.evaluate(mine)
    assert before["mAP"][0] == result.evaluate("D")["mAP"][0] and before["target"][0] == str(mine)
    (mine / "query" / D.query.names[0]).unlink()
    after = result.evaluate(mine)
    assert after["queries"][0] == before["queries"][0] - 1


def test_a_run_is_evaluated_without_its_training_data_and_stable_diffusion(tmp_path, monkeypatch):
    finished, expected = run(SMOKE, progress=False), run(SMOKE, progress=False).model().reid.state_dict()
    shutil.copytree(finished.folder, tmp_path / "run")
    monkeypatch.setattr("dcac_lite.training.load_stable_diffusion", None)
    monkeypatch.setenv("DCAC_DATA", str(tmp_path / "nothing"))
    assert same(Run(tmp_path / "run").reid().state_dict(), expected)


def test_somebody_else_s_run_is_found_and_evaluated(monkeypatch):
    """In a folder that may be read only: nothing is trained, stored or lost."""
    runs = Path(tempfile.mkdtemp())  # pytest's own folder is closed to other users
    try:
        monkeypatch.setenv("DCAC_RUNS", str(runs))
        first = run(SMOKE, progress=False)
        first.evaluate("D")
        expected = {target: first.evaluate(target) for target in ("D", "MS")}
        (first.folder / "lock").unlink(missing_ok=True)
        metrics = json.loads((first.folder / "metrics.json").read_text())
        (first.folder / "metrics.json").write_text(json.dumps({"D": metrics["D"]}))
        before = {p: p.read_bytes() for p in first.folder.iterdir()}
        for folder in (runs, runs / "smoke", first.folder):
            folder.chmod(0o555)
        if os.geteuid() == 0:
            os.seteuid(65534)
        try:
            again = run(SMOKE, progress=False)
            assert again.evaluate("D").equals(expected["D"])
            with pytest.warns(UserWarning, match="metrics on MS were not stored in .*metrics.json"):
                assert again.evaluate("MS").equals(expected["MS"])
        finally:
            os.seteuid(os.getuid())
        assert again.folder == first.folder and before == {p: p.read_bytes() for p in first.folder.iterdir()}
    finally:
        for folder in (runs, *runs.rglob("*/")):
            folder.chmod(0o755)
        shutil.rmtree(runs)


def test_two_processes_train_once(tmp_path):
    log = tmp_path / "log"
    code = f"""
from dcac_lite import Experiment, run, runs
train = runs.train
def logged(*arguments, **options):
    open({str(log)!r}, "a").write("trained\\n")
    return train(*arguments, **options)
runs.train = logged
run(Experiment(tier="smoke", sources="MA", conditioning="none", seed=77), progress=False)
"""
    processes = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(2)]
    assert [p.wait() for p in processes] == [0, 0]
    assert log.read_text() == "trained\n"


@pytest.mark.parametrize(
    ("scheme", "adaptation"), [("correlation-aware", "lora"), ("batch-norm", "full"), ("none", "frozen")]
)
def test_two_processes_make_the_losses_of_one(scheme, adaptation, tmp_path):
    told = {"tier": "smoke", "sources": "MA", "seed": 31, "epochs": 1, "precision": "no"}
    experiment = Experiment(**told, conditioning=scheme, adaptation=adaptation)
    code = """
import json, sys
from accelerate import PartialState
from dcac_lite import Experiment, run
result = run(Experiment(**json.loads(sys.argv[1])), progress=False)
result.history.to_csv(sys.argv[2] + str(PartialState().process_index), index=False)
"""
    script = tmp_path / "train.py"
    script.write_text(code)
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", script]
    environment = os.environ | {"DCAC_RUNS": str(tmp_path), "OMP_NUM_THREADS": "1"}
    subprocess.run([*launch, json.dumps(asdict(experiment)), str(tmp_path / "of-")], check=True, env=environment)
    assert (tmp_path / "of-0").read_text() == (tmp_path / "of-1").read_text()
    one, two = run(experiment, progress=False).history, pd.read_csv(tmp_path / "of-0")
    measured = ["id", "pcl", "total"] + ["dif"] * (scheme != "none")
    assert np.allclose(one[measured], two[measured], rtol=1e-4)
    norms = one.filter(like="gradient_").dropna()
    assert norms.size == (0 if scheme == "none" else 2) and (norms > 0).all(axis=None)
    assert np.allclose(norms, two.loc[norms.index, norms.columns], rtol=1e-2)


def test_several_sources_and_bf16():
    result = run(Experiment(tier="smoke", sources=("MA", "C3"), precision="bf16", seed=1, epochs=1), progress=False)
    assert result.history["total"].notna().all() and (
        result.history[["gradient_reid", "gradient_dif"]].dropna() > 0
    ).all(axis=None)
    assert result.evaluate("D")["mAP"].between(0, 100).all()


def test_divergence_is_reported():
    with pytest.raises(FloatingPointError, match="Lower the learning rate"):
        run(Experiment(tier="smoke", sources="MA", conditioning="none", lr=1e20, seed=9), progress=False)
    assert not list(runs_root().glob("smoke/*/model.safetensors.part"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tier": "large"}, "tier is 'large'; expected one of smoke, lite, full"),
        ({"sources": ("MA", "XX")}, "source is 'XX'"),
        ({"sources": ()}, "sources is empty"),
        ({"sources": ("MA", "MA")}, "twice"),
        ({"conditioning": "corr"}, "conditioning is 'corr'"),
        ({"adaptation": "dora"}, "adaptation is 'dora'"),
        ({"rank": 0}, "rank is 0"),
        ({"tau_c": 0}, "tau_c is 0"),
        ({"lambda_": -1}, "lambda_ is -1"),
        ({"seed": -3}, "seed is -3"),
        ({"precision": "fp8"}, "precision is 'fp8'"),
    ],
)
def test_wrong_experiments_are_refused_by_name(options, message):
    with pytest.raises(ValueError, match=message):
        Experiment(**options)


def test_a_baseline_does_not_depend_on_diffusion_options():
    assert Experiment(conditioning="none", rank=4, lambda_=3).resolved() == Experiment(conditioning="none").resolved()


def test_full_tier_follows_the_paper():
    e = Experiment(tier="full", sources="MS").resolved()
    assert (e.rank, e.tau_c, e.lambda_, e.epochs, e.lr, e.tau) == (32, 1.0, 1.0, 60, 5e-6, 0.01)
