"""Clothes-changing data sets: their owners' layouts in miniature, and the rules that they are scored by."""

import numpy as np
import pytest
import torch
from folders import SIZE, market, picture

from dcac_lite.__main__ import main
from dcac_lite.data.clothes import CLOTHES_DATASETS, UNKNOWN, list_clothes, read_clothes
from dcac_lite.expansion.protocols import (
    PROTOCOLS,
    RULES,
    Dressed,
    Protocol,
    clothes_metrics,
    dressed,
    ignored,
    single_shot,
    taken,
)
from dcac_lite.reranking import distance_metrics
from dcac_lite.tools.verify import expected_tree

#: In a folder whose name looks like a person of LTCC and of VC-Clothes: what is searched in whole paths finds it first.
ROOT = "9_9_c9_9-9-9-9"
TREES = {
    "prcc": [f"rgb/{place}/{pid}/{name}.jpg"
             for place, pids, names in (
                 ("train", ("001", "007"), ("A_cropped_rgb1", "B_cropped_rgb1", "C_cropped_rgb1", "C_cropped_rgb2")),
                 ("val", ("001",), ("A_cropped_rgb9",)), ("test/A", ("003", "004"), ("cropped_rgb1", "cropped_rgb2")),
                 ("test/B", ("003", "004"), ("cropped_rgb1",)), ("test/C", ("003", "004"), ("cropped_rgb1",)))
             for pid in pids for name in names],
    "ltcc": ["train/001_1_c3_015833.png", "train/001_2_c12_000001.png", "train/002_1_c3_000002.png",
             "query/005_1_c1_000003.png", "query/005_2_c2_000004.png", "test/005_1_c2_000005.png",
             "test/005_2_c1_000006.png", "test/006_1_c1_000007.png"],
    "ccvid": [f"{folder}/{frame:05}.jpg" for folder, frames in (
        ("session1/001_01", 2), ("session3/001_01", 1), ("session1/002_12", 1), ("session2/003_02", 3),
        ("session1/003_01", 1), ("session3/003_02", 2), ("session1/004_01", 1)) for frame in range(frames)],
    "vc-clothes": ["train/0001-01-01-01.jpg", "train/0001-04-02-01.jpg", "train/0002-02-01-03.jpg",
                   "query/0300-03-01-01.jpg", "gallery/0300-04-02-02.jpg", "gallery/0300-02-01-02.jpg",
                   "gallery/0301-04-01-02.jpg"],
    "last": ["train/000001/000001_000_00_0001_1_01.jpg", "train/000001/000001_001__00_0002_1_02.jpg",
             "train/000009/000002_000_00_0003_1_01.jpg", "test/query/000003_000_00_0004_1_01.jpg",
             "test/gallery/000003/000003_001_00_0005_1_02.jpg", "test/gallery/000000/000000_000_00_0006_1_01.jpg"],
}  # fmt: skip
LINES = {
    "train": "session1/001_01\t001\tu0\nsession3/001_01 001 u1\n\nsession1/002_12 002 u0\n",
    "query": "session2/003_02 003 u0\n",
    "gallery": "session1/003_01 003 u0\nsession3/003_02 003 u1\nsession1/004_01 004 u0\n",
}


def tree(root, name):
    folder = root / ROOT / CLOTHES_DATASETS[name].folders[0]
    for k, path in enumerate(TREES[name]):
        picture(folder / path, (10 * k, 100, 7 * k))
    if name == "ccvid":
        for split, lines in LINES.items():
            (folder / f"{split}.txt").write_text(lines)
    (folder / "Thumbs.db").write_text("no image")
    picture(folder / "train" / "._hidden.jpg") if name == "vc-clothes" else None
    return folder


@pytest.fixture(params=TREES)
def name(request):
    return request.param


def outfits(listing, split):
    """Who is seen by which camera in which outfit, outfits as letters in the order of their numbers."""
    known = "abcdefghij"
    return [
        f"{f.pid} {f.camera} {'?' if n == UNKNOWN else known[n]}"
        for f, n in zip(getattr(listing, split), listing.clothes[split])
    ]


