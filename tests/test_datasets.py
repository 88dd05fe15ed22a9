"""The real data sets' layouts, read from miniature copies; the check of the data; folders of one's own."""

import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dcac_lite import Experiment, load_domain, rank_metrics, read_dataset, training_set
from dcac_lite import decoding
from dcac_lite.datasets import DATASETS, FOLDERS, MARKET_LAYOUT
from dcac_lite.listing import list_images
from dcac_lite.rehearsal_data import write_tiny_datasets
from dcac_lite.verify import main, verify

SIZE = (64, 32)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """All four data sets, small; MSMT17 as V2 list files. Read only; copy what a test changes."""
    return write_tiny_datasets(tmp_path_factory.mktemp("tiny") / "data", size=SIZE)


@pytest.fixture
def copy(tiny, tmp_path):
    return Path(shutil.copytree(tiny, tmp_path / "data"))


def picture(path, colour=(200, 30, 90), size=(20, 40)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)
    return path


def market(root, train=("0001_c1", "0002_c2"), query=("0003_c1",), gallery=("0003_c2",)):
    for split, names in zip(FOLDERS, (train, query, gallery)):
        for k, name in enumerate(names):
            picture(root / FOLDERS[split] / f"{name}_{k}.jpg", (k * 40, ord(split[0]), sum(map(ord, name)) % 256))
    return root


def test_registry_holds_table_1():
    counts = {name: (d.cameras, d.identities, *d.images) for name, d in DATASETS.items()}
    assert counts["MA"] == (6, 1501, 12936, 3368, 15913)
    assert counts["D"] == (8, 1812, 16522, 2228, 17661)
    assert counts["MS"] == (15, 4101, 32621, 11659, 82161)
    assert counts["C3"] == (2, 1467, 7365, 1400, 5332)
    assert counts["MS"][2] - counts["MS-without-val"][2] == 2373


@pytest.mark.parametrize("name", ["MA", "D", "MS", "MS-without-val", "C3"])
def test_every_layout_is_found_and_read(tiny, name, monkeypatch, tmp_path):
    monkeypatch.setenv("DCAC_DATA", str(tiny))
    monkeypatch.setenv("DCAC_CACHE", str(tmp_path))
    domain = load_domain(name, "full")
    dataset = DATASETS[name]
    cameras = {c for split in (domain.train, domain.query, domain.gallery) for c in split.cameras}
    assert cameras == set(range(1, dataset.cameras + 1)) and domain.name == name
    assert len(domain.train) == (60 if name == "MS-without-val" else 64) and len(np.unique(domain.train.pids)) == 16
    assert len(domain.query) == 32 and set(domain.query.pids) <= set(domain.gallery.pids)
    assert (domain.gallery.pids == 0).sum() == (6 if name == "MA" else 0)
    assert not set(domain.train.pids) & set(domain.query.pids)
    assert not (domain.gallery.pids == -1).any()
    assert domain.layout == ("MSMT17_V2 list files" if name.startswith("MS") else MARKET_LAYOUT)
    assert domain.train.images.shape == (len(domain.train), 3, 256, 128) and domain.train.images.dtype == np.uint8
    # what is stored is what is in the file of that name
    k = len(domain.query) // 2
    listing = list_images(domain.root, dataset)
    with Image.open(listing.query[k].path) as image:
        expected = np.asarray(image.convert("RGB").resize((128, 256), Image.Resampling.BICUBIC)).transpose(2, 0, 1)
    assert np.array_equal(domain.query.images[k], expected) and domain.query.names[k] == listing.query[k].name


def test_msmt17_versions_and_layouts_tell_themselves_apart(tmp_path, tiny):
    layouts = ("MSMT17_V1", "MSMT17_V2", MARKET_LAYOUT)
    roots = {layout: write_tiny_datasets(tmp_path / str(k), 2, 2, SIZE, layout) for k, layout in enumerate(layouts)}
    dataset = DATASETS["MS"]
    domains = {layout: read_dataset(dataset.find(root), SIZE, dataset) for layout, root in roots.items()}
    assert len({d.fingerprint for d in domains.values()}) == 3
    assert [d.layout for d in domains.values()] == ["MSMT17_V1 list files", "MSMT17_V2 list files", MARKET_LAYOUT]
    for split in ("train", "query", "gallery"):  # the same pictures, whatever the layout
        parts = [getattr(d, split) for d in domains.values()]
        first, *others = (sorted((int(c), i.tobytes()) for c, i in zip(p.cameras, p.images)) for p in parts)
        assert all(first == other for other in others)
    with pytest.raises(ValueError, match="MS-without-val needs list_val.txt"):
        list_images(dataset.find(roots[MARKET_LAYOUT]), DATASETS["MS-without-val"])
    with pytest.raises(ValueError, match="is there 2 times.*MSMT17_V1.*MSMT17_V2"):
        shutil.copytree(roots["MSMT17_V1"] / "MSMT17_V1", roots["MSMT17_V2"] / "MSMT17_V1")
        dataset.find(roots["MSMT17_V2"])


