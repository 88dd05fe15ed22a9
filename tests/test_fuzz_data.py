"""Damaged images, odd names, wrong folders: each ends in a sentence of ours or in a right result."""

import io
import os
import random
import shutil
import struct
import tempfile
import traceback
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import dcac_lite
from dcac_lite import load_domain, rank_metrics, read_dataset, training_set
from dcac_lite.datasets import DATASETS, FOLDERS, LISTS
from dcac_lite.rehearsal_data import write_tiny_datasets

SIZE = (32, 16)
OURS = (ValueError, FileNotFoundError, PermissionError, OSError)
PACKAGE = str(Path(dcac_lite.__file__).parent)


def photograph(kind="JPEG", seed=0):
    """The bytes of a picture with something on it."""
    pixels = np.random.default_rng(seed).integers(0, 255, (8, 4, 3), np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).resize((48, 96), Image.Resampling.BICUBIC).save(stream, kind, quality=90)
    return stream.getvalue()


@pytest.fixture
def tree(tmp_path):
    """A right data set: two training identities, one query, one match in another camera, one stranger."""
    root = tmp_path / "mine"
    names = {"train": ("0001_c1_0", "0002_c2_1"), "query": ("0003_c1_2",), "gallery": ("0003_c2_3", "0004_c1_4")}
    for split, files in names.items():
        (root / FOLDERS[split]).mkdir(parents=True)
        for k, name in enumerate(files):
            (root / FOLDERS[split] / f"{name}.jpg").write_bytes(photograph(seed=ord(split[0]) + k))
    return root


def outcome(read, case, *named):
    """What `read` returns, or its error, which must be a sentence of ours that names one of `named`."""
    try:
        return read()
    except Exception as error:
        message = str(error)
        assert type(error) in OURS, f"{case}: {type(error).__name__}: {message}"
        last = traceback.extract_tb(error.__traceback__)[-1].filename
        assert last.startswith(PACKAGE), f"{case}: raised in {last}: {message}"
        assert any(name in message for name in named), f"{case}: names none of {named}: {message}"
        rest = message.replace(max((n for n in named if n in message), key=len), "")
        assert message.endswith(".") and len(rest) < 600, f"{case}: no sentence: {message[:2000]}"
        return error


def nothing_half_written(folder, case):
    left = [str(p) for p in Path(folder).rglob(".*part*")]
    assert not left, f"{case}: left {left}"


# ---------------------------------------------------------------- images


def png_of(width, height, data=b""):
    chunk = lambda kind, body: struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))  # noqa: E731
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


def damages():
    rng = random.Random(1)
    for kind in ("JPEG", "PNG"):
        whole = photograph(kind)
        for _ in range(20):
            at = rng.randrange(1, len(whole))
            yield f"{kind} cut after {at} of {len(whole)} bytes", whole[:at], whole
        for at in range(1, 6):
            yield f"{kind} without its last {at} bytes", whole[:-at], whole
        for count in (1, 1, 1, 3, 3, 10, 10, 30, 100):
            broken = bytearray(whole)
            for at in rng.sample(range(len(whole)), count):
                broken[at] ^= 1 << rng.randrange(8)
            yield f"{kind} with {count} bits flipped", bytes(broken), None
        for _ in range(4):
            at = rng.randrange(len(whole) - 80)
            yield f"{kind} with 64 zero bytes at {at}", whole[:at] + bytes(64) + whole[at + 64 :], None
            yield f"{kind} without 64 bytes at {at}", whole[:at] + whole[at + 64 :], None
        yield f"{kind} with text behind it", whole + b"some text", whole
        yield f"{kind} after text", b"some text" + whole, b""
    yield "no bytes", b"", b""
    yield "text", b"<html>404 Not Found</html>", b""
    yield "zeros", bytes(5000), b""
    yield "noise", rng.randbytes(5000), b""
    yield "JPEG's first bytes only", b"\xff\xd8\xff\xe0", b""
    yield "PNG's first bytes only", b"\x89PNG\r\n\x1a\n", b""
    for width, height in ((2**31 - 1, 2**31 - 1), (100_000, 100_000), (12_000, 10_000), (20_000, 3_000), (0, 0), (0, 9), (5, 4)):
        yield f"PNG that claims {width} x {height}", png_of(width, height), b""
    yield "a text block that unpacks to a gigabyte", photograph("PNG")[:33] + _text_bomb() + photograph("PNG")[33:], None


