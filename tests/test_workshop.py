"""Exercises answer back: every blank is not attempted, every solution right, every known mistake told why; and what a
class predicted is tallied."""

import json
import random

import numpy as np
import pytest
import torch
from torch import nn

from dcac_lite import SCHEMES, PrototypeMemory, make_condition
from dcac_lite.__main__ import main
from dcac_lite.workshop import check, hint, predict, reveal
from dcac_lite.workshop.exercise import judge
from dcac_lite.workshop.exercises import EXERCISES

pytestmark = pytest.mark.usefixtures("desk")
by_exercise = pytest.mark.parametrize("exercise", EXERCISES.values(), ids=EXERCISES)
MISTAKES = [(e, m) for e in EXERCISES.values() for m in e.mistakes]
by_mistake = pytest.mark.parametrize(
    ("exercise", "mistake"), MISTAKES, ids=[f"{e.name}-{e.mistakes.index(m)}" for e, m in MISTAKES]
)


# ---------------------------------------------------------------- answers


@by_exercise
def test_a_blank_is_not_attempted_and_a_solution_is_right(exercise):
    if isinstance(exercise.solution, type):
        SCHEMES["mine"] = exercise.solution
    assert judge(exercise, ...).state == judge(exercise, None).state == "not attempted"
    if exercise.given is not None:
        assert judge(exercise, exercise.given).state == "not attempted"
    verdict = judge(exercise, exercise.solution)
    assert (verdict.state, verdict.says) == ("right", exercise.right)


@by_mistake
def test_every_known_mistake_is_told_why(exercise, mistake):
    verdict = judge(exercise, mistake.answer)
    assert (verdict.state, verdict.says) == ("not yet", mistake.says)


def test_mistakes_and_hints_say_something_of_their_own():
    said = [mistake.says for _, mistake in MISTAKES]
    assert len(set(said)) == len(said)
    for exercise in EXERCISES.values():
        assert len(exercise.hints) >= 2 and len(exercise.mistakes) >= 2, exercise.name


def test_an_unknown_mistake_is_told_what_is_missing(capsys):
    check("02.eq6", lambda z, labels, prototypes, tau: (z @ prototypes.T / tau).mean() ** 2)
    assert "not yet. It differs from Eq. 6" in capsys.readouterr().out
    check("02.eq6", lambda z, labels, prototypes, tau: z / 0 * None)
    assert "It stops with TypeError" in " ".join(capsys.readouterr().out.split())
    check("02.eq6", 3.0)
    assert "Hand in the function itself" in capsys.readouterr().out
    check("02.1", (0.5, 2.0))
    assert "not yet. Another margin" in capsys.readouterr().out
    with pytest.raises(ValueError, match="no exercise '02.9'; there are 00.ap"):
        check("02.9", 1)


def test_what_cannot_be_judged_is_told_in_a_sentence():
    class Unready(nn.Module):
        def __init__(self, identities, width, dim, tau_c):
            self.prompts = nn.Parameter(torch.randn(identities, dim))

        def forward(self, logits, z, labels):
            return logits.softmax(1) @ self.prompts

    class Narrow(nn.Module):
        def __init__(self, dim):
            super().__init__()

    class Unasked(nn.Module):
        def forward(self, logits):
            return logits

    scheme, other = EXERCISES["04.scheme"].solution, "and no object that was made with it."
    expected = [
        ("04.scheme", scheme(9, 7, 5, 0.5), f"Hand in the class itself, {other}"),
        ("04.scheme", "mine", "Hand in a class that inherits from nn.Module."),
        ("04.scheme", Unready, "`__init__` has to call super().__init__() first"),
        ("04.scheme", Narrow, "`__init__` should take (self, identities, width, dim, tau_c); yours takes (self, dim)."),
        ("04.scheme", Unasked, "`forward` should take (self, logits, z, labels); yours takes (self, logits)."),
        ("04.scheme", scheme, "One step is left. The class does all that a scheme must"),
        ("02.1", 0.99, "Hand in 2 values in brackets, with commas between them; got 0.99."),
        ("02.1", torch.tensor(0.99), "Hand in 2 values in brackets"),
        ("02.1", (0.99, (2.0, 3.0)), "Hand in a number where it is (2.0, 3.0)."),
        ("02.1", ("low", 2.0), "Hand in a number where it is 'low'."),
        ("00.ap", "7/12", "Hand in a number where it is '7/12'."),
        ("03.2", 8, "Hand in a dictionary; got 8."),
        ("05.1", 3, "Hand in a list; got 3."),
        ("04.3", 3, "Hand in a word, in quotation marks; got 3."),
    ]
    for name, answer, sentence in expected:
        verdict = judge(EXERCISES[name], answer)
        assert verdict.state == "not yet" and verdict.says.startswith(sentence), verdict


def test_a_function_without_return_was_attempted():
    def in_place(prototypes, z, labels, gamma):
        prototypes[labels] = z

    def begun(logits, prompts, tau_c):
        """Eq. 12."""

    verdict = judge(EXERCISES["02.eq7"], in_place)
    assert verdict.state == "not yet" and "is a `return` missing" in verdict.says
    assert judge(EXERCISES["04.eq12"], begun).state == "not attempted"