@pytest.mark.parametrize("name", ["MA", "D", "MS", "C3"])
def test_every_accepted_place_is_found(tiny, tmp_path, name):
    dataset = DATASETS[name]
    for place in dataset.folders:
        root = tmp_path / place.replace("/", "-")
        (root / place).parent.mkdir(parents=True)
        (root / place).symlink_to(DATASETS[name].find(tiny))
        assert list_images(dataset.find(root), dataset).folder == root / place


def test_labels_do_not_depend_on_the_file_system(tiny, tmp_path):
    source = DATASETS["D"].find(tiny)
    backwards = tmp_path / "x1_c2"  # a root that looks like a person
    for path in sorted(source.rglob("*.jpg"), reverse=True):
        target = backwards / path.relative_to(source)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    one, other = (read_dataset(folder, SIZE, DATASETS["D"]) for folder in (source, backwards))
    assert one.fingerprint == other.fingerprint and one.train.names == other.train.names
    assert training_set([one]).labels.equal(training_set([other]).labels)
    labels = dict(zip(one.train.pids.tolist(), training_set([one]).labels.tolist()))
    assert [labels[pid] for pid in sorted(labels)] == list(range(16))


# ---------------------------------------------------------------- decoding


def test_decoding_happens_once_and_again_when_a_file_changes(tmp_path, monkeypatch):
    root = market(tmp_path / "mine")
    first = read_dataset(root, SIZE)
    decoded = sorted((tmp_path / "decoded").glob("*.npy"))
    times = [p.stat().st_mtime_ns for p in decoded]
    assert len(decoded) == 3
    again = read_dataset(root, SIZE)
    assert [p.stat().st_mtime_ns for p in decoded] == times and np.array_equal(first.train.images, again.train.images)
    path = root / "query" / first.query.names[0]
    content, status = path.read_bytes(), path.stat()
    other = market(tmp_path / "elsewhere", query=("0009_c1",)) / "query" / "0009_c1_0.jpg"
    same_size = other.read_bytes()[: len(content)].ljust(len(content), b"\0")
    path.write_bytes(same_size)  # neither name nor size tells
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 10**9))
    changed = read_dataset(root, SIZE)
    assert changed.fingerprint == first.fingerprint and not np.array_equal(changed.query.images, first.query.images)


def test_decoded_files_go_where_the_user_says_and_are_whole_or_absent(tmp_path, monkeypatch):
    root = market(tmp_path / "mine")
    (root / "query" / "0003_c1_5.jpg").write_bytes(b"no picture")
    monkeypatch.setenv("DCAC_CACHE", str(tmp_path / "cache"))
    with pytest.raises(ValueError, match="0003_c1_5.jpg is not a readable image"):
        read_dataset(root, SIZE)
    assert [p.name.split("-")[1] for p in (tmp_path / "cache").glob("*.npy")] == ["train"] and not (tmp_path / "decoded").exists()
    assert not list((tmp_path / "cache").glob(".*"))
    (root / "query" / "0003_c1_5.jpg").unlink()
    assert len(read_dataset(root, SIZE).query) == 1


