"""The embedded world, and the reader of Market-1501's layout."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from dcac_lite import load_domain, read_dataset, training_set
from dcac_lite.data.domains import write_lite_domain
from dcac_lite.world.domains import (
    DISTRACTOR,
    DOMAINS,
    JUNK,
    caption_words,
    identities,
    photograph_record,
    plan,
    web_sample,
)
from dcac_lite.world.renderer import COLOURS

SMALL = DOMAINS["MA"].slice(0.1)


def test_a_picture_depends_on_its_index_and_on_nothing_else():
    code = "from dcac_lite.world.domains import web_sample; print(web_sample(123).picture.image.tobytes().hex())"
    elsewhere = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    web_sample(5)  # an earlier picture changes nothing
    assert web_sample(123).picture.image.tobytes().hex() == elsewhere
    assert not np.array_equal(web_sample(123).picture.image, web_sample(124).picture.image)


def test_picture_and_truth_fit_together():
    for index in range(30):
        sample = web_sample(index)
        picture = sample.picture
        assert picture.image.shape == (64, 32, 3) and picture.image.dtype == np.uint8
        assert 0.05 < picture.body_mask.mean() < 0.6
        assert not (picture.clothing_mask & ~picture.body_mask).any()
        assert set(sample.caption.split()) <= set(caption_words())
        assert sample.appearance.top.colour in COLOURS and sample.appearance.top.colour in sample.caption


def test_the_body_is_where_the_mask_says():
    # two people on the same spot before the same camera differ inside the masks, not outside
    spec = DOMAINS["MA"]
    records = [r for r in plan(spec) if r.camera == 1 and r.split == "train"][:40]
    pictures = [photograph_record(spec, r).picture for r in records]
    colour = np.stack([p.image for p in pictures]).astype(float)
    body = np.stack([p.body_mask for p in pictures])
    centre = body.mean(0) > 0.95
    corner = ~body.any(0)
    assert colour.std(0)[centre].mean() > 1.3 * colour.std(0)[corner].mean()


@pytest.mark.parametrize("name", DOMAINS)
def test_splits_follow_market_1501(name):
    spec = DOMAINS[name]
    records = plan(spec)
    by = {split: [r for r in records if r.split == split] for split in ("train", "query", "gallery")}
    assert len(by["train"]) == spec.train and len(by["query"]) == spec.query
    assert len([r for r in by["gallery"] if r.pid != JUNK]) == spec.gallery
    assert len([r for r in by["gallery"] if r.pid == JUNK]) == spec.junk
    assert len([r for r in by["gallery"] if r.pid == DISTRACTOR]) == spec.distractors
    train, query = {r.pid for r in by["train"]}, {r.pid for r in by["query"]}
    gallery = {r.pid for r in by["gallery"]} - {JUNK, DISTRACTOR}
    assert len(train) == spec.train_ids and query == gallery and len(query) == spec.test_ids and not train & query
    assert {r.camera for r in records} == set(range(1, spec.cameras + 1))
    assert len({(r.pid, r.camera) for r in by["query"]}) == spec.query  # one query per identity and camera
    others = {(r.pid, r.camera) for r in by["gallery"]}
    assert all(any((q.pid, c) in others for c in range(1, spec.cameras + 1) if c != q.camera) for q in by["query"])


def test_families_make_look_alikes():
    people = identities(DOMAINS["MA"])
    families = [people[k : k + 3] for k in range(0, 300, 3)]
    shares = lambda a, b: a.top.kind == b.top.kind and a.top.colour == b.top.colour and a.top.pattern == b.top.pattern  # noqa: E731
    inside = np.mean([shares(f[0], f[1]) for f in families])
    across = np.mean([shares(f[0], g[1]) for f, g in zip(families, families[1:])])
    assert inside > across + 0.15


def test_counts_are_a_tenth_of_table_1():
    table = {
        "MA": (12936, 3368, 15913),
        "D": (16522, 2228, 17661),
        "MS": (32621, 11659, 82161),
        "C3": (7365, 1400, 5332),
    }
    for name, counts in table.items():
        spec = DOMAINS[name]
        assert (spec.train, spec.query, spec.gallery) == tuple(round(c / 10) for c in counts)


def test_written_copy_is_complete_or_redrawn(tmp_path):
    folder = write_lite_domain(SMALL, tmp_path)
    before = json.loads((folder / "complete.json").read_text())
    (folder / "complete.json").write_text("")
    (killed := tmp_path / f".{SMALL.name}-ofanotherkey.123.part").mkdir()
    assert write_lite_domain(SMALL, tmp_path) == folder and json.loads((folder / "complete.json").read_text()) == before
    assert not killed.exists()
    victim = next((folder / "query").iterdir())
    victim.unlink()
    assert write_lite_domain(SMALL, tmp_path) == folder and victim.exists()
    assert json.loads((folder / "complete.json").read_text()) == before
    assert not list(tmp_path.glob(".*.part"))


def test_lite_data_goes_through_the_reader_of_real_data():
    domain = load_domain("MA", "smoke")
    again = read_dataset(domain.root, (64, 32))
    assert again.fingerprint == domain.fingerprint and np.array_equal(again.train.pids, domain.train.pids)
    assert (domain.gallery.pids != JUNK).all() and (domain.gallery.pids == DISTRACTOR).any()
    assert domain.train.images.shape[1:] == (3, 64, 32)


# ---------------------------------------------------------------- the reader


@pytest.fixture
def tree(tmp_path):
    """Three identities, two cameras, in Market-1501 layout, under a folder whose name looks like a person."""
    root = tmp_path / "0007_c9"
    for folder, pids in (("bounding_box_train", (12, 5)), ("query", (40,)), ("bounding_box_test", (40, 0, -1))):
        (root / folder).mkdir(parents=True)
        for pid in pids:
            for camera in (1, 2):
                name = f"{pid:04d}" if pid >= 0 else "-1"
                Image.new("RGB", (20, 40), (pid % 255, 0, camera)).save(
                    root / folder / f"{name}_c{camera}s1_000001_00.jpg"
                )
    return root


def test_reader_takes_names_not_folders(tree):
    domain = read_dataset(tree, (64, 32))
    assert domain.train.pids.tolist() == [5, 5, 12, 12] and domain.train.cameras.tolist() == [1, 2, 1, 2]
    assert sorted(set(domain.gallery.pids.tolist())) == [0, 40]  # junk is out, distractors are in
    data = training_set([domain, domain])
    assert data.identities == 4 and data.labels.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert torch.equal(data.images(torch.tensor([0, 4])), torch.from_numpy(domain.train.images[[0, 0]].copy()))


def test_a_changed_file_is_decoded_again(tree):
    first = read_dataset(tree, (64, 32))
    path = tree / "query" / first.query.names[0]
    Image.effect_noise((20, 40), 90).convert("RGB").save(path)
    second = read_dataset(tree, (64, 32))
    assert second.fingerprint != first.fingerprint and not np.array_equal(second.query.images, first.query.images)


def test_reader_says_what_is_wrong(tree):
    (tree / "query" / "someone.jpg").write_bytes(b"")
    with pytest.raises(ValueError, match="someone.jpg.*no person and camera"):
        read_dataset(tree, (64, 32))
    (tree / "query" / "someone.jpg").unlink()
    (tree / "query" / "0041_c1s1_000001_00.jpg").write_bytes(b"not a picture")
    with pytest.raises(ValueError, match="0041_c1s1_000001_00.jpg is not a readable image"):
        read_dataset(tree, (64, 32))
    assert not list(tree.parent.glob("decoded/.*"))
    with pytest.raises(FileNotFoundError, match="bounding_box_train"):
        read_dataset(tree / "query", (64, 32))
    for path in (tree / "query").iterdir():
        path.unlink()
    with pytest.raises(ValueError, match="holds no .jpg"):
        read_dataset(tree, (64, 32))


def test_full_tier_says_what_to_download(tmp_path, monkeypatch):
    monkeypatch.setenv("DCAC_DATA", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="Market1501 at .*DCAC_DATA"):
        load_domain("MA", "full")
    with pytest.raises(ValueError, match="V exists in the smoke and lite tiers only"):
        load_domain("V", "full")
    with pytest.raises(ValueError, match="'XY'.*MA, D, MS, C3, V"):
        load_domain("XY", "lite")