EXPECTED = {
    "prcc": (["1 1 a", "1 2 a", "1 3 b", "1 3 b", "7 1 g", "7 2 g", "7 3 h", "7 3 h"],
             ["3 2 c", "4 2 e", "3 3 d", "4 3 f"], ["3 1 c", "3 1 c", "4 1 e", "4 1 e"]),
    "ltcc": (["1 3 a", "1 12 b", "2 3 c"], ["5 1 d", "5 2 e"], ["5 2 d", "5 1 e", "6 1 f"]),
    "ccvid": (["1 1 a", "1 1 a", "2 12 c", "1 13 b"], ["3 2 d"] * 3, ["3 1 d", "4 1 f", "3 14 e", "3 14 e"]),
    "vc-clothes": (["1 1 a", "1 4 b", "2 2 c"], ["300 3 d"], ["300 2 d", "300 4 e", "301 4 f"]),
    "last": (["1 0 a", "1 0 b", "2 0 c"], ["3 1 ?"], ["0 2 ?", "3 3 ?"]),
}  # fmt: skip


def test_every_layout_is_read_with_its_outfits(tmp_path, name):
    dataset = CLOTHES_DATASETS[name]
    folder = tree(tmp_path, name)
    listing = list_clothes(dataset.find(tmp_path / ROOT), dataset)
    assert listing.folder == folder
    assert tuple(outfits(listing, split) for split in ("train", "query", "gallery")) == EXPECTED[name]
    domain = read_clothes(folder, dataset, SIZE)
    for split in (domain.train, domain.query, domain.gallery):
        assert split.images.shape == (len(split), 3, *SIZE) and split.clothes.shape == split.pids.shape
        for image, file in zip(split.images, split.files):  # what is read is what lies there
            k = TREES[name].index(file.relative_to(folder).as_posix())
            assert abs(int(image[0].mean()) - 10 * k) < 5
    assert (domain.query.tracklets is not None) == (name == "ccvid")
    again = read_clothes(folder, dataset, SIZE)
    assert again.fingerprint == domain.fingerprint


def test_other_outfits_are_another_data_set(tmp_path):
    folder, dataset = tree(tmp_path, "ccvid"), CLOTHES_DATASETS["ccvid"]
    first = read_clothes(folder, dataset, SIZE).fingerprint
    (folder / "train.txt").write_text(LINES["train"].replace("u1", "u0"))
    assert read_clothes(folder, dataset, SIZE).fingerprint != first


FAULTS = {
    "prcc": {"no folder .*rgb/test/B": lambda f: (f / "rgb" / "test" / "B").rename(f / "elsewhere"),
             "D_x.jpg: the name does not tell what it should": lambda f: picture(f / "rgb/train/001/D_x.jpg"),
             "no person's folder; expected a number": lambda f: picture(f / "rgb" / "test" / "C" / "left" / "x.jpg")},
    "ltcc": {"c13_x.png: camera 13 is out of range; LTCC has cameras 1 to 12":
             lambda f: picture(f / "query" / "005_1_c13_x.png"),
             "such as 001_2_c3_015833.png": lambda f: picture(f / "query" / "0002_c1s1_000451_03.png"),
             "holds no .jpg or .png image": lambda f: [p.unlink() for p in (f / "query").iterdir()]},
    "ccvid": {"query.txt, line 2: 'session1/003_01 003' names no tracklet":
              lambda f: (f / "query.txt").write_text(LINES["query"] + "session1/003_01 003"),
              "no folder .*session1/009_01": lambda f: (f / "query.txt").write_text("session1/009_01 009 u0"),
              "no file .*gallery.txt": lambda f: (f / "gallery.txt").unlink()},
    "vc-clothes": {"such as 0001-01-01-01.jpg": lambda f: picture(f / "gallery" / "0301-04-01.jpg")},
    "last": {"the name does not tell": lambda f: picture(f / "test" / "query" / "who.jpg")},
}  # fmt: skip


