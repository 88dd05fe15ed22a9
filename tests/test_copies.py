"""Stage 1 of DLCR without a network: masks, words for clothes, and copies as they are released."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from dcac_lite.expansion import domains as domains_module
from dcac_lite.expansion.copies import oracle_copies, other_outfits, read_copies, read_pool, write_copies
from dcac_lite.expansion.descriptions import Description, majority, misread, parse, true_description
from dcac_lite.expansion.domains import clothes_spec, load_clothes, truth_of
from dcac_lite.expansion.masks import MASKS, pasted, read_mask, write_mask
from dcac_lite.expansion.progressive import Expansion
from dcac_lite.expansion.specs import CLOTHES_DOMAINS
from dcac_lite.expansion.wardrobe import catalogue, wearers
from dcac_lite.expansion.world import photograph, plan, worn_mask

CP = CLOTHES_DOMAINS["CP"]
TINY = replace(CP, train_ids=4, test_ids=2, train=24, query=8, gallery=6)


def words(k: int) -> Description:
    return Description(f"red coat{k}", "", "white shoes")


# ---------------------------------------------------------------- masks


def test_a_mask_comes_back_and_what_is_none_is_said(tmp_path):
    mask = np.zeros((8, 5), bool)
    mask[2:6, 1:4] = True
    path = tmp_path / "001" / "A_1.png"
    write_mask(path, mask)
    assert np.array_equal(read_mask(path, (8, 5)), mask)
    with Image.open(path) as picture:
        assert picture.mode == "L" and set(np.unique(picture)) == {0, 255}
    with pytest.raises(ValueError, match="is 8 x 5; expected 5 x 8, the picture's height and width"):
        read_mask(path, (5, 8))
    with pytest.raises(FileNotFoundError, match="There is no mask .*A_2.png"):
        read_mask(path.with_name("A_2.png"), (8, 5))
    write_mask(path, np.zeros((8, 5), bool))
    with pytest.raises(ValueError, match="is empty: it finds no clothes"):
        read_mask(path, (8, 5))
    for wrong in (Image.new("RGB", (5, 8)), Image.new("L", (5, 8), 17)):
        wrong.save(path)
        with pytest.raises(ValueError, match="is no mask: expected one channel of 0 and 255"):
            read_mask(path, (8, 5))
    path.write_bytes(path.read_bytes()[:30])
    with pytest.raises(ValueError, match="is not a readable mask"):
        read_mask(path, (8, 5))


def test_masks_can_be_wrong_on_purpose():
    samples = [photograph(CP, record) for record in plan(CP)[:30:3]]
    masks = {name: np.stack([make(s) for s in samples]) for name, make in MASKS.items()}
    true = masks["true"]
    assert np.array_equal(masks["shifted"][:, :, 1:], true[:, :, :-1]) and not masks["shifted"][:, :, 0].any()
    lost = true & ~masks["without shoes"]
    assert lost.any() and not (masks["without shoes"] & ~true).any() and 0.01 < lost.sum() / true.sum() < 0.3
    assert np.flatnonzero(lost.any((0, 2))).mean() > np.flatnonzero(true.any((0, 2))).mean()


def test_outside_the_mask_every_pixel_is_the_picture_s():
    rng = np.random.default_rng(0)
    one, other = rng.integers(256, size=(2, 6, 4, 3), dtype=np.uint8)
    mask = rng.random((6, 4)) < 0.5
    result = pasted(one, other, mask)
    assert np.array_equal(result[mask], other[mask]) and np.array_equal(result[~mask], one[~mask])
    with pytest.raises(ValueError, match="expected one height and width"):
        pasted(one, other[:5], mask)


# ---------------------------------------------------------------- words


def test_lines_of_the_release_are_understood():
    assert parse("Black jacket |blue  jeans|  white shoes. ") == ("black jacket", "blue jeans", "white shoes")
    assert parse("shirt| |shoes") == ("shirt", "", "shoes") and parse("shirt| |shoes").prompt == "shirt shoes"
    assert parse(str(words(3))) == words(3)
    with pytest.raises(ValueError, match="'shirt, jeans' has 1 parts; expected upper"):
        parse("shirt, jeans")


def test_the_majority_is_right_where_single_readers_are_not():
    outfit = catalogue(CP)[3]
    truth = true_description(outfit)
    assert truth.upper == f"{outfit.top.colour} {outfit.top.kind}" and truth.footwear.endswith(" shoes")
    rng = np.random.default_rng(1)
    read = [misread(truth, rng) for _ in range(400)]
    for k, part in enumerate(truth):
        said = [description[k] for description in read]
        assert np.mean([text == "" for text in said]) == pytest.approx(0.2, abs=0.07)
        assert np.mean([text not in ("", part) for text in said]) == pytest.approx(0.8 * 0.1 * 12 / 13, abs=0.05)
        assert {text.split(" ", 1)[1] for text in said if text} == {part.split(" ", 1)[1]}
    assert all(majority([misread(truth, rng) for _ in range(12)]) == truth for _ in range(20))
    assert misread(truth, rng, missing=0, wrong=0) == truth


def test_what_was_not_visible_never_wins_and_ties_go_to_the_first():
    seen = [
        Description("", "blue jeans", ""),
        Description("", "red skirt", ""),
        Description("grey coat", "red skirt", ""),
    ]
    assert majority([*seen, Description("", "blue jeans", "")]) == ("grey coat", "blue jeans", "")
    with pytest.raises(ValueError, match="no description of the outfit"):
        majority([])


# ---------------------------------------------------------------- copies on disk


def some_copies(count=10, height=6, width=4):
    return np.random.default_rng(0).integers(256, size=(count, height, width, 3), dtype=np.uint8)


def test_copies_lie_side_by_side_with_a_line_each(tmp_path):
    copies, lines = some_copies(), [words(k) for k in range(10)]
    write_copies(tmp_path / "001" / "A_1.x", copies, lines)  # a name with a dot
    with Image.open(tmp_path / "001" / "A_1.x.png") as picture:
        assert picture.size == (40, 6)
        assert np.array_equal(np.asarray(picture)[:, 12:16], copies[3])  # copy 3 is columns 3 w to 4 w - 1
    assert (tmp_path / "001" / "A_1.x.txt").read_text().splitlines()[3] == "red coat3 |  | white shoes"
    found, said = read_copies(tmp_path / "001" / "A_1.x")
    assert np.array_equal(found, copies) and said == lines
    with pytest.raises(ValueError, match="9 descriptions; expected one each"):
        write_copies(tmp_path / "y", copies, lines[:9])


def test_what_is_wrong_with_copies_is_one_sentence(tmp_path):
    stem = tmp_path / "a"
    write_copies(stem, some_copies(), [words(k) for k in range(10)])
    (tmp_path / "a.txt").write_text("one | two | three\n" * 7)
    with pytest.raises(ValueError, match="a.png is 40 pixels wide, which 7 copies side by side cannot be"):
        read_copies(stem)
    (tmp_path / "a.txt").write_text("one, two\n" * 10)
    with pytest.raises(ValueError, match="a.txt: 'one, two' has 1 parts"):
        read_copies(stem)
    (tmp_path / "a.txt").unlink()
    with pytest.raises(FileNotFoundError, match="no descriptions of .*a: expected a.png and a.txt"):
        read_copies(stem)
    with pytest.raises(FileNotFoundError, match="no copies of .*b"):
        read_copies(tmp_path / "b")
    write_copies(stem, some_copies(), [words(k) for k in range(10)])
    (tmp_path / "a.png").write_bytes((tmp_path / "a.png").read_bytes()[:60])
    with pytest.raises(ValueError, match="is not a readable image"):
        read_copies(stem)


# ---------------------------------------------------------------- the oracle's copies


@pytest.fixture
def domain(tmp_path, monkeypatch):
    monkeypatch.setenv("DCAC_DATA", str(tmp_path / "data"))
    monkeypatch.setitem(domains_module.CLOTHES_DOMAINS, "CP", TINY)
    return load_clothes("CP")


def test_copies_are_in_other_people_s_or_one_s_other_clothes_and_repeat_themselves():
    people = wearers(TINY)[:4]
    worn = {number for person in people for number in person.numbers}
    drawn = []
    for record in [r for r in plan(TINY) if r.split == "train"]:
        sample = photograph(TINY, record)
        outfits = other_outfits(TINY, sample, 5)
        own = people[record.person].numbers[record.outfit]
        assert len(set(outfits)) == 5 and set(outfits) <= worn - {own} and other_outfits(TINY, sample, 5) == outfits
        drawn += outfits
    assert set(drawn) == worn
    with pytest.raises(ValueError, match="20 other outfits asked for; the training people of CP wear"):
        other_outfits(TINY, sample, 20)


def test_the_oracle_s_copies_go_to_disk_and_into_training(domain, tmp_path):
    spec, train = clothes_spec("CP"), domain.train
    copies, said = oracle_copies(spec, train.names, count=4)
    assert copies.shape == (24, 4, 3, 64, 32) and copies.dtype == np.uint8
    for image, each, sample in zip(train.images, copies, truth_of(spec, train.names)):
        outside = ~worn_mask(sample)
        assert all(np.array_equal(copy[:, outside], image[:, outside]) for copy in each)
    changed = (copies != train.images[:, None]).any(2)
    assert 0.05 < changed.mean() < 0.5
    for name, each, lines in zip(train.names, copies, said):
        write_copies((tmp_path / "copies" / name).with_suffix(""), each.transpose(0, 2, 3, 1), lines)
    pool = read_pool(tmp_path / "copies", train, 4)
    assert np.array_equal(pool, copies)
    pairs = Expansion(train.images, pool).pairs(torch.arange(24), epoch=99)
    assert pairs.shape == (48, 3, 64, 32)
    with pytest.raises(ValueError, match="has 4 copies; expected 10 of each picture"):
        read_pool(tmp_path / "copies", train)
    assert read_copies((tmp_path / "copies" / train.names[0]).with_suffix(""))[1] == said[0]
    with pytest.raises(ValueError, match="mask is 'best'; expected one of true, shifted, without shoes"):
        oracle_copies(spec, train.names[:1], mask="best")
