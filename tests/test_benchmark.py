"""The plain pipeline computes what ours computes; the benchmark measures both and writes a table."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from plain_vit import learnable_parts

from benchmarks import measure
from benchmarks.inputs import draw_dataset, draw_features, second_model
from benchmarks.plain_pipeline import PlainDataset, PlainPipeline, plain_rank_metrics
from benchmarks.table import TARGETS, benchmark, with_verdicts, write
from dcac_lite import Experiment
from dcac_lite.augment import normalise
from dcac_lite.diffusion import sample_latents, to_diffusion_input, vae_moments
from dcac_lite.evaluation import rank_metrics
from dcac_lite.tiers import LITE
from dcac_lite.training import build


@pytest.fixture(scope="module")
def steps():
    """One step of each, from the same weights, images and random draws:
    (losses, model) of ours and of the plain one."""
    torch.manual_seed(0)
    experiment = Experiment(tier="lite", sources="MA", conditioning="correlation-aware", seed=3).resolved()
    dcac, parts = build(experiment, 6)
    for name, parameter in dcac.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.05)  # at zero the adapters' A would get no gradient
    dcac.memory.prototypes.copy_(F.normalize(torch.randn_like(dcac.memory.prototypes)))
    plain = PlainPipeline(second_model(dcac, share_frozen=True), parts.vae, experiment)
    images, labels = (
        torch.randint(0, 256, (8, 3, *LITE.image_size), dtype=torch.uint8),
        torch.tensor([0, 0, 1, 1, 2, 2, 5, 5]),
    )
    originals = to_diffusion_input(images, LITE.diffusion_size)
    draws = plain.draw(originals)
    latents = sample_latents(
        vae_moments(parts.vae, images, LITE.diffusion_size), parts.vae.config.scaling_factor, draws[0]
    )
    ours, z = dcac.train()(normalise(images), labels, latents, *draws[1:])
    ours["total"].backward()
    dcac.memory.update(F.normalize(z.detach()), labels)
    theirs = plain.step_of_images(normalise(images), originals, labels, draws)
    return ours, dcac, theirs, plain.dcac


def test_plain_losses_are_ours(steps):
    ours, _, theirs, _ = steps
    assert ours.keys() == theirs.keys()
    assert {k: v.item() for k, v in ours.items()} == pytest.approx(theirs, rel=1e-5)


def test_plain_gradients_are_ours(steps):
    _, ours, _, theirs = steps
    largest = 0.0
    for (name, a), (_, b) in zip(ours.named_parameters(), theirs.named_parameters()):
        if a.grad is None:  # queries and keys on one token, which the plain one computes for nothing
            assert b.grad is None or b.grad.abs().max() < 1e-6, name
            continue
        for part, (own, plain) in learnable_parts(name, a.grad, b.grad).items():  # the rest is rounding
            assert (own - plain).norm() <= 1e-3 * own.norm() + 1e-6, part
        largest = max(largest, float(a.grad.norm()))
    assert largest > 0.1


def test_plain_memory_and_statistics_are_ours(steps):
    _, ours, _, theirs = steps
    assert torch.allclose(ours.memory.prototypes, theirs.memory.prototypes, atol=1e-5)
    assert torch.allclose(ours.reid.neck.running_mean, theirs.reid.neck.running_mean, atol=1e-6)
    assert torch.allclose(ours.reid.neck.running_var, theirs.reid.neck.running_var, rtol=1e-5)


def test_a_shared_copy_trains_alone(steps):
    _, ours, _, theirs = steps
    learning = dict(theirs.named_parameters())
    for name, parameter in ours.named_parameters():
        assert (learning[name] is parameter) != parameter.requires_grad, name
    assert not torch.equal(ours.reid.classifier.weight, theirs.reid.classifier.weight)  # the plain one made a step


def test_plain_ranking_is_ours():
    case = draw_features("lite", 100, torch.device("cpu"))
    assert plain_rank_metrics(*case) == pytest.approx(rank_metrics(*case), abs=1e-6)


def test_plain_loader_sees_the_same_pictures(tmp_path):
    domain = draw_dataset(tmp_path / "data", (64, 32), 4)
    files = [domain.root / "bounding_box_train" / name for name in domain.train.names]
    still = replace(LITE, padding=0, jitter=0.0)
    seen, original, label = PlainDataset(files, torch.arange(16), still)[5]
    own = normalise(torch.from_numpy(np.array(domain.train.images[5:6])))[0]
    assert torch.allclose(seen, own, atol=1e-6) or torch.allclose(seen.flip(-1), own, atol=1e-6)  # but for the flip
    moved = PlainDataset(files, torch.arange(16), replace(LITE, padding=0))[5][0]
    assert moved.shape == seen.shape and moved.abs().max() <= 1 and (moved - seen).abs().mean() > 0.01
    assert label == 5 and original.shape == (3, 32, 32)
    assert (
        original - to_diffusion_input(torch.from_numpy(np.array(domain.train.images[5:6])), 32)[0]
    ).abs().max() < 0.05


def test_benchmark_writes_a_table(tmp_path, monkeypatch):
    # in this process what else would start one of its own; the command itself is no different
    monkeypatch.setattr(measure, "alone", lambda function, *arguments: function(*arguments))
    path, _ = benchmark("ranking", repeats=1, output=tmp_path / "b.csv")
    path, shown = benchmark("all", batch=8, repeats=2, output=path)
    table = pd.read_csv(path)
    measured = table[table["repeats"] > 0]
    assert set(measured["part"]) == {"step", "data", "encoder", "ranking"}
    assert not measured.duplicated(["name", "size", "batch"]).any()  # the first run's rows were replaced
    assert (measured["ours_min"] <= measured["ours"]).all() and (measured["ours"] <= measured["ours_max"]).all()
    assert measured[["ours", "unit", "device", "commit", "python", "load"]].notna().all(axis=None)
    pair = measured[
        measured["name"].isin(["training step", "training, data included", "data pipeline", "ranking, per query"])
    ]
    assert len(pair) == 4 and (pair["ratio"] > 0).all()
    work = measured.set_index("name")["ours"]
    assert work["floating-point operations of a step"] > 0 and work["share of the matmul rate"] > 0
    assert "torch" in json.loads(measured["versions"].iloc[0])
    assert set(table["target"].dropna()) == {str(t) for t in TARGETS}
    assert table.loc[table["repeats"] == 0, "verdict"].str.startswith("not measured").all()


def test_a_row_without_a_target_here_survives_the_next_measurement(tmp_path):
    """On a CPU the time of all queries has no target, so that a line "not measured on a GPU" stands beside it."""
    row = {"part": "ranking", "unit": "s", "repeats": 1}
    for name in ("ranking, all queries", "peak memory of ranking"):
        _, table = write([row | {"name": name, "ours": 12.5}], "full", 8, torch.device("cpu"), tmp_path / "b.csv")
    found = table[table["name"] == "ranking, all queries"]
    assert sorted(found["repeats"]) == [0, 1] and found["ours"].max() == 12.5


def test_verdicts_are_computed():
    rows = [
        {"name": "training step", "size": "full", "batch": 64, "repeats": 3, "ours": 59.0},
        {"name": "training, data included", "size": "full", "batch": 64, "repeats": 3, "ours": 900.0, "ratio": 2.9},
        {
            "name": "training step",
            "size": "full",
            "batch": 8,
            "repeats": 3,
            "ours": 9.0,
        },  # not the size that is asked for
    ]
    table = with_verdicts(pd.DataFrame(rows), "cuda")
    verdict = table.set_index(["name", "batch"])["verdict"]
    assert verdict["training step", 64] == "met" and verdict["training, data included", 64] == "missed"
    assert pd.isna(verdict["training step", 8]) and len(table) > len(rows)
    on_cpu = with_verdicts(pd.DataFrame(rows), "cpu").query("name == 'training step' and repeats == 0")
    assert on_cpu["verdict"].tolist() == ["not measured on a GPU"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"part": "speed"}, "part is 'speed'"),
        ({"part": "step", "size": "smoke"}, "size is 'smoke'"),
        ({"part": "step", "batch": 6}, "batch is 6"),
        ({"part": "step", "repeats": 0}, "repeats is 0"),
        ({"part": "step", "device": "tpu"}, "device is 'tpu'"),
    ],
)
def test_wrong_arguments_are_named(options, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        benchmark(**options, output=tmp_path / "never.csv")
