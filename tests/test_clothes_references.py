"""How hard the clothes-changing domains are, as measured: the instruments, and the table that is published."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from dcac_lite.__main__ import main
from dcac_lite.expansion import domains as domains_module
from dcac_lite.expansion.protocols import Dressed, Protocol
from dcac_lite.expansion.references import in_the_query_s_clothes, parts, text, without_clothes
from dcac_lite.expansion.specs import CLOTHES_DOMAINS
from dcac_lite.expansion.wardrobe import catalogue
from dcac_lite.expansion.world import in_other_clothes, photograph, plan, worn_mask
from dcac_lite.paths import figures_root

CP = CLOTHES_DOMAINS["CP"]
TINY = replace(CP, train_ids=9, test_ids=6, train=54, query=24, gallery=18)


def test_parts_see_the_body_and_hardly_the_clothes():
    own, others, strangers = [], [], []
    samples = [photograph(CP, record) for record in plan(CP)[:120:4]]
    scale = np.std([parts(s) for s in samples], axis=0) + 1e-9
    for sample, stranger in zip(samples, samples[1:] + samples[:1]):
        outfit = catalogue(CP)[11]
        person = replace(sample.shot.person, **{n: getattr(outfit, n) for n in outfit.__dataclass_fields__})
        again = replace(sample, picture=in_other_clothes(sample, outfit), shot=replace(sample.shot, person=person))
        own.append(np.abs((parts(again) - parts(sample)) / scale).mean())
        strangers.append(np.abs((parts(stranger) - parts(sample)) / scale).mean())
        grey = without_clothes(sample)
        others.append((grey[worn_mask(sample)] == 128).mean())
    assert np.mean(own) < 0.6 * np.mean(strangers) and min(others) == 1
    assert parts(samples[0]).shape == (22,) and np.isfinite(np.stack([parts(s) for s in samples])).all()


def test_being_misled_is_counted_among_wrong_first_answers():
    x = torch.eye(4)
    query = Dressed(x[:3], np.array([1, 2, 3]), np.zeros(3, int), np.array([1, 2, 3]))
    gallery = Dressed(x, np.array([1, 5, 6, 3]), np.ones(4, int), np.array([4, 5, 6, 7]))
    numbers = np.array([0, 9, 8, 7, 6, 8, 5, 3])  # of outfits: query 2 and gallery 5 wear number 8
    # query 1 finds itself, 2 the stranger in its clothes, 3 one in others
    assert in_the_query_s_clothes(query, gallery, Protocol("general"), numbers) == 50
    first = query.rows(np.array([0]))
    assert np.isnan(in_the_query_s_clothes(first, gallery, Protocol("general"), numbers))


def test_the_report_measures_both_settings(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("DCAC_DATA", str(tmp_path / "data"))
    monkeypatch.setitem(domains_module.CLOTHES_DOMAINS, "CP", TINY)
    assert main(["clothes", "report", "--domains", "CP", "--out", str(tmp_path / "table.csv")]) is None
    table = pd.read_csv(tmp_path / "table.csv")
    assert "12 rows in" in capsys.readouterr().out and len(table) == 12
    score = table.set_index(["reference", "setting"])["mAP"]
    clothes = score["clothes alone, read with an error"]
    assert clothes["same clothes"] > clothes["clothes-changing"] + 20
    assert table.groupby("setting")["queries"].unique().map(list).to_dict() == {
        "same clothes": [12], "clothes-changing": [12]
    }  # fmt: skip
    assert "clothes-changing: mAP / R1" in text(table)
    assert main(["clothes", "draw", "--domains", "CP", "--outfits", "3"]) is None
    assert "CP (lite): " in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["clothes", "draw", "--domains", "CP", "--outfits", "1"])
    assert "1 outfits a person; CP can have 2 to 10" in capsys.readouterr().err


def test_the_published_table_says_that_the_world_asks_the_question():
    """Bodies tell people apart in either setting, clothes only in one; readers of pixels fall where clothes change."""
    table = pd.read_csv(figures_root() / "results" / "clothes-report.csv")
    assert set(table["domain"]) == set(CLOTHES_DOMAINS)
    for _, own in table.groupby("domain"):
        score = own.set_index(["reference", "setting"])["mAP"]
        same, changed = (score.xs(setting, level="setting") for setting in ("same clothes", "clothes-changing"))
        ceiling, clothes = "parts of the body, LDA (ceiling)", "clothes alone, read with an error"
        assert changed[ceiling] > 3 * changed.drop(ceiling).max()
        assert same[clothes] > 5 * changed[clothes]
        assert same["LDA on pixels"] > changed["LDA on pixels"]
