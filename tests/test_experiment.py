"""An experiment as a value: what can be set, what follows from the tier, and what is refused."""

import json
from dataclasses import asdict, fields, replace
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
import torch

from dcac_lite import SCHEMES, TIERS, Experiment, load_domain, run, training
from dcac_lite.__main__ import parse
from dcac_lite.checkpoints import Checkpoints
from dcac_lite.conditioning import CorrelationAware
from dcac_lite.pretrained.files import read_json
from dcac_lite.runs import Run, _key
from dcac_lite.trainer import Trainer, lr_factor


def rates(tier, epochs, **options):
    """The learning rate of every epoch, relative to the base."""
    e = Experiment(tier=tier, epochs=epochs, **options).resolved()
    return [lr_factor(epoch, e.warmup, e.milestones) for epoch in range(1, e.epochs + 1)]


# ---------------------------------------------------------------- the schedule


@pytest.mark.parametrize("tier", TIERS)
def test_a_tier_s_own_epochs_give_its_own_schedule(tier):
    values = TIERS[tier]
    for e in (Experiment(tier=tier).resolved(), Experiment(tier=tier, epochs=values.epochs).resolved()):
        assert (e.warmup, e.milestones) == (values.warmup, values.milestones)


def test_a_shorter_training_decays_as_the_whole_one_does():
    e = Experiment(tier="full", epochs=20).resolved()
    assert (e.warmup, e.milestones) == (3, (10, 17))
    assert rates("full", 20)[8:] == pytest.approx([1.0] + [0.1] * 7 + [0.01] * 4)
    assert Experiment(tier="full", epochs=120).resolved().milestones == (60, 100)


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize("epochs", [1, 2, 3, 4, 5, 7, 8, 100])
def test_every_length_rises_first_and_ends_lower(tier, epochs):
    schedule = rates(tier, epochs)
    peak = schedule.index(max(schedule))
    assert schedule[:peak] == sorted(schedule[:peak]) and schedule[peak:] == sorted(schedule[peak:], reverse=True)
    assert schedule[0] > 0.1 and (schedule[-1] < schedule[peak] or epochs == 1)


def test_a_schedule_can_be_set():
    assert rates("full", 4, warmup=0, milestones=(2, 4)) == pytest.approx([1, 0.1, 0.1, 0.01])
    assert rates("lite", 3, warmup=0, milestones=()) == [1, 1, 1]


# ---------------------------------------------------------------- what can be set


OWN = {
    "identities": 6, "instances": 3, "iterations": 3, "epochs": 2, "warmup": 0, "milestones": (2,), "weight_decay": 0.5,
    "padding": 3, "erasing": 1.0, "jitter": 0.5, "gamma": 0.9, "lr": 1e-4, "tau": 0.3,
}  # fmt: skip


def test_what_is_set_is_what_a_run_does(smoke_data, tmp_path, monkeypatch):
    e = Experiment(tier="smoke", conditioning="none", **OWN).resolved()
    assert {name: getattr(e, name) for name in OWN} == OWN
    seen = []
    step, states = Trainer.step, []
    spy = lambda self, inputs, **options: seen.append((self, inputs)) or step(self, inputs, **options)  # noqa: E731
    monkeypatch.setattr(Trainer, "step", spy)
    monkeypatch.setattr(Checkpoints, "write", lambda self, state: states.append(state["optimizer"]["param_groups"]))
    training.train(e, smoke_data, tmp_path, progress=False)
    assert len(seen) == 2 * 3 and {len(batch) for _, batch in seen} == {18}
    assert all((torch.bincount(batch.labels) > 0).sum() == 6 for _, batch in seen)
    x = seen[0][1].images  # each has its erased part
    assert ((x == 0.5).flatten(1).float().mean(1) > 0.01).all()
    memory = seen[0][0].dcac.memory
    assert (memory.tau, memory.gamma) == (0.3, 0.9)
    assert [group["weight_decay"] for (group,) in states] == [0.5, 0.5]
    assert pd.read_csv(tmp_path / "history.csv")["lr"].tolist() == pytest.approx([1e-4] * 3 + [1e-5] * 3)


def test_every_field_is_an_option_of_the_command():
    words = [f"--{name.replace('_', '-')}={value}" for name, value in OWN.items() if name != "milestones"]
    values = vars(parse(["train", *words, "--milestones", "2"]))
    assert {f.name for f in fields(Experiment)} <= values.keys()
    own = {f.name: values[f.name] for f in fields(Experiment)}
    assert Experiment(**own) == Experiment(**OWN) and Experiment(**own).milestones == (2,)
    left_out = vars(parse(["train"]))
    assert Experiment(**{f.name: left_out[f.name] for f in fields(Experiment)}) == Experiment()


def test_every_setting_has_a_key_of_its_own():
    base = Experiment(tier="full", sources="MA").resolved()
    changed = {name: value for name, value in (OWN | {"seed": 1, "epochs": 9, "erasing": 0.1, "iterations": 7}).items()}
    keys = {_key(replace(base, **{name: value}), "data") for name, value in changed.items()}
    assert len(keys | {_key(base, "data")}) == len(changed) + 1
    assert len({_key(Experiment(tier="full", lr=lr).resolved(), "data") for lr in (1, 1.0, np.float32(1))}) == 1


class Mine(CorrelationAware):
    """A reader's own scheme: half the condition."""

    share = 0.5

    def forward(self, logits, z, labels):
        return self.share * super().forward(logits, z, labels)


class MineToo(Mine):
    share = 0.25