def test_a_slip_of_shapes_shows_the_shapes():
    verdict = judge(EXERCISES["04.eq12"], lambda logits, prompts, tau_c: (logits / tau_c).softmax(1) @ prompts.T)
    assert "called with logits [5, 6], prompts [6, 4], tau_c 0.5" in verdict.says


def test_hints_come_in_turn(capsys):
    for _ in range(4):
        hint("02.3")
    first, second, *rest = capsys.readouterr().out.split("02.3: hint ")[1:]
    assert first.startswith("1 of 2") and all(words == second for words in rest)


# ---------------------------------------------------------------- predictions


def test_a_prediction_is_kept_before_and_revealed_after(capsys):
    reveal("04.softer")
    predict("04.softer", ...)
    predict("04.softer", "it melts")
    said = capsys.readouterr().out
    assert said.count("not attempted") == 2 and "'it melts' is none of the answers" in said
    predict("04.softer", "it grows")
    reveal("04.softer")
    assert '"it shrinks", you predicted "it grows". Prompts' in capsys.readouterr().out


def test_a_prediction_that_cannot_be_kept_is_said_so(monkeypatch, capsys):
    def refuse(*_):
        raise PermissionError(13, "Permission denied", "predictions.json")

    monkeypatch.setattr("dcac_lite.workshop.desk.keep", refuse)
    predict("04.softer", "it grows")
    assert "could not be kept: [Errno 13] Permission denied" in " ".join(capsys.readouterr().out.split())


def test_an_answer_of_one_s_own_making_is_as_right_as_ours():
    def through_the_module(prototypes, z, labels, gamma):
        memory = PrototypeMemory(*prototypes.shape, 0.1, gamma)
        memory.prototypes.copy_(prototypes)
        memory.update(z, labels)
        return memory.prototypes

    def walking(distance, person, camera, query_person, query_camera):
        here = [k for k in np.argsort(distance) if (person[k], camera[k]) != (query_person, query_camera)]
        ranks = [rank for rank, k in enumerate(here, 1) if person[k] == query_person]
        return sum(found / rank for found, rank in enumerate(ranks, 1)) / len(ranks)

    def by_the_scheme(logits, prompts, tau_c):
        scheme = make_condition("correlation-aware", len(prompts), 3, prompts.shape[1], tau_c)
        return torch.func.functional_call(scheme, {"prompts": prompts}, (logits, None, None))

    def leaving_out(labels, P, K, seed):
        dice = random.Random(seed)
        rows_of = {y: [row for row, label in enumerate(labels) if label == y] for y in sorted(set(labels))}
        chosen = dice.sample([y for y, rows in rows_of.items() if len(rows) >= K], P)
        return [row for y in chosen for row in dice.sample(rows_of[y], K)]

    def written_out(logits, prompts, tau_c):
        p = torch.exp((logits - logits.amax(1, keepdim=True)) / tau_c)
        return torch.einsum("bn,nd->bd", p / p.sum(1, keepdim=True), prompts)

    def by_distance(query, gallery):
        return torch.cdist(nn.functional.normalize(query), nn.functional.normalize(gallery)).argsort(dim=1)

    answers = [("02.eq7", through_the_module), ("02.ap", walking), ("02.pk", leaving_out)]
    answers += [("04.eq12", by_the_scheme), ("04.eq12", written_out), ("bug.14", by_distance)]
    for name, answer in answers:
        assert judge(EXERCISES[name], answer).state == "right", name


def test_checking_draws_nothing_from_the_notebook_s_generator():
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    check("bug.12", lambda d_in, r, d_out: (torch.randn(d_in, r), torch.randn(r, d_out)))
    assert torch.equal(torch.rand(2), expected)


def test_a_class_is_tallied(tmp_path, capsys):
    for learner, answers in {"ana": ["it grows"], "ben": ["it shrinks"], "eva": ["it grows", "it shrinks"]}.items():
        for answer in answers:
            predict("04.softer", answer)
        (tmp_path / "predictions.json").rename(tmp_path / f"{learner}.json")
    capsys.readouterr()
    assert not main(["workshop", "tally", str(tmp_path)])
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == "3 learners" and "1 it grows" in lines and "* 2 it shrinks" in lines


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["tally"], "tally wants the folder"),
        (["tally", "empty"], "no predictions below empty"),
        (["tally", "strange"], "holds no predictions"),
        (["strange", "more"], "more is one word too many"),
        (["strange"], "is there and not empty"),
    ],
)
def test_what_the_command_cannot_use_is_one_sentence(arguments, sentence, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    (tmp_path / "strange").mkdir()
    (tmp_path / "strange" / "a.json").write_text(json.dumps([1]))
    with pytest.raises(SystemExit) as stopped:
        main(["workshop", *arguments])
    assert stopped.value.code == 2 and sentence in capsys.readouterr().err
