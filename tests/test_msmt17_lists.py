"""MSMT17's list files: wrong lines, files and folders are refused by name."""

import random
import shutil
from pathlib import Path

import pytest
from fuzzing import SIZE, nothing_half_written, outcome, photograph

from dcac_lite import read_dataset
from dcac_lite.data.registry import DATASETS, LISTS
from dcac_lite.tools.rehearsal_data import write_tiny_datasets


@pytest.fixture(scope="module")
def lists(tmp_path_factory):
    return write_tiny_datasets(tmp_path_factory.mktemp("lists") / "data", 2, 2, SIZE)


@pytest.fixture
def msmt17(lists, tmp_path):
    return Path(shutil.copytree(lists / "MSMT17_V2", tmp_path / "MSMT17_V2"))


GOOD = "0000/0000_000_01_0303morning_0000_0.jpg"
LINES = {
    "missing image": "0000/0000_999_01_0303morning_0000_0.jpg 0",
    "no person": "0000/0000_001_01_0303morning_0001_0.jpg",
    "person is a word": "0000/0000_001_01_0303morning_0001_0.jpg zero",
    "person is a fraction": "0000/0000_001_01_0303morning_0001_0.jpg 0.0",
    "person is negative": "0000/0000_001_01_0303morning_0001_0.jpg -2",
    "person is huge": "0000/0000_001_01_0303morning_0001_0.jpg 99999999999999999999",
    "no camera": "0000/0000.jpg 0",
    "camera is a word": "0000/0000_001_one_x.jpg 0",
    "camera out of range": "0000/0000_001_16_0303morning_0001_0.jpg 0",
    "absolute": "/etc/0_0_1_x.jpg 0",
    "upwards": "../../etc/0_0_1_x.jpg 0",
    "with a comma": "0000/0000_001_01_0303morning_0001_0.jpg,0",
    "turned around": "0 0000/0000_001_01_0303morning_0001_0.jpg",
    "one word": "hello",
    "a number": "0",
    "null": "0000/0000_001_01_\0.jpg 0",
    "too long": "0000/0000_001_01_" + "x" * 5000 + ".jpg 0",
    "a folder": "0000 0",
    "other digits": "0000/0000_001_01_0303morning_0001_0.jpg ٣",
}


@pytest.mark.parametrize("case", LINES)
@pytest.mark.parametrize("name", ["list_train.txt", "list_gallery.txt"])
def test_wrong_lines(msmt17, tmp_path, name, case):
    path = msmt17 / name
    path.write_text(path.read_text() + LINES[case] + "\n", encoding="utf-8")
    offender = LINES[case].split()[0]
    result = outcome(
        lambda: read_dataset(msmt17, SIZE, DATASETS["MS"]), case, offender, repr(LINES[case]), repr(offender)[1:-1]
    )
    assert isinstance(result, (ValueError, FileNotFoundError)), f"{case}: {result!r}"
    assert not (tmp_path / "decoded").exists()


@pytest.mark.parametrize("name", LISTS)
def test_wrong_list_files(msmt17, name):
    path = msmt17 / name
    text = path.read_text()
    wrong = {
        "empty": b"",
        "blank": b" \n\n",
        "UTF-16": text.encode("utf-16"),
        "noise": random.Random(3).randbytes(999),
        "a picture": photograph(),
        "twice": (text + text).encode(),
    }
    for case, content in wrong.items():
        path.write_bytes(content)
        result = outcome(lambda: read_dataset(msmt17, SIZE), f"{name}: {case}", name)
        assert isinstance(result, ValueError), f"{name}: {case} was read"
    path.unlink()
    assert type(outcome(lambda: read_dataset(msmt17, SIZE), f"no {name}", name)) is FileNotFoundError
    path.mkdir()
    assert type(outcome(lambda: read_dataset(msmt17, SIZE), f"{name} is a folder", name)) is ValueError


def test_list_files_written_otherwise_are_read_the_same(msmt17):
    expected = read_dataset(msmt17, SIZE).fingerprint
    for rewrite in (
        lambda t: t.replace("\n", "\r\n"),
        lambda t: "\ufeff" + t,
        lambda t: "\n\n" + t.replace("\n", "  \n\n"),
        lambda t: t.replace(" ", "\t"),
        lambda t: "\n".join(sorted(t.split("\n"), reverse=True)),
        lambda t: t.rstrip("\n"),
    ):
        for name in LISTS:
            path = msmt17 / name
            original = path.read_text()
            path.write_bytes(rewrite(original).encode())
            assert read_dataset(msmt17, SIZE).fingerprint == expected
            path.write_text(original)


def test_wrong_image_folders_of_msmt17(msmt17):
    train = next((msmt17 / "mask_train_v2").rglob("*.jpg"))
    listed = (msmt17 / "list_train.txt").read_text().split("\n")[0]
    validation = msmt17 / "list_val.txt"
    original = validation.read_text()
    validation.write_text(original + listed + "\n")
    both = outcome(lambda: read_dataset(msmt17, SIZE), "in train and val", listed.split()[0])
    assert type(both) is ValueError and "both name" in str(both)
    validation.write_text(original)
    train.write_bytes(train.read_bytes()[:50])
    assert type(outcome(lambda: read_dataset(msmt17, SIZE), "cut", train.name)) is ValueError
    for name in ("train", "test"):
        (msmt17 / name).mkdir()
    assert "both" in str(outcome(lambda: read_dataset(msmt17, SIZE), "V1 and V2", "MSMT17_V2"))
    shutil.rmtree(msmt17 / "train")
    shutil.rmtree(msmt17 / "mask_test_v2")
    assert "none" in str(outcome(lambda: read_dataset(msmt17, SIZE), "neither", "mask_test_v2"))


def test_random_changes_of_list_files(msmt17):
    rng = random.Random(4)
    for k in range(60):
        path = msmt17 / rng.choice(LISTS)
        original = path.read_text()
        at = rng.randrange(len(original))
        new = rng.choice(("", " ", "\n", "\0", "/", "_", "9", "-", "é", "x", "\t"))
        path.write_text(original[:at] + new + original[at + 1 :], encoding="utf-8")
        case = f"{k}: {path.name}, character {at} -> {new!r}"
        result = outcome(lambda: read_dataset(msmt17, SIZE, DATASETS["MS"]), case, str(msmt17))
        if not isinstance(result, Exception):  # one person id or line less at most
            counts = [len(result.train), len(result.query), len(result.gallery)]
            assert 14 <= sum(counts) <= 20 and result.train.images.shape[1:] == (3, *SIZE), case
        path.write_text(original)
    nothing_half_written(msmt17.parent, "all")