def test_a_scheme_of_one_s_own_is_trained_under_a_key_of_its_code(monkeypatch):
    with pytest.raises(ValueError, match="conditioning is 'mine'; expected one of none, correlation-aware"):
        Experiment(conditioning="mine")
    monkeypatch.setitem(SCHEMES, "mine", Mine)
    e = Experiment(tier="smoke", conditioning="mine", epochs=1, iterations=1).resolved()
    found = run(e, progress=False)
    assert type(found.model().condition) is Mine and found.folder.name == _key(
        e, read_json(found.folder / "config.json")["data"]
    )
    keys = {_key(e, "data")}
    monkeypatch.setitem(SCHEMES, "mine", MineToo)
    keys.add(_key(e, "data"))
    monkeypatch.setattr(MineToo, "share", 0.75)
    keys.add(_key(e, "data"))
    monkeypatch.setattr(MineToo, "forward", lambda self, logits, z, labels: self.prompts[labels])
    assert len(keys | {_key(e, "data")}) == 4


def test_a_scheme_without_source_is_refused(monkeypatch):
    made = {"Mine": Mine, "__name__": "__main__"}
    exec("class Typed(Mine):\n    def forward(self, *inputs):\n        return 1", made)
    monkeypatch.setitem(SCHEMES, "typed", made["Typed"])
    with pytest.raises(ValueError, match="The source of Typed.forward cannot be read"):
        run(Experiment(tier="smoke", conditioning="typed"), progress=False)


# ---------------------------------------------------------------- types


def test_numpy_s_numbers_are_numbers(tmp_path):
    small = {"rank": np.uint8(4), "milestones": [np.int32(2)]}
    e = Experiment(seed=np.int64(3), lr=np.float32(0.5), tau=1, gamma=Fraction(1, 2), **small)
    assert e == Experiment(seed=3, lr=0.5, rank=4, milestones=(2,), tau=1.0, gamma=0.5)
    (tmp_path / "config.json").write_text(json.dumps({"experiment": asdict(e.resolved())}))
    assert Run(tmp_path).experiment == e.resolved()
    assert type(e.tau) is float and type(e.seed) is int and hash(e)


def test_a_run_of_an_earlier_version_took_the_tier_s_values(tmp_path):
    told = asdict(Experiment(tier="full").resolved())
    for name in ("identities", "milestones", "gamma"):
        told.pop(name)
    (tmp_path / "config.json").write_text(json.dumps({"experiment": told}))
    assert Run(tmp_path).experiment == Experiment(tier="full").resolved()


NUMBERS = [f.name for f in fields(Experiment) if f.type in ("int", "float", "int | None", "float | None")]
WHOLE = [f.name for f in fields(Experiment) if f.type in ("int", "int | None")]


def of_what_kind(options: dict) -> str:
    """A test's name that is the same in every process: the text of a set, or of an iterator, is not."""
    return "-".join(f"{name}={type(value).__name__}" for name, value in options.items())


VALUES = (-1, float("inf"), float("nan"), True, "3", [3], (), {}, 1j, np.zeros(2), torch.ones(1), 10**400)


@pytest.mark.parametrize(
    "options",
    [{name: value} for name in NUMBERS for value in VALUES]
    + [{name: value} for name in WHOLE for value in (1.5, 2.0)]
    + [{"seed": value} for value in (None, 2**32, 2**62)]
    + [{"accumulation": None}, {"erasing": 1.1}, {"gamma": 2}, {"identities": 1}]
    + [{name: value} for name in ("tier", "conditioning", "adaptation", "recipe") for value in (None, 3, ["lite"])]
    + [{"precision": value} for value in (16, ["no"], True)]
    + [{"milestones": value} for value in (3, "30+50", (5, 3), (2, 2), (0,), (1.5,), (True,), (None,))]
    + [{"milestones": value} for value in ({3, 5}, np.array([3]))]
    + [{"sources": value} for value in (None, 3, {"MA", "D"}, ("MA", None), [["MA"]], True, iter(["MA"]), "", b"MA")],
    ids=of_what_kind,
)
def test_what_is_of_no_use_is_refused_in_one_sentence(options):
    with pytest.raises(ValueError) as refused:
        Experiment(**options)
    (name,) = options
    sentence = str(refused.value)
    assert sentence.startswith("source" if name == "sources" else name) and "; expected" in sentence
    assert sentence.endswith(".") and "\n" not in sentence.replace("\\n", "") and len(sentence) < 600


@pytest.mark.parametrize("name", [None, 3, ["D"], b"D"])
def test_a_target_that_is_no_name_is_refused(name):
    with pytest.raises(ValueError, match="domain is .*expected one of MA, D"):
        load_domain(name, "smoke")


@pytest.mark.parametrize("fast, precision", [(True, "bf16"), (False, "no")])
def test_the_lite_tier_takes_the_arithmetic_that_the_machine_is_fast_in(monkeypatch, fast, precision):
    monkeypatch.setattr("dcac_lite.experiment.bfloat16_is_fast", lambda: fast)
    assert Experiment().resolved().precision == precision
    assert Experiment(precision="fp16").resolved().precision == "fp16"
    assert Experiment(tier="full").resolved().precision == "bf16"  # as the recipe says


def test_more_is_trained_where_there_is_more_to_learn():
    steps = [Experiment(sources=s).resolved().iterations for s in ("MA", "MS", ("MA", "D"))]
    assert steps[0] < steps[1] == steps[2]
    assert Experiment(sources="MS", iterations=7).resolved().iterations == 7
    assert Experiment(tier="full", sources="MS").resolved().iterations is None
