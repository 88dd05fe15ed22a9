"""`rank` and `threshold`: an exported encoder, or a run, on any data set by one command."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from fuzzing import photograph

from dcac_lite import Experiment, FeatureExtractor, ReIDModel, load_domain, run
from dcac_lite.__main__ import main
from dcac_lite.data.registry import FOLDERS
from dcac_lite.pretrained.clip import load_clip_visual
from dcac_lite.tiers import LITE


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("encoder") / "encoder"
    FeatureExtractor.from_reid(ReIDModel(load_clip_visual(LITE.clip, LITE.image_size), 5)).save_pretrained(folder)
    return folder


def people(root, cameras: str = "_c{}", first: int = 1):
    """A folder in Market-1501's layout: 12 people with a query in camera 1 and two pictures in camera 2."""
    for split, pids, taken in (("train", (901, 902), (1,)), ("query", range(12), (1,)), ("gallery", range(12), (2, 2))):
        (root / FOLDERS[split]).mkdir(parents=True)
        for pid in pids:
            for k, camera in enumerate(taken):
                name = f"{first + pid:04d}{cameras.format(camera)}_{k}.jpg"
                seed = 1000 * first + 100 * pid + 10 * camera + k
                (root / FOLDERS[split] / name).write_bytes(photograph(seed=seed))
    return root


@pytest.fixture(scope="module")
def mine(tmp_path_factory):
    return people(tmp_path_factory.mktemp("data") / "mine")


@pytest.fixture(scope="module")
def theirs(tmp_path_factory):
    return people(tmp_path_factory.mktemp("data") / "theirs", first=101)


def refusal(capsys, *words) -> str:
    with pytest.raises(SystemExit, match="2"):
        main([*map(str, words)])
    (line,) = capsys.readouterr().err.splitlines()
    return line


def numbers(printed: str) -> pd.DataFrame:
    """The columns of a printed table behind its data sets."""
    head, *lines = [line.split() for line in printed.splitlines()]
    return pd.DataFrame([line[-len(head) + 2 :] for line in lines], columns=head[2:]).astype(float)


def test_a_run_is_ranked_as_it_evaluates_itself(capsys):
    experiment = Experiment(tier="smoke", sources="MA", conditioning="none", epochs=1, precision="no")
    finished = run(experiment, progress=False)
    main(["rank", str(finished.folder), str(load_domain("MA", "smoke").root)])
    (printed,) = numbers(capsys.readouterr().out).to_dict("records")
    assert printed == finished.evaluate("MA").drop(columns="target").round(1).to_dict("records")[0]


def test_rank_says_mAP_and_CMC_of_every_folder(encoder, mine, theirs, capsys):
    main(["rank", str(encoder), str(mine), str(theirs), "--rerank"])
    printed = capsys.readouterr().out
    assert printed.splitlines()[0].split() == ["data", "set", "mAP", "R1", "R5", "R10", "queries"]
    assert printed.count(str(mine)) == 2 and printed.count("re-ranked") == 2 and len(printed.splitlines()) == 5


def test_a_threshold_is_told_with_its_interval_and_written(encoder, mine, theirs, tmp_path, capsys):
    words = ["--targets", theirs, "--false-alarm", "0.5", "--out", tmp_path / "out"]
    main(["threshold", str(encoder), str(mine), *map(str, words)])
    printed = capsys.readouterr().out
    told = json.loads((tmp_path / "out" / "threshold.json").read_text())
    first, other = told["data sets"]
    assert (first["data set"], other["data set"]) == (str(mine), str(theirs))
    assert (first["people"], first["genuine pairs"], first["impostor pairs"]) == (12, 24, 12 * 11 * 2)
    for row in (first, other):
        assert row["threshold_low"] <= row["threshold"] <= row["threshold_high"]
        assert row["fpr_low"] <= row["fpr"] <= row["fpr_high"] and row["tpr_low"] <= row["tpr"] <= row["tpr_high"]
    assert first["fpr"] <= 0.5 and "threshold at 50 %" in printed and f"FPR at {first['threshold']:.3f}" in printed
    assert f"({theirs})" in printed and "set it where it will be used" in printed
    # the other's rates at the first's threshold are on its curve
    drawn = pd.read_csv(tmp_path / "out" / "threshold.csv")
    curve = drawn[drawn["data set"] == str(theirs)]
    around = [np.interp(first["threshold"] + step, curve["threshold"], curve["fpr"]) for step in (-1 / 512, 1 / 512)]
    assert around[0] <= other["fpr"] <= around[1]
    assert (tmp_path / "out" / "threshold.png").read_bytes().startswith(b"\x89PNG")
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [f"threshold.{k}" for k in ("csv", "json", "png")]


def test_a_rate_that_so_few_people_cannot_tell_is_refused(encoder, mine, tmp_path, capsys):
    said = refusal(capsys, "threshold", encoder, mine, "--out", tmp_path / "out")
    assert (
        "A false-alarm rate of 0.01 cannot be told from 12 people" in said and "30 / 66" in said and str(mine) in said
    )
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("door", ["rank", "threshold"])
def test_what_is_not_there_is_named(door, encoder, mine, tmp_path, capsys):
    assert "nowhere does not exist" in refusal(capsys, door, "nowhere", mine)
    assert "There is no folder XX" in refusal(capsys, door, encoder, "XX")
    broken = shutil.copytree(encoder, tmp_path / "broken")
    (broken / "config.json").write_text("{")
    assert "config.json is no JSON" in refusal(capsys, door, broken, mine)


def test_names_without_cameras_are_said(encoder, tmp_path, capsys):
    folder = people(tmp_path / "plain", cameras="")
    main(["rank", str(encoder), str(folder)])
    main(["threshold", str(encoder), str(folder), "--false-alarm", "0.5"])
    assert capsys.readouterr().out.count("the file names tell no cameras") == 2


def test_an_embedded_domain_is_known_by_its_name(encoder, monkeypatch, mine):
    from dcac_lite.release import encoded

    asked = []
    drawn = encoded.read_dataset(mine, (64, 32))
    monkeypatch.setattr(encoded, "lite_domain", lambda name, **options: asked.append((name, options["size"])) or drawn)
    domain = encoded.encode(encoded.load_encoder(str(encoder)), "C3", batch=5)
    assert asked == [("C3", (64, 32))] and domain.query.x.shape[0] == 12
    assert torch.allclose(domain.query.x.norm(dim=1).cpu(), torch.ones(12))