def _text_bomb():
    packed = zlib.compressobj(9)
    body = b"k\0\0" + b"".join(packed.compress(bytes(10**6)) for _ in range(80)) + packed.flush()
    return struct.pack(">I", len(body)) + b"zTXt" + body + struct.pack(">I", zlib.crc32(b"zTXt" + body))


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_damaged_images(tree, tmp_path):
    """Cut images are refused unless nothing of the picture was lost; other damage may go unnoticed,
    because JPEG has no checksum, but gives a whole image or a sentence."""
    victim = tree / "query" / "0003_c1_2.jpg"
    cases = list(damages())
    assert len(cases) > 90
    refused = 0
    for case, content, same_as in cases:
        victim.write_bytes(content)
        shutil.rmtree(tmp_path / "decoded", ignore_errors=True)
        result = outcome(lambda: read_dataset(tree, SIZE), case, victim.name)
        nothing_half_written(tmp_path, case)
        if isinstance(result, Exception):
            refused += 1
            assert type(result) is ValueError, case
            continue
        assert result.query.images.shape == (1, 3, *SIZE) and result.query.images.dtype == np.uint8, case
        assert same_as != b"", f"{case}: was read"
        if same_as is not None:
            victim.write_bytes(same_as)
            assert np.array_equal(result.query.images, read_dataset(tree, SIZE).query.images), f"{case}: other pixels"
    assert refused > 50


# ---------------------------------------------------------------- names

RIGHT = {
    "0003_c1é中文.jpg": (3, 1), "0003_c1 a b.jpg": (3, 1), "0003_c1.JPG": (3, 1), "0003_c1.JPEG": (3, 1), "0003_c1.PnG": (3, 1),
    "3_c01.jpg": (3, 1), "0003_c1" + "x" * 200 + ".jpg": (3, 1), "999999999999999999_c1.jpg": (10**18 - 1, 1), "0000_c1.jpg": (0, 1),
    "0003_c12_0.jpg": (3, 12), "0003_c0.jpg": (3, 0), "0003_c999.jpg": (3, 999), "0003_c1.jpg.jpg": (3, 1), "7_c5s3_c9.jpg": (7, 5),
    "0003_c1_\n.jpg": (3, 1), os.fsdecode(b"0003_c1_\xff\xfe.jpg"): (3, 1), "0003_c1;rm -rf.jpg": (3, 1), "0003_c1%s{}.jpg": (3, 1),
}  # fmt: skip
IGNORED = (
    "._0003_c1.jpg", ".hidden.jpg", "Thumbs.db", ".DS_Store", "readme.txt", "0003_c1.jpg.bak", "0003_c1.jpg~", "0003_c1", ".jpg",
    "-1_c1.jpg", "-1_c3s2_000451_03.jpg", "0003_c1.txt",
)  # fmt: skip
REFUSED = (
    "-2_c1.jpg", "-5000_c1.jpg", "9999999999999999999_c1.jpg", "0003_c9999999999999999999.jpg", "0003.jpg", "0003_000451.jpg", "0003_C1.jpg",
    "c1_0003.jpg", "_c1.jpg", "someone.jpg", "٣_c1.jpg", "0003_c٣.jpg", "+3_c1.jpg", "3.5_c1.jpg", "0x3_c1.jpg", "--3_c1.jpg", "0003_c-1.jpg",
    "0003-c1.jpg", "0003 _c1.jpg", " 0003_c1.jpg", "0003c1.jpg", "IMG_0001.jpg", "é.jpg", "0003_c.jpg", "1e5_c1.jpg", "0003_c1.bmp", "0003_c1.WEBP",
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


@pytest.mark.parametrize(("dataset", "camera"), [("MA", 0), ("MA", 7), ("D", 9), ("MS", 16), ("MS", 0), ("C3", 3), ("MA", 10**17)])
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
        name = "".join(rng.choice("0123456789_-cCs. é") for _ in range(rng.randrange(1, 12))) + rng.choice((".jpg", "_c1.jpg", "_c1s1.png"))
        path = tree / "query" / name
        path.write_bytes(photograph(seed=k))
        result = outcome(lambda: read_dataset(tree, SIZE), name, name)
        if not isinstance(result, Exception) and name in result.query.names:
            row = result.query.names.index(name)
            pid, camera = int(result.query.pids[row]), int(result.query.cameras[row])
            digits = name.partition("_c")[0]
            assert int(digits) == pid and name.partition("_c")[2].lstrip("0").startswith(str(camera).lstrip("0")), name
        path.unlink()


# ---------------------------------------------------------------- folders


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
    **{f"{n} misspelt": (lambda root, n=n: (root / n).rename(root / n.upper()), FileNotFoundError, n) for n in FOLDERS.values()},
    "nothing there": (shutil.rmtree, FileNotFoundError, "mine"),
    "a file": (_into_file, ValueError, "mine is a file"),
    "an empty folder": (lambda root: (shutil.rmtree(root), root.mkdir()), FileNotFoundError, "bounding_box_train"),
    "one folder too deep": (_nest, FileNotFoundError, "the data set lies in"),
    "a folder an identity": (_by_identity, ValueError, "0001 is a folder among images"),
    "a folder called like an image": (lambda root: (root / "query" / "0003_c1_9.jpg").mkdir(), ValueError, "0003_c1_9.jpg"),
    "a pipe called like an image": (lambda root: os.mkfifo(root / "query" / "0003_c1_9.jpg"), ValueError, "0003_c1_9.jpg is no file"),
    "a link to nothing": (_link("/nowhere/x.jpg"), FileNotFoundError, "0003_c1_9.jpg"),
    "a link to itself": (_link("0003_c1_9.jpg"), FileNotFoundError, "0003_c1_9.jpg"),
    "a list file beside folders": (lambda root: (root / "list_train.txt").write_text(""), ValueError, "keep one of the two layouts"),
    "a training image asked for": (
        lambda root: shutil.copy(root / "bounding_box_train" / "0001_c1_0.jpg", root / "query"), ValueError, "0001_c1_0.jpg is a training image too"),
    "a training image in the gallery": (
        lambda root: shutil.copy(root / "bounding_box_train" / "0002_c2_1.jpg", root / "bounding_box_test"), ValueError, "0002_c2_1.jpg is a training"),
    "decoded is a file": (lambda root: (root.parent / "decoded").write_text(""), OSError, "set DCAC_CACHE"),
}  # fmt: skip


