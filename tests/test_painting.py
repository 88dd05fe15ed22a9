"""Stage 1 of DLCR with its network: painting clothes inside a mask, by words."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from dcac_lite.expansion import painting_report
from dcac_lite.expansion.descriptions import Description
from dcac_lite.expansion.domains import file_name
from dcac_lite.expansion.inpainting.cache import Order, painted_copies
from dcac_lite.expansion.inpainting.painter import LITE, Painter, Settings
from dcac_lite.expansion.inpainting.pipeline import SHIPPED, load_pipeline
from dcac_lite.expansion.inpainting.recipe import PEOPLE, SMOKE
from dcac_lite.expansion.inpainting.training import train, widened
from dcac_lite.expansion.painted import KINDS, PAINTED, order_of, painted
from dcac_lite.expansion.specs import CLOTHES_DOMAINS
from dcac_lite.expansion.world import photograph, plan, worn_mask
from dcac_lite.paths import LITE_WEIGHTS
from dcac_lite.pretrained.stable_diffusion import load_stable_diffusion

CV = CLOTHES_DOMAINS["CV"]
QUICK = replace(LITE["train"], steps=2)


@pytest.fixture(scope="module")
def samples():
    return [photograph(CV, record) for record in plan(CV)[:200:40]]


@pytest.fixture(scope="module")
def painter():
    return Painter(QUICK)


def test_only_the_mask_is_painted_and_words_and_seed_say_with_what(samples, painter):
    sample, other = samples[:2]
    picture, mask = sample.picture.image, worn_mask(sample)
    prompts = ["red coat blue trousers white shoes", "green shirt black shorts red shoes", ""]
    copies = painter(picture, mask, prompts, "a")
    assert copies.shape == (3, 64, 32, 3) and copies.dtype == np.uint8
    assert (copies[:, ~mask] == picture[~mask]).all()
    assert all((copy[mask] != picture[mask]).any(1).mean() > 0.9 for copy in copies)
    # what is painted before does not matter, the name and the seed do
    painter(other.picture.image, worn_mask(other), prompts, "b")
    assert np.array_equal(painter(picture, mask, prompts, "a"), copies)
    assert not np.array_equal(painter(picture, mask, prompts, "b"), copies)
    assert not np.array_equal(Painter(QUICK, seed=1)(picture, mask, prompts, "a"), copies)


def test_clothes_have_the_colours_that_were_asked_for(samples):
    paint, hits = Painter(LITE["train"]), []
    for sample in samples:
        row = painting_report.targets("random prompts", CV, [sample], 4)[0]
        prompts = [target.words.prompt for target in row]
        copies = paint(sample.picture.image, worn_mask(sample), prompts, file_name(sample.record))
        hits += [painting_report.follows(copy, target)["upper"] for copy, target in zip(copies, row)]
    assert np.nanmean(hits) > 0.4  # 1/13 by chance


def test_what_cannot_be_painted_is_said_in_a_sentence(samples, painter):
    picture, mask = samples[0].picture.image, worn_mask(samples[0])
    with pytest.raises(ValueError, match="The mask of a.png is 32 x 32; expected 64 x 32, the picture's size"):
        painter(picture, mask[::2], ["red coat"], "a.png")
    with pytest.raises(ValueError, match="The mask of a.png is empty"):
        painter(picture, np.zeros_like(mask), ["red coat"], "a.png")
    with pytest.raises(ValueError, match="There is no description for a.png"):
        painter(picture, mask, [], "a.png")
    with pytest.raises(ValueError, match="kind of copies is 'inpanted'; expected one of inpainted, random prompts"):
        order_of("inpanted", CV, samples[0], 2)


def test_weights_that_cannot_inpaint_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="There are no inpainting weights .*clothes pretrain"):
        load_pipeline(tmp_path / "none.safetensors")
    with pytest.raises(ValueError, match="takes 4 channels; an inpainting one takes 9"):
        load_pipeline(LITE_WEIGHTS / "stable-diffusion")


def test_stable_diffusion_s_own_format_is_painted_with(tmp_path, samples):
    load_pipeline().save_pretrained(tmp_path)
    sample = samples[0]
    picture = np.array(np.repeat(np.repeat(sample.picture.image, 2, 0), 2, 1))
    mask = np.repeat(np.repeat(worn_mask(sample), 2, 0), 2, 1)
    # the published shape, three times as high as wide, and back to the picture's own
    copies = Painter(Settings((96, 32), 2, 7.5), tmp_path)(picture, mask, ["red coat", "blue coat"], "a")
    assert copies.shape == (2, 128, 64, 3) and (copies[:, ~mask] == picture[~mask]).all()
    assert not np.array_equal(copies[0], copies[1])


def test_own_pictures_are_painted_from_files(tmp_path, samples):
    from PIL import Image

    from dcac_lite.expansion.copies import read_copies
    from dcac_lite.expansion.masks import write_mask
    from dcac_lite.expansion.paint_files import paint_files

    folders = [tmp_path / name for name in ("pictures", "masks", "words", "out")]
    for folder in folders[:3]:
        (folder / "001").mkdir(parents=True)
    sample = samples[0]
    paint = lambda: paint_files(*folders, QUICK, SHIPPED)  # noqa: E731
    with pytest.raises(FileNotFoundError, match="There are no pictures in"):
        paint()
    Image.fromarray(sample.picture.image).save(folders[0] / "001" / "a.png")
    with pytest.raises(FileNotFoundError, match="There are no descriptions .*a.txt"):
        paint()
    (folders[2] / "001" / "a.txt").write_text("Red coat | blue jeans | white shoes.\ngreen shirt | | \n")
    with pytest.raises(FileNotFoundError, match="There is no mask"):
        paint()
    write_mask(folders[1] / "001" / "a.png", worn_mask(sample))
    assert paint() == 1 and paint() == 0
    copies, words = read_copies(folders[3] / "001" / "a")
    assert len(copies) == 2 and words[0] == Description("red coat", "blue jeans", "white shoes")
    Image.fromarray(samples[1].picture.image).save(folders[0] / "001" / "a.png")
    with pytest.raises(ValueError, match="a.png holds copies of another picture"):
        paint()


def test_a_stopped_painting_goes_on_and_is_the_same(tmp_path, samples, monkeypatch):
    from dcac_lite.expansion.inpainting import cache

    monkeypatch.setattr(cache, "PART", 1)
    orders = [
        Order(s.picture.image, worn_mask(s), (Description("red coat", "", ""), Description("", "", "red shoes")))
        for s in samples[:2]
    ]
    orders.append(replace(orders[0], mask=np.zeros_like(orders[0].mask)))
    names = ["a", "b", "c"]
    whole = painted_copies(orders, names, "x", QUICK, root=tmp_path)
    assert (whole[2] == orders[2].picture).all()
    (folder,) = tmp_path.iterdir()
    (folder / "part-000001.safetensors").unlink()
    calls = []
    inner = cache._copies
    monkeypatch.setattr(cache, "_copies", lambda *args: calls.append(args[2]) or inner(*args))
    assert np.array_equal(painted_copies(orders, names, "x", QUICK, root=tmp_path), whole) and calls == ["b"]
    file = folder / "part-000000.safetensors"
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(ValueError, match="part-000000"):
        painted_copies(orders, names, "x", QUICK, root=tmp_path)
    changed = [replace(orders[0], words=orders[1].words[::-1]), *orders[1:]]
    painted_copies(changed, names, "x", QUICK, root=tmp_path)
    assert len(list(tmp_path.iterdir())) == 2  # other words, another folder


def test_every_kind_paints_what_it_says(tmp_path, samples, monkeypatch):
    monkeypatch.setenv("DCAC_DATA", str(tmp_path))
    sample, names = samples[0], [file_name(samples[0].record)]
    assert set(KINDS) == set(PAINTED)
    for kind in KINDS:
        copies, words = painted(kind, CV, names, 2)
        assert copies.shape == (1, 2, 3, 64, 32) and len(words[0]) == 2
        same = (copies[0].transpose(0, 2, 3, 1) == sample.picture.image).all(3)[:, ~worn_mask(sample)].mean()
        assert same == 1 if KINDS[kind].masked else same < 0.5
    with pytest.raises(ValueError, match="no picture of the domain CV"):
        PAINTED["inpainted"](CV, ["x.png"], 2)


def test_the_model_starts_as_the_lite_one_and_learns_from_nobody_it_is_tested_on(tmp_path):
    assert PEOPLE.seed not in {spec.seed for spec in CLOTHES_DOMAINS.values()}
    sd = load_stable_diffusion(LITE_WEIGHTS / "stable-diffusion", 32)
    x, t, c = torch.randn(2, 9, 16, 8), torch.tensor([3, 900]), torch.randn(2, 5, 64)
    with torch.no_grad():
        before, wide = sd.unet(x[:, :4], t, c).sample, widened(sd.unet).eval()(x, t, c).sample
    assert torch.allclose(before, wide, atol=1e-5)
    module, history = train(SMOKE, tmp_path)
    assert history[-1]["step"] == SMOKE.steps
    assert module["unet"].conv_in.weight[:, 4:].abs().max() > 0
    assert SHIPPED.stat().st_size < 10e6
