"""Real data sets of people who change clothes: from a parser's and a reader's files to copies, stage 2 and scores."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dcac_lite.__main__ import main
from dcac_lite.data.clothes import CLOTHES_DATASETS, list_clothes, read_clothes
from dcac_lite.expansion.copies import read_copies, write_copies
from dcac_lite.expansion.descriptions import Description
from dcac_lite.expansion.inpainting.painter import FULL
from dcac_lite.expansion.inpainting.pipeline import load_pipeline
from dcac_lite.expansion.paint_files import paint_files
from dcac_lite.expansion.real import scores, stage2
from dcac_lite.expansion.real.parsing import clothes_in, write_masks
from dcac_lite.expansion.real.pool import pool_of
from dcac_lite.expansion.real.recipe import PAINTING, recipe_of
from dcac_lite.expansion.real.words import choose, outfits_in_words, write_words
from dcac_lite.expansion.world import photograph, plan, worn_mask
from dcac_lite.paths import LITE_WEIGHTS
from dcac_lite.tools import rehearsal, rehearsal_clothes

SETTINGS = replace(PAINTING["rehearsal"]["train"], size=(64, 64), steps=1)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """What the rehearsal starts from. Read only; copy what a test changes."""
    folder = tmp_path_factory.mktemp("material")
    rehearsal_clothes.write_clothes(folder)
    rehearsal._write_stable_diffusion(folder / "stable-diffusion", "small")
    rehearsal_clothes.write_inpainting(folder / "inpainting", rehearsal.SMALL_UNET, folder / "stable-diffusion")
    return folder


def listing(made, name="prcc"):
    dataset = CLOTHES_DATASETS[name]
    return list_clothes(dataset.find(made / "data"), dataset)


def refused(words, capsys) -> str:
    with pytest.raises(SystemExit, match="2"):
        main([str(word) for word in words])
    (line,) = capsys.readouterr().err.splitlines()
    return line


# ---------------------------------------------------------------- masks


def test_a_parser_s_labels_become_the_paper_s_mask(tmp_path, made):
    labels = np.arange(20, dtype=np.uint8).reshape(4, 5)
    Image.fromarray(labels).save(tmp_path / "a.png")
    painted = {3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 18, 19}  # gloves and sunglasses too, as in the published code
    assert set(labels[clothes_in(tmp_path / "a.png")].tolist()) == painted
    count, empty = write_masks(made / "parsed" / "prcc", tmp_path / "masks")
    assert (count, empty) == (22, [])
    record = plan(rehearsal_clothes.SETS["prcc"])[0]
    true = worn_mask(photograph(rehearsal_clothes.SETS["prcc"], record))
    written = np.asarray(Image.open(tmp_path / "masks" / "train" / "001" / "A_cropped_rgb000.png")) > 0
    assert (written[1::3, 1::3] == true).mean() > 0.99  # a pixel may be half of two garments


def test_what_is_no_label_map_is_refused(tmp_path, capsys):
    assert "There are no label maps in" in refused(["clothes", "masks", tmp_path / "none", tmp_path / "out"], capsys)
    file = tmp_path / "a.png"
    for values, sentence in (
        (np.full((4, 4), 255, np.uint8), "holds the label 255; a parser trained on LIP has 0 to 19"),
        (np.zeros((4, 4, 3), np.uint8), "expected one channel or a palette, found RGB"),
    ):
        Image.fromarray(values).save(file)
        assert sentence in refused(["clothes", "masks", tmp_path, tmp_path / "out"], capsys)
    file.write_bytes(file.read_bytes()[:20])
    assert "is not a readable label map" in refused(["clothes", "masks", tmp_path, tmp_path / "out"], capsys)


# ---------------------------------------------------------------- words


def test_an_outfit_is_called_what_most_of_its_pictures_say(made, tmp_path):
    files, answers = listing(made), tmp_path / "answers"
    own = files.clothes["train"]
    said = {0: ("red coat | |", "red coat| | white shoes.", "blue coat||"), 1: ("||", "||")}
    for outfit in np.unique(own):
        for turn, row in enumerate(np.flatnonzero(own == outfit)):
            lines = said.get(int(outfit), ("black shirt | jeans | shoes",))
            path = (answers / files.train[row].name).with_suffix(".txt")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(lines[turn % len(lines)])
    described = outfits_in_words(files, answers)
    assert described[0].upper == "red coat" and described[0].footwear in ("white shoes", "")
    assert 1 not in described and len(described) == len(np.unique(own)) - 1  # nothing was ever seen of it


def test_copies_wear_other_outfits_each_once_the_same_for_a_seed(made, tmp_path):
    files = listing(made, "ltcc")
    described = {k: Description(f"coat {k}", "", "") for k in range(5)}
    drawn = choose(described, 3, "a", 4, 0)
    assert sorted(drawn) == [described[k] for k in (0, 1, 2, 4)]
    assert choose(described, 3, "a", 4, 0) == drawn
    assert len({tuple(choose(described, 3, name, 4, seed)) for name in "abc" for seed in (0, 1)}) > 3
    with pytest.raises(ValueError, match="5 copies asked for; there are descriptions of 4 other outfits"):
        choose(described, 3, "a", 5, 0)
    assert write_words(files, "query", made / "answers" / "ltcc", tmp_path, 3, 0) == 8
    lines = {(tmp_path / f.name).with_suffix(".txt").read_text() for f in files.query}
    assert len(lines) > 1 and all(text.count("\n") == 3 and text.count("|") == 6 for text in lines)


def test_a_missing_or_wrong_answer_is_one_sentence(made, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("DCAC_DATA", str(made / "data"))
    answers = shutil.copytree(made / "answers" / "prcc", tmp_path / "answers")
    words = ["clothes", "words", "prcc", answers, tmp_path / "out", "--count"]
    assert "8 copies asked for; there are descriptions of 7 other outfits" in refused([*words, "8"], capsys)
    first = answers / "train" / "001" / "A_cropped_rgb000.txt"
    first.write_text("a man in a red coat")
    assert "A_cropped_rgb000.txt: 'a man in a red coat' has 1 parts; expected upper" in refused([*words, "2"], capsys)
    first.write_text("\n")
    assert "A_cropped_rgb000.txt has no line" in refused([*words, "2"], capsys)
    first.unlink()
    assert "There are no descriptions" in refused([*words, "2"], capsys)
    monkeypatch.setenv("DCAC_DATA", str(tmp_path))
    assert "PRCC is not at" in refused([*words, "2"], capsys)


# ---------------------------------------------------------------- copies


@pytest.fixture
def two(made, tmp_path):
    """Folders of two pictures of PRCC with masks and words for two copies, and one to write."""
    folders = [tmp_path / name for name in ("pictures", "masks", "words", "out")]
    write_masks(made / "parsed" / "prcc" / "train" / "001", folders[1])
    for name in ("A_cropped_rgb000", "B_cropped_rgb001"):
        for folder in folders[:3]:
            folder.mkdir(exist_ok=True)
        shutil.copy(made / "data" / "prcc" / "rgb" / "train" / "001" / f"{name}.jpg", folders[0])
        (folders[2] / f"{name}.txt").write_text("red coat | blue jeans | white shoes\ngreen shirt | | \n")
    return folders


def test_stable_diffusion_inpainting_s_folder_paints_at_the_pictures_own_size(made, two):
    assert paint_files(*two, SETTINGS, made / "inpainting") == 2
    assert paint_files(*two, SETTINGS, made / "inpainting") == 0  # kept
    for name, size in (("A_cropped_rgb000", (192, 96)), ("B_cropped_rgb001", (128, 64))):
        copies, words = read_copies(two[3] / name)
        assert copies.shape == (2, *size, 3) and words[1] == Description("green shirt", "", "")
        picture = np.asarray(Image.open(two[0] / f"{name}.jpg"))
        mask = np.asarray(Image.open(two[1] / f"{name}.png")) > 0
        assert (copies[:, ~mask] == picture[~mask]).all() and (copies[0][mask] != picture[mask]).any()
    before = (two[3] / "A_cropped_rgb000.png").read_bytes()
    (two[3] / "A_cropped_rgb000.png").unlink()
    assert paint_files(*two, SETTINGS, made / "inpainting") == 1  # resumed, the same
    assert (two[3] / "A_cropped_rgb000.png").read_bytes() == before


def test_the_sampler_is_the_published_one(made):
    scheduler = load_pipeline(made / "inpainting").scheduler
    scheduler.set_timesteps(FULL["train"].steps)
    assert scheduler.timesteps[:3].tolist() == [981, 961, 941] and scheduler.timesteps[-1] == 1
    assert not scheduler.config.set_alpha_to_one and not scheduler.config.clip_sample
    assert (FULL["train"].size, FULL["query"].size, FULL["query"].steps) == ((768, 256), (384, 128), 10)


def test_nothing_is_painted_before_all_is_right(made, two, capsys):
    paint = ["clothes", "paint", *two, "--tier", "rehearsal", "--weights"]
    right = [*paint, made / "inpainting"]
    first, last = (two[1] / f"{name}.png" for name in ("A_cropped_rgb000", "B_cropped_rgb001"))
    assert "takes 4 channels; an inpainting one takes 9" in refused([*paint, LITE_WEIGHTS / "stable-diffusion"], capsys)
    assert "none does not exist; expected a diffusers folder" in refused([*paint, made / "none"], capsys)
    whole = last.read_bytes()
    Image.fromarray(np.full((64, 64), 255, np.uint8)).save(last)
    assert "B_cropped_rgb001.png is 64 x 64; expected 128 x 64" in refused(right, capsys)
    Image.fromarray(np.full((128, 64), 5, np.uint8)).save(last)
    assert "is no mask: expected one channel of 0 and 255, found L" in refused(right, capsys)
    last.unlink()
    assert "There is no mask" in refused(right, capsys)
    Image.fromarray(np.zeros((128, 64), np.uint8)).save(last)
    assert "1 of 2 masks are empty" in refused(right, capsys)
    assert not two[3].exists()
    main([str(word) for word in [*right, "--keep-empty"]])
    assert "1 pictures painted." in capsys.readouterr().out
    copies, _ = read_copies(two[3] / "B_cropped_rgb001")
    assert (copies == np.asarray(Image.open(two[0] / "B_cropped_rgb001.jpg"))).all()
    last.write_bytes(whole)
    (two[2] / "B_cropped_rgb001.txt").unlink()
    assert "There are no descriptions" in refused(right, capsys)
    assert first.exists()


# ---------------------------------------------------------------- stage 2


@pytest.fixture
def people(made, tmp_path, monkeypatch):
    monkeypatch.setenv("DCAC_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("DCAC_CACHE", str(tmp_path / "cache"))
    dataset = CLOTHES_DATASETS["prcc"]
    return read_clothes(dataset.find(made / "data"), dataset, (32, 16))


def plain_copies(folder, split, count=2):
    """Copies of one grey level each, 10 k + row."""
    for row, (name, file) in enumerate(zip(split.names, split.files)):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        height, width = np.asarray(Image.open(file)).shape[:2]
        levels = [np.full((height, width, 3), 100 * k + row, np.uint8) for k in range(count)]
        write_copies((folder / name).with_suffix(""), np.stack(levels), [Description("coat", "", "")] * count)


def test_copies_are_read_once_and_again_when_they_change(people, tmp_path, monkeypatch):
    plain_copies(tmp_path / "copies", people.train)
    pool = pool_of("prcc", tmp_path / "copies", people.train)
    assert isinstance(pool, np.memmap) and pool.shape == (16, 2, 3, 32, 16)
    assert (pool == (100 * np.arange(2) + np.arange(16)[:, None])[:, :, None, None, None]).all()
    assert pool_of("prcc", tmp_path / "copies", people.train).filename == pool.filename
    first = (tmp_path / "copies" / people.train.names[3]).with_suffix("")
    write_copies(first, np.zeros((3, 8, 4, 3), np.uint8), [Description("coat", "", "")] * 3)
    with pytest.raises(ValueError, match="has 3 copies; expected 2 of each picture"):
        pool_of("prcc", tmp_path / "copies", people.train)
    first.with_name(f"{first.name}.png").unlink()
    with pytest.raises(FileNotFoundError, match="1 of 16 pictures have no copies in .*clothes paint"):
        pool_of("prcc", tmp_path / "copies", people.train)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 9, 1))
    plain_copies(tmp_path / "more", people.train)
    with pytest.raises(OSError, match="copies need .* make room or set DCAC_RUNS"):
        pool_of("prcc", tmp_path / "more", people.train)


def test_arms_differ_in_what_stands_beside_the_originals(people):
    recipe, train = recipe_of("rehearsal", 16), people.train
    copies = np.zeros((16, 2, *train.images.shape[1:]), np.uint8)
    assert stage2.expansion_of("CAL", train, copies, recipe) is None
    rows = torch.tensor([3, 5])
    again = stage2.expansion_of("second augmentation", train, copies, recipe).pairs(rows, 0)
    assert torch.equal(again[:2], again[2:]) and torch.equal(again[:2], torch.from_numpy(train.images[[3, 5]]))
    assert not stage2.expansion_of("copies", train, copies, recipe).pairs(rows, 0)[2:].any()
    with pytest.raises(ValueError, match="arm is 'copy'; expected one of CAL, second augmentation, copies"):
        stage2.check_arms(["copy"], copies)
    with pytest.raises(ValueError, match="'copies' needs the folder that they lie in: --copies FOLDER"):
        stage2.check_arms(["CAL", "copies"], None)


def test_the_full_tier_trains_as_long_as_dlcr():
    recipe = recipe_of("full", 17_896)
    assert (recipe.epochs, recipe.start, recipe.every, recipe.iterations) == (60, 25, 5, 559)
    assert recipe.identities * recipe.instances == 32


def test_features_are_the_sum_of_a_picture_and_its_mirror():
    class Means(torch.nn.Module):
        def features(self, images):
            left = torch.from_numpy(images[..., :2].copy()).float().mean((1, 2, 3))
            return torch.nn.functional.normalize(torch.stack([left, torch.ones_like(left)], 1))

    image = np.zeros((1, 3, 4, 4), np.uint8)
    image[..., 2:] = 10
    expected = torch.tensor([[0.0, 1.0]]) + torch.nn.functional.normalize(torch.tensor([[10.0, 1.0]]))
    assert torch.allclose(scores.features(Means(), image), torch.nn.functional.normalize(expected))


class Colours:
    """An encoder that sees the mean colour."""

    def features(self, images):
        return torch.nn.functional.normalize(torch.from_numpy(images.copy()).float().mean((2, 3)) + 1)


def test_copies_of_queries_vote_and_their_mean_stands_beside(people):
    plain = scores.rows_of(Colours(), people)
    assert [row["protocol"] for row in plain] == ["same clothes", "clothes-changing"]
    assert all(0 <= row["mAP"] <= 100 and row["queries"] == 3 for row in plain)
    gallery = people.gallery
    right = [np.flatnonzero(gallery.pids == pid) for pid in people.query.pids]
    ideal = np.stack([gallery.images[rows[:2]] for rows in right])  # as if the copies were gallery pictures themselves
    rows = scores.rows_of(Colours(), people, ideal)
    assert [row["votes"] for row in rows] == 2 * ["", "Algorithm 1", "mean feature"]
    assert [row for row in rows if not row["votes"]] == plain
    assert all(row["R1"] >= plain[k // 3]["R1"] and row["queries"] == 3 for k, row in enumerate(rows))
    itself = scores.rows_of(Colours(), people, np.asarray(people.query.images)[:, None])
    assert itself[2] | {"votes": ""} == pytest.approx(itself[0], nan_ok=True)  # the mean of a query and itself
    with pytest.raises(ValueError, match="asks for videos; refinement takes copies of single pictures"):
        query = replace(people.query, tracklets=np.arange(len(people.query)))
        scores.rows_of(Colours(), replace(people, query=query), ideal)


def test_the_full_tier_stops_where_data_are_missing(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("DCAC_DATA", str(tmp_path))
    assert "LTCC is not at" in refused(["clothes", "learn", "ltcc", "--arms", "CAL"], capsys)
    assert "needs the folder that they lie in: --copies" in refused(["clothes", "learn", "ltcc"], capsys)
    assert not list(Path(tmp_path).iterdir())


def test_stage_2_learns_goes_on_after_a_stop_and_is_kept(made, tmp_path, monkeypatch):
    monkeypatch.setenv("DCAC_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("DCAC_CACHE", str(tmp_path / "cache"))
    dataset = CLOTHES_DATASETS["prcc"]
    people = read_clothes(dataset.find(made / "data"), dataset, (64, 32))
    recipe = replace(recipe_of("rehearsal", 16), epochs=5, iterations=12, lr=1e-3)
    plain_copies(tmp_path / "copies", people.train)
    pool = pool_of("prcc", tmp_path / "copies", people.train)
    expansion = stage2.expansion_of("copies", people.train, pool, recipe)
    whole, history = stage2.learn(people.train, expansion, "lite", recipe, 0, tmp_path / "a.pt")
    losses = [each["loss"] for each in history]
    begin = 24 // 3  # in epoch 2 the clothes losses begin
    assert np.mean(losses[begin - 4 : begin]) < losses[0] - 0.1 and losses[-1] < losses[begin] / 2
    steps, inner = [], stage2.augment

    def stopping(*arguments):
        steps.append(arguments)
        if len(steps) == 31:
            raise KeyboardInterrupt
        return inner(*arguments)

    monkeypatch.setattr(stage2, "augment", stopping)
    with pytest.raises(KeyboardInterrupt):
        stage2.trained("copies", people, pool, "lite", recipe, 0)
    model = stage2.trained("copies", people, pool, "lite", recipe, 0)
    assert len(steps) == 31 + 30
    assert all(torch.equal(x, whole.state_dict()[name]) for name, x in model.state_dict().items())
    stage2.trained("copies", people, pool, "lite", recipe, 0)
    assert len(steps) == 31 + 30  # found
    other = stage2.trained("CAL", people, None, "lite", replace(recipe, epochs=1), 0)
    assert len(steps) == 61 + 12 and not torch.equal(other.classifier.weight, model.classifier.weight)
