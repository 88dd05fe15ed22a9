"""Folders that are no data set, or one that is of no use, are refused in a sentence."""

import os
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
from fuzzing import SIZE, nothing_half_written, outcome

from dcac_lite import load_domain, rank_metrics, read_dataset, training_set
from dcac_lite.data.registry import FOLDERS


def _nest(root):
    inner = root.parent / "inner"
    root.rename(inner)
    root.mkdir()
    inner.rename(root / "inner")


def _by_identity(root):
    for path in sorted((root / "bounding_box_train").iterdir()):
        folder = path.parent / path.name[:4]
        folder.mkdir()
        path.rename(folder / path.name)


def _empty(folder):
    for path in folder.iterdir():
        path.unlink()


def _into_file(folder):
    shutil.rmtree(folder)
    folder.write_text("")


def _only_junk(folder):
    for k, path in enumerate(sorted(folder.iterdir())):
        path.rename(folder / f"-1_c1_{k}.jpg")


def _link(target):
    def damage(root):
        (root / "query" / "0003_c1_9.jpg").symlink_to(target)

    return damage


TREES = {
    **{f"no {n}": (lambda root, n=n: shutil.rmtree(root / n), FileNotFoundError, n) for n in FOLDERS.values()},
    **{f"empty {n}": (lambda root, n=n: _empty(root / n), ValueError, n) for n in FOLDERS.values()},
    **{f"{n} is a file": (lambda root, n=n: _into_file(root / n), FileNotFoundError, n) for n in FOLDERS.values()},
    **{f"only junk in {n}": (lambda root, n=n: _only_junk(root / n), ValueError, n) for n in FOLDERS.values()},
    **{f"{n} misspelt": (lambda root, n=n: (root / n).rename(root / n.upper()), FileNotFoundError, n)
       for n in FOLDERS.values()},
    "nothing there": (shutil.rmtree, FileNotFoundError, "mine"),
    "a file": (_into_file, ValueError, "mine is a file"),
    "an empty folder": (lambda root: (shutil.rmtree(root), root.mkdir()), FileNotFoundError, "bounding_box_train"),
    "one folder too deep": (_nest, FileNotFoundError, "the data set lies in"),
    "a folder an identity": (_by_identity, ValueError, "0001 is a folder among images"),
    "a folder called like an image": (lambda root: (root / "query" / "0003_c1_9.jpg").mkdir(), ValueError,
                                      "0003_c1_9.jpg"),
    "a pipe called like an image": (lambda root: os.mkfifo(root / "query" / "0003_c1_9.jpg"), ValueError,
                                    "0003_c1_9.jpg is no file"),
    "a link to nothing": (_link("/nowhere/x.jpg"), FileNotFoundError, "0003_c1_9.jpg"),
    "a link to itself": (_link("0003_c1_9.jpg"), FileNotFoundError, "0003_c1_9.jpg"),
    "a list file beside folders": (lambda root: (root / "list_train.txt").write_text(""), ValueError,
                                   "keep one of the two layouts"),
    "a training image asked for": (
        lambda root: shutil.copy(root / "bounding_box_train" / "0001_c1_0.jpg", root / "query"), ValueError,
        "0001_c1_0.jpg is a training image too"),
    "a training image in the gallery": (
        lambda root: shutil.copy(root / "bounding_box_train" / "0002_c2_1.jpg", root / "bounding_box_test"),
        ValueError, "0002_c2_1.jpg is a training"),
    "decoded is a file": (lambda root: (root.parent / "decoded").write_text(""), OSError, "set DCAC_CACHE"),
}  # fmt: skip


@pytest.mark.parametrize("case", TREES)
def test_wrong_trees(tree, tmp_path, case):
    damage, kind, names = TREES[case]
    damage(tree)
    result = outcome(lambda: read_dataset(tree, SIZE), case, names)
    assert isinstance(result, kind), f"{case}: {result!r}"
    assert not list(tmp_path.glob("decoded/*")), case


@pytest.mark.parametrize(
    "name", ["/no/such/place", "/a\0b", "/" + "x" * 5000, "", "XY", "ma", "MA ", "~nobody-here/x", "./", "../.."]
)
def test_wrong_names_of_domains(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for tier in ("lite", "full"):
        result = outcome(
            lambda: load_domain(name, tier), name, repr(name), str(Path(name).absolute()), os.path.abspath(name)
        )
        assert isinstance(result, (ValueError, FileNotFoundError)), f"{name}: {result!r}"


@pytest.mark.parametrize("closed", ["", "bounding_box_train", "query/0003_c1_2.jpg", "bounding_box_test/0004_c1_4.jpg"])
def test_what_may_not_be_read_is_named(tree, closed):
    folder = Path(tempfile.mkdtemp())  # pytest's own folder is closed to other users
    try:
        root = Path(shutil.copytree(tree, folder / "mine"))
        folder.chmod(0o777)
        (root / closed).chmod(0)
        if os.geteuid() == 0:
            os.seteuid(65534)
        try:
            result = outcome(lambda: read_dataset(root, SIZE), closed, str(root / closed))
        finally:
            os.seteuid(os.getuid())
        assert isinstance(result, (PermissionError, ValueError)), f"{closed}: {result!r}"
        nothing_half_written(folder, closed)
    finally:
        (root / closed).chmod(0o755)
        shutil.rmtree(folder)


def test_trees_that_are_right_but_useless_say_so_when_used(tree):
    def scores(domain):
        features = [torch.rand(len(s), 3) for s in (domain.query, domain.gallery)]
        labels = domain.query.pids, domain.gallery.pids, domain.query.cameras, domain.gallery.cameras
        return rank_metrics(*features, *labels)

    assert scores(read_dataset(tree, SIZE))["queries"] == 1
    (tree / "bounding_box_test" / "0003_c2_3.jpg").rename(tree / "bounding_box_test" / "0003_c1_3.jpg")
    assert "No query has a true match" in str(outcome(lambda: scores(read_dataset(tree, SIZE)), "one camera", "query"))
    (tree / "bounding_box_test" / "0003_c1_3.jpg").rename(tree / "bounding_box_test" / "0009_c2_3.jpg")
    assert "No query has a true match" in str(outcome(lambda: scores(read_dataset(tree, SIZE)), "no match", "query"))
    (tree / "bounding_box_train" / "0002_c2_1.jpg").rename(tree / "bounding_box_train" / "0001_c2_1.jpg")
    assert "1 identity" in str(outcome(lambda: training_set([read_dataset(tree, SIZE)]), "one identity", "identity"))
    # numbers that training and test share are two people, as in MSMT17
    (tree / "query" / "0003_c1_2.jpg").rename(tree / "query" / "0001_c1_0.jpg")
    assert read_dataset(tree, SIZE).query.pids.tolist() == [1]


def test_a_decoded_file_cut_short_is_made_again(tree, tmp_path):
    first = read_dataset(tree, SIZE).train.images.copy()
    for at in (0, 10, 128, 1000):
        stored = next((tmp_path / "decoded").glob("mine-train*.npy"))
        stored.write_bytes(stored.read_bytes()[:at])
        assert np.array_equal(read_dataset(tree, SIZE).train.images, first), f"cut after {at} bytes"
