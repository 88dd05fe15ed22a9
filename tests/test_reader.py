"""The reader of Market-1501's layout, and what each tier says of data that is not there."""

import numpy as np
import pytest
import torch
from PIL import Image

from dcac_lite import load_domain, read_dataset, training_set


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
