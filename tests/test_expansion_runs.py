"""Stage 2: pools of copies, batches of pairs, a training that can be interrupted, and the table of arms."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from dcac_lite.__main__ import main
from dcac_lite.book import clothes_figures
from dcac_lite.expansion import learning
from dcac_lite.expansion.arms import REFERENCE
from dcac_lite.expansion.copies import oracle_copies
from dcac_lite.expansion.domains import file_name, truth_of
from dcac_lite.expansion.findings import CHANGED, SAME, differences, findings, gains, verdict
from dcac_lite.expansion.learning import Batches, Material, learn
from dcac_lite.expansion.pools import POOLS, pool
from dcac_lite.expansion.probes import within
from dcac_lite.expansion.recipe import SMOKE
from dcac_lite.expansion.specs import CLOTHES_DOMAINS
from dcac_lite.expansion.world import plan, worn_mask
from dcac_lite.paths import figures_root

CP = CLOTHES_DOMAINS["CP"]
NAMES = [file_name(record) for record in plan(CP)[:6:2]]


# ---------------------------------------------------------------- pools


def test_each_kind_of_copies_changes_what_it_says():
    samples = truth_of(CP, NAMES)
    pictures = np.stack([s.picture.image.transpose(2, 0, 1) for s in samples])
    masks = np.stack([worn_mask(s) for s in samples])
    pools = {kind: POOLS[kind](CP, NAMES, 2) for kind in ("second augmentation", "O-", "O1", "O2", "O3")}
    assert all(copies.shape == (3, 2, 3, 64, 32) and copies.dtype == np.uint8 for copies in pools.values())
    assert (pools["second augmentation"] == pictures[:, None]).all()
    changed = {kind: (copies != pictures[:, None]).any(2) for kind, copies in pools.items()}  # [M, K, H, W]
    for kind in ("O-", "O2"):
        assert not (changed[kind] & ~masks[:, None]).any() and (changed[kind] & masks[:, None]).any((2, 3)).all()
    assert (changed["O1"] & ~masks[:, None]).any()  # the outline follows the clothes
    assert changed["O3"].mean() > 0.9  # another place and light
    assert np.array_equal(np.where(masks[:, None, None], pools["O1"], pictures[:, None]), pools["O2"])


def test_the_oracle_s_pool_is_the_first_of_the_released_format_s():
    assert np.array_equal(POOLS["O2"](CP, NAMES[:1], 2), oracle_copies(CP, NAMES[:1])[0][:, :2])


def test_a_pool_is_made_once(monkeypatch):
    first = pool("second augmentation", CP, NAMES, 2)
    monkeypatch.setitem(POOLS, "second augmentation", lambda *_: pytest.fail("made again"))
    POOLS["second augmentation"].__module__ = "dcac_lite.expansion.oracles"
    assert np.array_equal(pool("second augmentation", CP, NAMES, 2), first)
    with pytest.raises(ValueError, match="kind of copies is 'O4'; expected one of second augmentation, O-"):
        pool("O4", CP, NAMES, 2)


# ---------------------------------------------------------------- batches and training


def material(copies=4, people=6, pictures=8, width=5) -> Material:
    """Features that hold picture, view (from 0) or copy (from 10), and noise."""
    rng = np.random.default_rng(0)
    rows = np.arange(people * pictures)

    def seen(count: int, first: int) -> np.ndarray:
        x = rng.normal(size=(len(rows), count, width))
        x[..., 0], x[..., 1] = rows[:, None], first + np.arange(count)
        return x.astype(np.float16)

    return Material(seen(2, 0), seen(copies, 10) if copies else None, 1 + rows // pictures, 10 + rows % 2)


def batches(pairing: str, copies=4, seed=3) -> Batches:
    some = material(copies)
    labels = torch.from_numpy(np.unique(some.pids, return_inverse=True)[1])
    return Batches(some, labels, pairing, replace(SMOKE, epochs=12, iterations=3), seed)


def test_each_original_comes_with_a_copy_of_the_same_picture_from_a_pool_that_grows():
    growing, paired, alone = batches("growing"), batches("paired"), batches("none", copies=0)
    used = {"growing": set(), "paired": set()}
    for step in range(36):
        for name, several in (("growing", growing), ("paired", paired)):
            batch = several(step)
            assert batch.original.tolist() == [True] * 8 + [False] * 8
            assert torch.equal(batch.x[:, 0].long(), batch.rows) and torch.equal(batch.rows[:8], batch.rows[8:])
            assert (batch.x[:8, 1] < 2).all() and (batch.x[8:, 1] >= 10).all()
            if step < 3:
                used[name] |= set(batch.x[8:, 1].tolist())
            assert torch.equal(alone(step).x, batch.x[:8])  # arms of a seed see the same originals
    assert used["growing"] == {10.0} and used["paired"] == {10.0, 11.0, 12.0, 13.0}


def test_concatenated_copies_outnumber_originals():
    drawn = batches("concatenated")
    found = [drawn(step) for step in range(36)]
    assert all(len(batch.rows) == 16 for batch in found)
    original = torch.cat([batch.original for batch in found])
    kinds = torch.cat([batch.x[:, 1] for batch in found])
    assert torch.equal(original, kinds < 2) and original.float().mean() == pytest.approx(1 / 5, abs=0.06)
    assert all(torch.equal(batch.x[:, 0].long(), batch.rows) for batch in found)


@pytest.mark.parametrize(("pairing", "copies"), [("none", 4), ("paired", 0), ("tripled", 4)])
def test_a_pairing_that_does_not_go_with_the_copies_is_refused(pairing, copies):
    with pytest.raises(ValueError, match=f"pairing is '{pairing}' with"):
        batches(pairing, copies)


def test_an_interrupted_training_goes_on_to_the_same_weights(tmp_path, monkeypatch):
    recipe = replace(SMOKE, epochs=6, iterations=2)
    whole, history = learn(material(), "growing", True, recipe, 1, tmp_path / "whole.partial")
    seen = Batches.__call__

    def breaks(self, step):
        if step == 9:  # the adversary has begun, at epoch 2
            raise KeyboardInterrupt
        return seen(self, step)

    monkeypatch.setattr(learning.Batches, "__call__", breaks)
    with pytest.raises(KeyboardInterrupt):
        learn(material(), "growing", True, recipe, 1, tmp_path / "cut.partial")
    monkeypatch.setattr(learning.Batches, "__call__", seen)
    resumed, again = learn(material(), "growing", True, recipe, 1, tmp_path / "cut.partial")
    assert history == again and len(history) == 12
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name]), name


def test_the_clothes_losses_begin_with_their_epoch(tmp_path):
    recipe = replace(SMOKE, epochs=6, iterations=2)
    heads = {
        adversarial: [loss["loss"] for loss in learn(material(), "growing", adversarial, recipe, 1, tmp_path / name)[1]]
        for adversarial, name in ((True, "a"), (False, "b"))
    }
    before = recipe.start * recipe.iterations
    assert heads[True][:before] == heads[False][:before] and heads[True][before] > heads[False][before]


def test_the_variance_within_people():
    x = torch.tensor([[0.0, 1], [0, -1], [4, 1], [4, -1]])
    assert within(x, np.array([7, 7, 3, 3])) == pytest.approx(20)  # 1 of 4 + 1


# ---------------------------------------------------------------- the table


def test_arms_from_the_command_line(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("DCAC_RUNS", str(tmp_path))
    words = ["clothes", "arms", "--tier", "smoke", "--seeds", "0", "1", "--arms", "CAL", "second augmentation"]
    main(words)
    file = tmp_path / "results" / "clothes.csv"
    table = pd.read_csv(file)
    assert len(table) == 8 and set(table["protocol"]) == {"same clothes", "clothes-changing"}
    assert table["mAP"].between(0, 100).all() and table["within"].between(0, 100).all()
    assert table.loc[table["name"] == "CAL", "kind"].isna().all() and (table["seed"].value_counts() == 4).all()
    # what the table holds is not trained again, even where the runs are lost
    monkeypatch.setattr("dcac_lite.expansion.arms.learn", lambda *_: pytest.fail("trained again"))
    for run in (tmp_path / "smoke" / "clothes").glob("*.safetensors"):
        run.unlink()
    main([*words[:-2], "CAL"])
    assert pd.read_csv(file).equals(table)
    with pytest.raises(SystemExit):
        main([*words[:-2], "O5"])
    assert "arm is 'O5'; expected one of ID loss only, CAL" in capsys.readouterr().err


def test_refinement_from_the_command_line(tmp_path, monkeypatch):
    monkeypatch.setenv("DCAC_RUNS", str(tmp_path))
    main(["clothes", "refine", "--tier", "smoke", "--seeds", "0"])
    table = pd.read_csv(tmp_path / "results" / "clothes-refinement.csv", keep_default_na=False)
    assert set(table["name"]) == {"second augmentation", "O2"} and set(table["voters"]) == {
        "", "O2", "second augmentation",
    }  # fmt: skip
    refined = table[table["rule"].isin(["paper", "official"])]
    assert (refined["R1"] <= refined["bound"].astype(float) + 1e-6).all()
    alone = refined[refined["l"] == 0]  # nobody votes but the query, so it does not matter who could
    assert (alone.groupby(["name", "rule"])[["R1", "mAP"]].nunique() == 1).all(axis=None)


# ---------------------------------------------------------------- the sentences


def rows(name: str, values, kind=None, adversarial=True) -> list[dict]:
    facts = {"name": name, "kind": kind, "adversarial": adversarial, "outfits": None, "misled": 40, "colours": 90}
    both = [(CHANGED, 0), (SAME, 70)]
    return [
        facts | {"protocol": protocol, "seed": seed, "mAP": value + more, "R1": value / 5}
        for protocol, more in both
        for seed, value in enumerate(values)
    ]


def test_sentences_follow_the_intervals():
    arms = [*rows("CAL", (6.0, 6.2, 6.4)), *rows(REFERENCE, (6.1, 6.3, 6.2), "second augmentation")]
    arms += [*rows("O2", (9.0, 9.4, 9.1), "O2"), *rows("O-", (7.6, 7.8, 7.7), "O-"), *rows("O1", (10.0,), "O1")]
    table = pd.DataFrame(arms)
    found = differences(table)
    assert found.loc["O2", "mean"] == pytest.approx(2.967, abs=1e-3) and "O1" not in found.index  # one pair is none
    assert verdict(found.loc["O2"]) == "more" and verdict(found.loc["CAL"]) == "no difference seen"
    text = "\n".join(findings(table))
    assert "No difference seen: CAL. More: O2; O-." in text and "O- 51 %" in text
    assert gains(table).loc["O-"].tolist() == ["+1.50 [+1.50, +1.50]", "+0.30 [+0.30, +0.30]", 3]
    table.loc[(table["name"] == "O2") & (table["seed"] == 0), "mAP"] = 1
    assert "gains nothing that these pairs can see" in "\n".join(findings(table))


def test_figures_are_drawn_from_the_table():
    table = pd.DataFrame(
        [*rows("CAL", (6.0, 6.2)), *rows(REFERENCE, (6.1, 6.3), "x"), *rows("O2", (9.0, 9.4), "O2")]
        + [row | {"outfits": 5} for row in rows("CAL, 5 outfits", (8.0, 8.1))]
    )
    paper = pd.read_csv(figures_root() / "paper" / "dlcr.csv")
    bars = clothes_figures.gains_figure(table, paper).axes[0]
    assert [label.get_text() for label in bars.get_yticklabels()] == ["CAL", "O2", "CAL, 5 outfits"]
    assert bars.lines[-2].get_xdata().tolist() == [6.6]  # the paper's 62.4 over 55.8
    line = clothes_figures.outfits_figure(table).axes[0].lines[0]
    assert line.get_xdata().tolist() == [2, 5] and line.get_ydata().tolist() == pytest.approx([6.1, 8.05])
    pictures = clothes_figures.copies_figure(CP, NAMES[0], ["O-", "O2"], count=3)
    assert len(pictures.axes) == 9