@pytest.mark.parametrize(("name", "sentence"), [(n, s) for n, faults in FAULTS.items() for s in faults])
def test_what_cannot_be_understood_is_one_sentence(tmp_path, name, sentence):
    folder = tree(tmp_path, name)
    FAULTS[name][sentence](folder)
    with pytest.raises((ValueError, FileNotFoundError), match=sentence):
        list_clothes(folder, CLOTHES_DATASETS[name])


def test_what_is_missing_is_said(tmp_path, name):
    with pytest.raises(FileNotFoundError, match=r"is not at .*\(data_cards/ says how\).*set DCAC_DATA"):
        CLOTHES_DATASETS[name].find(tmp_path)


def test_verify_counts_pictures_outfits_and_tracklets(tmp_path, capsys):
    for name in TREES:
        tree(tmp_path, name)
    assert main(["verify", str(tmp_path / ROOT)]) == 1  # miniatures are not the data sets
    out = capsys.readouterr().out
    assert "5 found, " in out and out.count("all can be read") == 5 and "UNREADABLE" not in out and "WRONG" not in out
    lines = {tuple(line.split()) for line in out.splitlines()}
    assert ("outfits", "8", "442", "DIFFERENT") in lines and ("outfits", "6", "478", "DIFFERENT") in lines
    assert ("train", "tracklets", "3", "948", "DIFFERENT") in lines
    assert ("query", "images", "4", "7,416", "DIFFERENT") in lines
    assert "1 of 1 queries have no match" not in out
    alone = tmp_path / ROOT / "LTCC_ReID"
    assert main(["verify", str(alone)]) == 1 and "layout: LTCC's own" in capsys.readouterr().out
    next((alone / "query").glob("*.png")).write_bytes(b"no picture")
    main(["verify", str(alone)])
    assert "UNREADABLE" in capsys.readouterr().out
    (alone / "test").rename(alone / "tset")
    main(["verify", str(alone)])
    out = capsys.readouterr().out
    assert "WRONG There is no folder" in out and "train/001_2_c3_015833.png" in out
    mine = market(tmp_path / "last")  # one's own data set in a folder that is called as LaST's is
    assert main(["verify", str(mine)]) == 0 and "layout: Market-1501 folders" in capsys.readouterr().out
    assert all(d.folders[0] in expected_tree(d) for d in CLOTHES_DATASETS.values())


# ---------------------------------------------------------------- protocols


def crowd(seed, people=7, pictures=60):
    """Pictures of people with cameras and outfits dealt at random, with features that know a little of each."""
    rng = np.random.default_rng(seed)
    pids, cameras = rng.integers(people, size=pictures), rng.integers(3, size=pictures)
    clothes = 3 * pids + rng.integers(3, size=pictures)
    x = rng.normal(size=(people, 6))[pids] + rng.normal(size=(3 * people, 6))[clothes] + rng.normal(size=(pictures, 6))
    return Dressed(torch.from_numpy(x).float(), pids, cameras, clothes)


def by_loops(query, gallery, rule):
    """The protocol picture by picture: mAP, rank-1 and how many queries are counted."""
    precisions, hits = [], []
    for q in range(len(query)):
        kept = []
        for g in range(len(gallery)):
            person = query.pids[q] == gallery.pids[g]
            camera, worn = query.cameras[q] == gallery.cameras[g], query.clothes[q] == gallery.clothes[g]
            if person and (camera or (rule == "same clothes" and not worn) or (rule == "clothes-changing" and worn)):
                continue
            kept.append((float(torch.cosine_similarity(query.x[q], gallery.x[g], 0)), person))
        order = [person for _, person in sorted(kept, key=lambda pair: -pair[0])]
        if any(order):
            at = np.flatnonzero(order)
            precisions.append(np.mean((1 + np.arange(len(at))) / (1 + at)))
            hits.append(order[0])
    return 100 * np.mean(precisions), 100 * np.mean(hits), len(hits)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("rule", RULES)