@pytest.mark.parametrize("case", TREES)
def test_wrong_trees(tree, tmp_path, case):
    damage, kind, names = TREES[case]
    damage(tree)
    result = outcome(lambda: read_dataset(tree, SIZE), case, names)
    assert isinstance(result, kind), f"{case}: {result!r}"
    assert not list(tmp_path.glob("decoded/*")), case


@pytest.mark.parametrize("name", ["/no/such/place", "/a\0b", "/" + "x" * 5000, "", "XY", "ma", "MA ", "~nobody-here/x", "./", "../.."])
def test_wrong_names_of_domains(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for tier in ("lite", "full"):
        result = outcome(lambda: load_domain(name, tier), name, repr(name), str(Path(name).absolute()), os.path.abspath(name))
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


# ---------------------------------------------------------------- MSMT17's list files


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
    result = outcome(lambda: read_dataset(msmt17, SIZE, DATASETS["MS"]), case, offender, repr(LINES[case]), repr(offender)[1:-1])
    assert isinstance(result, (ValueError, FileNotFoundError)), f"{case}: {result!r}"
    assert not (tmp_path / "decoded").exists()


@pytest.mark.parametrize("name", LISTS)
def test_wrong_list_files(msmt17, name):
    path = msmt17 / name
    text = path.read_text()
    wrong = {"empty": b"", "blank": b" \n\n", "UTF-16": text.encode("utf-16"), "noise": random.Random(3).randbytes(999), "a picture": photograph(),
             "twice": (text + text).encode()}  # fmt: skip
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
        lambda t: t.replace("\n", "\r\n"), lambda t: "\ufeff" + t, lambda t: "\n\n" + t.replace("\n", "  \n\n"),
        lambda t: t.replace(" ", "\t"), lambda t: "\n".join(sorted(t.split("\n"), reverse=True)), lambda t: t.rstrip("\n"),
    ):  # fmt: skip
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
