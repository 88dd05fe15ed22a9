"""The clinic's broken pieces show the symptoms that are told, and take the repair."""

import re

import pytest

from dcac_lite.workshop import broken, toy
from dcac_lite.workshop.cells import tagged
from dcac_lite.workshop.clinic import clinic
from dcac_lite.workshop.exercises import EXERCISES


@pytest.mark.parametrize("solved", [False, True])
def test_the_clinic_shows_symptoms_and_takes_the_repair(solved, capsys):
    shown = {}
    for cell in clinic(solved).cells:
        if tagged(cell, "exercise"):
            exec(compile(cell.source, "cell", "exec"), {})
            shown[cell.id] = " ".join(capsys.readouterr().out.split())
    healthy = shown.pop("healthy")
    assert len(shown) >= 10
    for name, said in shown.items():
        assert (" right. " if solved else " not attempted.") in said, name
        assert ("ID loss" in said) <= (said.startswith(healthy) == solved), f"{name}: {said}"


def test_symptoms_are_those_of_the_table(capsys):
    toy.training()
    toy.training(id_loss=broken.smoothed_loss)
    toy.training(take_batch=broken.take_batch)
    said = r"first (\S+) \(ln 24 = (\S+)\), last (\S+) \(no lower than (\S+)\).*?right: (\d+)%"
    healthy, hard, shuffled = (
        [float(x) for x in found] for found in re.findall(said, capsys.readouterr().out, re.DOTALL)
    )
    assert healthy[0] == healthy[1] == 3.18 and healthy[3] < healthy[2] < 1.2 and healthy[4] > 95
    assert hard[2] < hard[3] and shuffled[2] > 2.5 and shuffled[4] < 25


def test_symptoms_of_the_schedule_of_hubs_and_of_another_timestep(capsys):
    toy.training(train=broken.train)
    assert float(re.search(r"last (\S+)", capsys.readouterr().out)[1]) > 2
    shares, losses = [], []
    for name in ("bug.14", "bug.15"):
        for part in (EXERCISES[name].given, EXERCISES[name].solution):
            (toy.ranking if name == "bug.14" else toy.telling)(part)
            said = capsys.readouterr().out
            shares += [int(share) for share in re.findall(r"(\d+)%", said)]
            losses += [float(loss) for loss in re.findall(r"\d\.\d\d", said)]
    right, favourites, right_by_cosine, favourites_by_cosine = shares
    assert right < 50 < right_by_cosine and favourites_by_cosine < 25 < 50 < favourites
    _, told_another, published, _, told, _ = losses
    assert told == published < told_another / 2