def test_a_killed_build_leaves_nothing_in_use(tmp_path):
    root = market(tmp_path / "mine", train=[f"{k:04d}_c1" for k in range(1, 40)])
    code = (
        "import os, signal, sys; from pathlib import Path; from dcac_lite.data import read_dataset\n"
        "def kill(items):\n"
        "    for k in items:\n"
        "        if k == 20: os.kill(os.getpid(), signal.SIGKILL)\n"
        "        yield k\n"
        "read_dataset(Path(sys.argv[1]), (64, 32), progress=kill)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(root)]).returncode == -9
    assert list((tmp_path / "decoded").glob(".*.part.npy")) and not list((tmp_path / "decoded").glob("[!.]*.npy"))
    domain = read_dataset(root, SIZE)
    assert domain.train.images[38].any() and not list((tmp_path / "decoded").glob(".*.part.npy"))


def test_a_full_disk_is_told_before_the_work_starts(tmp_path, monkeypatch):
    root = market(tmp_path / "mine")
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr(decoding.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(OSError, match=r"mine need 0.0 GB in .*decoded, which did not work \(0.0 GB are free\).*DCAC_CACHE"):
        read_dataset(root, SIZE)
    assert not list(tmp_path.glob("decoded/*"))


def test_a_read_only_place_is_refused_in_a_sentence():
    folder = Path(tempfile.mkdtemp())  # pytest's own folder is closed to other users
    try:
        market(folder / "mine")
        folder.chmod(0o555)
        if os.geteuid() == 0:
            os.seteuid(65534)
        try:
            with pytest.raises(OSError, match="decoded, which did not work .*Permission denied.* set DCAC_CACHE"):
                read_dataset(folder / "mine", SIZE)
        finally:
            os.seteuid(os.getuid())
    finally:
        folder.chmod(0o755)
        shutil.rmtree(folder)


def gradient():
    y, x = np.mgrid[0:40, 0:20]
    return np.stack([y * 6, x * 12, 255 - y * 6], -1).astype(np.uint8)


def variants():
    """(name, how to write it, what the pixels must be, or None where the image must be refused)."""
    rgb = gradient()
    grey = rgb[..., 0]
    image, L = Image.fromarray(rgb), Image.fromarray(grey)
    palette = image.quantize(256)
    turned = Image.Exif()
    turned[0x0112] = 6  # the camera was held upright: turn by 90 degrees
    clear = Image.fromarray(np.dstack([rgb, np.full(rgb.shape[:2], 255, np.uint8)]))
    glass = Image.fromarray(np.dstack([rgb, np.where(grey > 99, 255, 0).astype(np.uint8)]))
    sixteen = Image.fromarray(grey.astype(np.uint16) * 257)
    wide = np.asarray(image.transpose(Image.Transpose.ROTATE_90))
    return [
        ("grey.png", lambda p: L.save(p), np.dstack([grey] * 3)),
        ("grey.jpg", lambda p: L.save(p, quality=100), np.dstack([grey] * 3)),
        ("black-and-white.png", lambda p: L.convert("1").save(p), np.asarray(L.convert("1").convert("RGB"))),
        ("palette.png", lambda p: palette.save(p), np.asarray(palette.convert("RGB"))),
        ("palette-clear.png", lambda p: palette.save(p, transparency=0), None),
        ("opaque.png", lambda p: clear.save(p), rgb),
        ("glass.png", lambda p: glass.save(p), None),
        ("cmyk.jpg", lambda p: image.convert("CMYK").save(p, quality=100, subsampling=0), rgb),
        ("turned.jpg", lambda p: Image.fromarray(wide).save(p, quality=100, subsampling=0, exif=turned), rgb),
        ("sixteen.png", lambda p: sixteen.save(p), None),
        ("png-called.jpg", lambda p: image.save(p, format="PNG"), rgb),
        ("jpeg-called.png", lambda p: image.save(p, format="JPEG", quality=100, subsampling=0), rgb),
        ("progressive.jpg", lambda p: image.save(p, quality=100, subsampling=0, progressive=True), rgb),
        ("gif-called.png", lambda p: image.save(p, format="GIF"), None),
        ("bmp-called.jpg", lambda p: image.save(p, format="BMP"), None),
    ]


@pytest.mark.parametrize(("name", "write", "expected"), variants(), ids=[name for name, *_ in variants()])
def test_kinds_of_images_come_out_right_or_are_refused(tmp_path, name, write, expected):
    root = market(tmp_path / "mine")
    path = root / "query" / f"0003_c1_{name}"
    write(path)
    if expected is None:
        with pytest.raises(ValueError, match=f"{name} (is partly transparent|has pixels of kind|is not a readable image)"):
            read_dataset(root, (40, 20))
        return
    domain = read_dataset(root, (40, 20))
    got = domain.query.images[domain.query.names.index(path.name)].transpose(1, 2, 0)
    assert np.abs(got.astype(int) - expected.astype(int)).max() <= (8 if b"JFIF" in path.read_bytes()[:99] or "jpg" in name else 0)


# ---------------------------------------------------------------- folders of one's own


def test_a_folder_of_ones_own_is_a_source_and_a_target(tmp_path, monkeypatch):
    root = market(tmp_path / "mine")
    domain = load_domain(root, "lite")
    assert domain.name == "mine" and domain.train.images.shape[2:] == SIZE
    assert load_domain(str(root), "lite").fingerprint == domain.fingerprint
    monkeypatch.chdir(tmp_path)
    assert Experiment(sources="./mine").sources == (str(root),) == Experiment(sources=root).sources
    assert Experiment(sources=("MA", "mine/")).sources == ("MA", str(root))
    assert Experiment(sources=root).label.startswith(str(root))
    with pytest.raises(ValueError, match="'mine'; expected one of MA, D, .*, or the path of a folder"):
        Experiment(sources="mine")
    with pytest.raises(ValueError, match="source is 3; expected one of"):
        Experiment(sources=(3,))
    with pytest.raises(ValueError, match="names a domain twice"):
        Experiment(tier="full", sources=("MS", "MS-without-val"))
    without, whole = (Experiment(tier="full", sources=name).resolved() for name in ("MS-without-val", "MS"))
    assert (without.rank, without.tau_c) == (whole.rank, whole.tau_c) == (32, 1.0)
    assert Experiment(tier="full", sources="C3-labeled").resolved().tau_c == 0.1
    with pytest.raises(ValueError, match="MS-without-val exists in the full tier only"):
        load_domain("MS-without-val", "lite")
    with pytest.raises(FileNotFoundError, match="There is no folder .*/nowhere"):
        load_domain(tmp_path / "nowhere", "full")


def test_names_without_cameras_ignore_the_query_itself_and_nothing_else(tmp_path):
    root = market(tmp_path / "mine", ("0001", "0002"), ("0003", "0004"), ("0004", "0003"))
    query = root / "query" / "0003_0.jpg"
    shutil.copy(query, root / "bounding_box_test" / "0003_copy.jpg")
    domain = read_dataset(root, SIZE)
    assert not domain.cameras_known and domain.gallery.names == ("0003_1.jpg", "0003_copy.jpg", "0004_0.jpg")
    same = domain.query.cameras[:, None] == domain.gallery.cameras
    assert same.tolist() == [[False, True, False], [False, False, False]]
    # query 3 finds its copy at no distance and its true match last; the copy must not count as a match
    query_features, gallery_features = torch.tensor([[0.0], [5.0]]), torch.tensor([[9.0], [0.0], [5.0]])
    scores = rank_metrics(
        query_features, gallery_features, domain.query.pids, domain.gallery.pids, domain.query.cameras, domain.gallery.cameras
    )
    assert scores["queries"] == 2 and scores["mAP"] == pytest.approx(75.0) and scores["R1"] == 50.0


# ---------------------------------------------------------------- verify


def right(monkeypatch, name, root):
    """Make the registry expect what the miniature holds."""
    listing = list_images(DATASETS[name].find(root), DATASETS[name])
    counts = tuple(len(getattr(listing, split)) for split in FOLDERS)
    monkeypatch.setitem(DATASETS, name, replace(DATASETS[name], images=counts, identities=32))


def test_verify_says_all_right_and_what_differs(tiny, monkeypatch, capsys):
    for name in ("MA", "D", "MS", "C3"):
        right(monkeypatch, name, tiny)
    assert main([str(tiny)]) == 0
    out = capsys.readouterr().out
    assert out.count("all can be read") == 4 and "4 found, all right." in out and "DIFFERENT" not in out
    assert "DukeMTMC was withdrawn" in out and "MSMT17_V2 list files" in out and "60 training" in out
    dataset = DATASETS["MA"]
    assert list_images(dataset.find(tiny), dataset).fingerprint((256, 128)) in out
    assert max(map(len, out.splitlines())) <= 100
    monkeypatch.undo()
    assert main([str(tiny)]) == 1
    out = capsys.readouterr().out
    assert "training images        64    12,936  DIFFERENT" in out and "16 complaints" in out


def test_verify_names_what_is_wrong(copy, monkeypatch, capsys):
    for name in ("MA", "D", "MS", "C3"):
        right(monkeypatch, name, copy)
    victims = sorted((copy / "Market1501" / "query").iterdir())[:2] + sorted((copy / "MSMT17_V2" / "mask_test_v2").rglob("*.jpg"))[:1]
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


# ---------------------------------------------------------------- the miniatures


def test_miniatures_feed_the_sampler_and_repeat_themselves(tiny, tmp_path):
    again = write_tiny_datasets(tmp_path / "again", size=SIZE)
    files = sorted(p.relative_to(tiny) for p in tiny.rglob("*") if p.is_file() and "decoded" not in p.parts)
    assert all((tiny / f).read_bytes() == (again / f).read_bytes() for f in files) and len(files) > 600
    for name in ("MA", "D", "MS", "C3"):
        pids = [f.pid for f in list_images(DATASETS[name].find(tiny), DATASETS[name]).train]
        assert len(set(pids)) == 16 and min(np.bincount(np.unique(pids, return_inverse=True)[1])) >= 4
    with pytest.raises(FileExistsError, match="again is there already"):
        write_tiny_datasets(again)
    with pytest.raises(ValueError, match="'V3'; expected one of Market-1501 folders, MSMT17_V1"):
        write_tiny_datasets(tmp_path / "other", msmt17="V3")
    with pytest.raises(ValueError, match="identities=0"):
        write_tiny_datasets(tmp_path / "other", identities=0)
    assert not list(tmp_path.glob(".*"))
