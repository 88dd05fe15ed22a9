"""The check of the data says what is right, what differs from Table 1 and what is wrong."""

import shutil
from dataclasses import replace

from folders import market

from dcac_lite import read_dataset
from dcac_lite.__main__ import main
from dcac_lite.data.listing import list_images
from dcac_lite.data.registry import DATASETS, FOLDERS
from dcac_lite.tools.verify import expected_tree, verify


def right(monkeypatch, name, root):
    """Make the registry expect what the miniature holds."""
    listing = list_images(DATASETS[name].find(root), DATASETS[name])
    counts = tuple(len(getattr(listing, split)) for split in FOLDERS)
    monkeypatch.setitem(DATASETS, name, replace(DATASETS[name], images=counts, identities=32))


def test_verify_says_all_right_and_what_differs(tiny, monkeypatch, capsys):
    for name in ("MA", "D", "MS", "C3"):
        right(monkeypatch, name, tiny)
    assert main(["verify", str(tiny)]) == 0
    out = capsys.readouterr().out
    assert out.count("all can be read") == 4 and "4 found, all right." in out and "DIFFERENT" not in out
    assert "DukeMTMC was withdrawn" in out and "MSMT17_V2 list files" in out and "60 training" in out
    dataset = DATASETS["MA"]
    assert read_dataset(dataset.find(tiny), (256, 128), dataset).fingerprint in out
    shown = out.replace(str(tiny), "data").splitlines()
    assert max(map(len, shown)) <= 100
    monkeypatch.undo()
    assert main(["verify", str(tiny)]) == 1
    out = capsys.readouterr().out
    assert "training images        64    12,936  DIFFERENT" in out and "16 complaints" in out


def test_verify_names_what_is_wrong(copy, monkeypatch, capsys):
    for name in ("MA", "D", "MS", "C3"):
        right(monkeypatch, name, copy)
    victims = (
        sorted((copy / "Market1501" / "query").iterdir())[:2]
        + sorted((copy / "MSMT17_V2" / "mask_test_v2").rglob("*.jpg"))[:1]
    )
    for path in victims:
        path.write_bytes(path.read_bytes()[:400])
    shutil.rmtree(copy / "DukeMTMC-reID" / "query")
    shutil.rmtree(copy / "cuhk03np")
    assert verify(copy) == 1
    out = " ".join(capsys.readouterr().out.split())
    assert all(path.name in out for path in victims) and out.count("UNREADABLE") == 3
    assert "WRONG" in out and "has no folder query/" in out and "bounding_box_test/ 0001_c2_f0046182.jpg" in out
    assert "Not here: CUHK03-NP, detected boxes (C3)" in out and "3 found, 4 complaints." in out


def test_verify_on_a_folder_of_ones_own(tmp_path, capsys):
    root = market(tmp_path / "mine", ("0001", "0002"), ("0003", "0004"), ("0004", "0003"))
    assert verify(root) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "names tell no cameras" in out and "scores are higher and not comparable" in out and "all right" in out
    assert verify(tmp_path / "nothing") == 1 and "No data set in" in capsys.readouterr().out
    one_camera = market(tmp_path / "one", query=("0003_c2",))
    assert verify(one_camera) == 1 and "1 of 1 queries have no match in another camera" in capsys.readouterr().out


def test_every_data_set_has_a_tree_to_print():
    for dataset in DATASETS.values():
        assert dataset.folders[0] in expected_tree(dataset)
