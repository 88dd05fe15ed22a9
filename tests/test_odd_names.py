"""Odd file names are understood, ignored, or refused by name."""

import os
import random

import numpy as np
import pytest
from fuzzing import SIZE, outcome, photograph

from dcac_lite import read_dataset
from dcac_lite.data.registry import DATASETS

RIGHT = {
    "0003_c1é中文.jpg": (3, 1), "0003_c1 a b.jpg": (3, 1), "0003_c1.JPG": (3, 1), "0003_c1.JPEG": (3, 1),
    "0003_c1.PnG": (3, 1),
    "3_c01.jpg": (3, 1), "0003_c1" + "x" * 200 + ".jpg": (3, 1), "999999999999999999_c1.jpg": (10**18 - 1, 1),
    "0000_c1.jpg": (0, 1),
    "0003_c12_0.jpg": (3, 12), "0003_c0.jpg": (3, 0), "0003_c999.jpg": (3, 999), "0003_c1.jpg.jpg": (3, 1),
    "7_c5s3_c9.jpg": (7, 5),
    "0003_c1_\n.jpg": (3, 1), os.fsdecode(b"0003_c1_\xff\xfe.jpg"): (3, 1), "0003_c1;rm -rf.jpg": (3, 1),
    "0003_c1%s{}.jpg": (3, 1),
}  # fmt: skip
IGNORED = (
    "._0003_c1.jpg", ".hidden.jpg", "Thumbs.db", ".DS_Store", "readme.txt", "0003_c1.jpg.bak", "0003_c1.jpg~",
    "0003_c1", ".jpg",
    "-1_c1.jpg", "-1_c3s2_000451_03.jpg", "0003_c1.txt",
)  # fmt: skip
REFUSED = (
    "-2_c1.jpg", "-5000_c1.jpg", "9999999999999999999_c1.jpg", "0003_c9999999999999999999.jpg", "0003.jpg",
    "0003_000451.jpg", "0003_C1.jpg",
    "c1_0003.jpg", "_c1.jpg", "someone.jpg", "٣_c1.jpg", "0003_c٣.jpg", "+3_c1.jpg", "3.5_c1.jpg", "0x3_c1.jpg",
    "--3_c1.jpg", "0003_c-1.jpg",
    "0003-c1.jpg", "0003 _c1.jpg", " 0003_c1.jpg", "0003c1.jpg", "IMG_0001.jpg", "é.jpg", "0003_c.jpg", "1e5_c1.jpg",
    "0003_c1.bmp", "0003_c1.WEBP",
    "0003_c1.tiff", "(1)_c1.jpg", "nan_c1.jpg", "-_c1.jpg", "9" * 200 + "_c1.jpg",
)  # fmt: skip


@pytest.mark.parametrize("name", RIGHT)
def test_odd_names_that_are_right(tree, name):
    (tree / "query" / name).write_bytes(photograph(seed=99))
    query = read_dataset(tree, SIZE).query
    k = query.names.index(name)
    assert (query.pids[k], query.cameras[k]) == RIGHT[name] and len(query) == 2


@pytest.mark.parametrize("name", IGNORED)
def test_files_that_are_no_images_of_people_are_ignored(tree, name):
    before = read_dataset(tree, SIZE)
    (tree / "query" / name).write_bytes(b"anything")
    assert read_dataset(tree, SIZE).fingerprint == before.fingerprint


@pytest.mark.parametrize("name", REFUSED)
def test_names_that_cannot_be_understood_are_named(tree, tmp_path, name):
    (tree / "query" / name).write_bytes(photograph())
    result = outcome(lambda: read_dataset(tree, SIZE), name, name)
    assert type(result) is ValueError, f"{name} was read"
    assert not (tmp_path / "decoded").exists()


@pytest.mark.parametrize(
    ("dataset", "camera"), [("MA", 0), ("MA", 7), ("D", 9), ("MS", 16), ("MS", 0), ("C3", 3), ("MA", 10**17)]
)
def test_cameras_that_a_data_set_does_not_have(tree, dataset, camera):
    name = f"0003_c{camera}_9.jpg"
    for path in tree.rglob("*_c2_*.jpg"):
        path.rename(path.with_name(path.name.replace("_c2_", "_c1_")))
    (tree / "bounding_box_test" / name).write_bytes(photograph())
    result = outcome(lambda: read_dataset(tree, SIZE, DATASETS[dataset]), name, name)
    assert type(result) is ValueError and f"camera {camera} is out of range" in str(result)
    assert isinstance(read_dataset(tree, SIZE).gallery.cameras, np.ndarray)  # a folder of one's own may


def test_random_names(tree):
    rng = random.Random(2)
    for k in range(60):
        name = "".join(rng.choice("0123456789_-cCs. é") for _ in range(rng.randrange(1, 12))) + rng.choice(
            (".jpg", "_c1.jpg", "_c1s1.png")
        )
        path = tree / "query" / name
        path.write_bytes(photograph(seed=k))
        result = outcome(lambda: read_dataset(tree, SIZE), name, name)
        if not isinstance(result, Exception) and name in result.query.names:
            row = result.query.names.index(name)
            pid, camera = int(result.query.pids[row]), int(result.query.cameras[row])
            digits = name.partition("_c")[0]
            assert int(digits) == pid and name.partition("_c")[2].lstrip("0").startswith(str(camera).lstrip("0")), name
        path.unlink()
