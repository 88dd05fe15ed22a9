"""The real data sets' layouts, read from miniature copies, and folders of one's own."""

import shutil

import numpy as np
import pytest
import torch
from folders import SIZE, market
from PIL import Image

from dcac_lite import Experiment, load_domain, rank_metrics, read_dataset, training_set
from dcac_lite.data.listing import list_images
from dcac_lite.data.registry import DATASETS, MARKET_LAYOUT
from dcac_lite.tools.rehearsal_data import write_tiny_datasets


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
        query_features,
        gallery_features,
        domain.query.pids,
        domain.gallery.pids,
        domain.query.cameras,
        domain.gallery.cameras,
    )
    assert scores["queries"] == 2 and scores["mAP"] == pytest.approx(75.0) and scores["R1"] == 50.0


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
