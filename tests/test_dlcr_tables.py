"""What DLCR's tables print, as data: complete, and every difference is the difference of its numbers."""

import pandas as pd
import pytest

from dcac_lite.data.clothes import CLOTHES_DATASETS
from dcac_lite.paths import figures_root

TABLE = pd.read_csv(figures_root() / "paper" / "dlcr.csv", dtype={"table": str})
LINES = {"1": 11, "2": 44, "3": 24, "4": 12, "A1": 12, "A2": 36, "A3": 6, "A4": 4, "A5": 4, "A6": 10}


def test_every_table_is_there_and_no_number_twice():
    assert TABLE.groupby("table").size().to_dict() == LINES and TABLE["value"].notna().all()
    assert not TABLE.duplicated(["table", "row", "dataset", "metric"]).any()
    percent = TABLE[TABLE["metric"].isin(["R1", "mAP", "best_R1"])]
    assert percent["value"].between(0, 100).all()


def without_dlcr(line) -> str:
    """The name of the line that a line's difference is printed to."""
    if line.table == "2":
        (row,) = {r for r in TABLE.query("table == '2' and dataset == @line.dataset")["row"] if "CAL baseline" in r}
        return row
    own = TABLE[TABLE["table"] == line.table]["row"]
    if line.table in ("3", "A2"):
        own = own[own.str.startswith(line.row.split()[0])]
    return own.iloc[0]


def test_every_difference_is_that_of_its_numbers():
    values = TABLE.set_index(["table", "row", "dataset", "metric"])["value"]
    printed = TABLE[TABLE["delta"].notna()]
    assert len(printed) == 58
    for line in printed.itertuples():
        before = values[line.table, without_dlcr(line), line.dataset, line.metric]
        assert line.value - before == pytest.approx(line.delta, abs=0.051), line


def test_tables_agree_where_they_print_the_same_and_with_the_data_sets():
    cell = TABLE.set_index(["table", "row", "metric"])["value"]
    for metric in ("R1", "mAP"):
        whole = cell["A1", "6 ours + LLM prompts + progressive learning + prediction refinement", metric]
        assert whole == cell["A2", "CAL + DLCR (stages 1+2)", metric]
        assert cell["3", "CAL + DLCR (stage 1)", metric] == cell["A1", "4 ours + LLM prompts", metric]
    for dataset in CLOTHES_DATASETS.values():
        originals = cell["1", dataset.title, "original_training_images"]
        assert originals == dataset.images[0]
        assert cell["1", dataset.title, "generated_training_images"] == 10 * originals
