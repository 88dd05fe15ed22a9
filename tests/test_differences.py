"""The list of differences between the paper's text and its code points at things that exist and says what the recipes do."""

from dataclasses import fields
from importlib import import_module

import pytest
import torch

from dcac_lite.book.differences import DIFFERENCES, TRAPS, as_markdown, as_table
from dcac_lite.conditioning import ConditionNet
from dcac_lite.recipes import RECIPES, Recipe
from dcac_lite.tiers import FULL
from dcac_lite.trainer import lr_factor

ALL = (*DIFFERENCES, *TRAPS)
each = pytest.mark.parametrize("difference", ALL, ids=lambda d: d.topic)


@each
def test_where_names_something_of_the_module(difference):
    assert difference.where
    for place in difference.where:
        module, name = place.rsplit(".", 1)
        assert hasattr(import_module(f"dcac_lite.{module}"), name), place


@each
def test_everything_is_said(difference):
    for field in ("topic", "group", "place", "text", "code", "effect", "ours"):
        assert getattr(difference, field).strip(), field
    for field in ("text", "code", "effect", "ours"):
        assert getattr(difference, field).endswith("."), field


def test_every_choice_of_the_recipes_is_explained_once():
    explained = [d.recipe for d in ALL if d.recipe]
    assert sorted(explained) == sorted(f.name for f in fields(Recipe))
    assert len({d.topic for d in ALL}) == len(ALL)


def test_the_renderings_hold_every_record():
    table, prose = as_table(ALL), as_markdown(ALL)
    assert len(table) == len(ALL) and set(table.choice) - {""} == {f.name for f in fields(Recipe)}
    assert prose.count("* **The text:**") == len(ALL)
    assert f"official `{RECIPES['official'].test_resize}`" in as_markdown(DIFFERENCES, "counting and testing")
    assert as_markdown(DIFFERENCES, "loss") in prose
    with pytest.raises(ValueError, match="group is 'losses'; expected one of U-Net, condition"):
        as_markdown(DIFFERENCES, "losses")


def said(topic: str) -> str:
    (d,) = (d for d in ALL if d.topic == topic)
    return f"{d.text} {d.code} {d.effect}"


def test_the_numbers_it_quotes_are_the_code_s():
    rates = {
        start: [FULL.lr * lr_factor(e, FULL.warmup, FULL.milestones, start) for e in range(1, FULL.epochs + 1)]
        for start in (False, True)
    }
    words = said("Start of the warm-up")
    assert f"epoch 1 runs at {rates[False][0] * 1e7:.1f}e-7" in words and rates[True][0] == pytest.approx(5e-7)
    assert f"{rates[False][4] - rates[True][4]:.1e}".replace("e-07", "e-7") in words
    assert f"{100 * (1 - sum(rates[True]) / sum(rates[False])):.1f} %" in words
    torch.manual_seed(0)
    c = ConditionNet(751, 512, 768, 0.6)(torch.randn(64, 751), torch.randn(64, 512), torch.zeros(64, dtype=torch.int64))
    assert f"about {c.std().item():.0f}," in said("ConditionNet")
    assert f"{4 * 16 * 16:,}" in said("Size of the diffusion loss")