def test_the_rules_picture_by_picture(seed, rule):
    everyone = crowd(seed)
    query, gallery = everyone.rows(np.arange(20)), everyone.rows(np.arange(20, 60))
    found = clothes_metrics(query, gallery, Protocol(rule))
    assert (found["mAP"], found["R1"], found["queries"]) == pytest.approx(by_loops(query, gallery, rule))
    x = (torch.nn.functional.normalize(part.x.double()) for part in (query, gallery))
    again = distance_metrics(torch.cdist(*x), query.pids, gallery.pids, ignored(query, gallery, Protocol(rule)))
    assert again == pytest.approx(found)


def test_prcc_asks_b_for_the_same_clothes_and_c_for_others(tmp_path):
    domain = read_clothes(tree(tmp_path, "prcc"), CLOTHES_DATASETS["prcc"], SIZE)
    # a reader of clothes: it knows outfits, and of people nothing
    query, gallery = (
        dressed(torch.nn.functional.one_hot(torch.from_numpy(s.clothes), 10).float(), s)
        for s in (domain.query, domain.gallery)
    )
    scores = {name: clothes_metrics(query, gallery, protocol) for name, protocol in PROTOCOLS["prcc"].items()}
    assert scores["same clothes"]["mAP"] == 100 and scores["clothes-changing"]["R1"] == 0
    assert {s["queries"] for s in scores.values()} == {2}
    drawn = [single_shot(gallery, seed) for seed in range(9)]
    assert all(d.pids.tolist() == [3, 4] for d in drawn)
    numbered = Dressed(torch.arange(4.0)[:, None], gallery.pids, gallery.cameras, gallery.clothes)
    seen = {tuple(single_shot(numbered, seed).x[:, 0].tolist()) for seed in range(30)}
    assert seen == {(a, b) for a in (0.0, 1.0) for b in (2.0, 3.0)}


def test_videos_are_scored_by_tracklet(tmp_path):
    domain = read_clothes(tree(tmp_path, "ccvid"), CLOTHES_DATASETS["ccvid"], SIZE)
    frames = torch.tensor([[0.0, 4.0], [1.0, 1.0], [3.0, 0.0], [5.0, 0.0]])
    gallery = dressed(frames, domain.gallery)
    assert gallery.x.tolist() == [[0.0, 4.0], [1.0, 1.0], [4.0, 0.0]] and gallery.pids.tolist() == [3, 4, 3]
    query = dressed(torch.tensor([[0.0, 1.0], [0.0, 3.0], [0.0, 2.0]]), domain.query)
    scores = {name: clothes_metrics(query, gallery, p) for name, p in PROTOCOLS["ccvid"].items()}
    assert scores["same clothes"]["mAP"] == 100 and scores["clothes-changing"]["mAP"] == 50
    assert scores["general"]["mAP"] == pytest.approx(100 * (1 + 2 / 3) / 2)
    with pytest.raises(ValueError, match="3 features of 4 pictures"):
        dressed(frames[:3], domain.gallery)


def test_what_a_protocol_cannot_do_is_one_sentence(tmp_path):
    assert set(PROTOCOLS) == set(CLOTHES_DATASETS)
    domain = read_clothes(tree(tmp_path, "last"), CLOTHES_DATASETS["last"], SIZE)
    query, gallery = dressed(torch.rand(1, 4), domain.query), dressed(torch.rand(2, 4), domain.gallery)
    assert clothes_metrics(query, gallery, PROTOCOLS["last"]["general"])["queries"] == 1
    with pytest.raises(ValueError, match="clothes of some pictures are not known, which the rule 'clothes-changing'"):
        clothes_metrics(query, gallery, Protocol("clothes-changing"))
    with pytest.raises(ValueError, match="rule is 'CC'; expected one of general, same clothes"):
        taken(query, gallery, Protocol("CC"))
    alone = crowd(0).rows(np.arange(1))
    with pytest.raises(ValueError, match="No query has a match left by the rule 'general'"):
        clothes_metrics(alone, alone, Protocol("general"))
