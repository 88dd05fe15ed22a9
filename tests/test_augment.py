"""Augmentation read back from its results: images whose pixels name their place tell what was done to them."""

from typing import NamedTuple

import pytest
import torch
from scipy.stats import ks_2samp
from torch import Tensor
from torchvision.transforms import RandomErasing

from dcac_lite import Experiment
from dcac_lite.augment import augment, normalise, random_erasing, random_jitter
from dcac_lite.data.domains import TrainingSet
from dcac_lite.tiers import FULL, LITE
from dcac_lite.trainer import step_inputs

GREY = (0.5 + 1) * 127.5  # what erasing leaves, as a pixel; no whole number, so never a place
PADDING = 5


def index_images(count, height, width):
    """uint8 images whose first channel is a pixel's row, whose second its column counted from 1."""
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(1, width + 1), indexing="ij")
    return torch.stack([rows, columns, torch.full_like(rows, 90)]).to(torch.uint8).repeat(count, 1, 1, 1)


class Seen(NamedTuple):
    """What was done to each of B images: mirrored bool [B], then moved int64 [B], erased bool [B, H, W]."""

    mirrored: Tensor
    down: Tensor
    right: Tensor
    erased: Tensor


def read(x):
    """What was done to `index_images` to make x [B, 3, H, W]; asserts that it explains every pixel."""
    pixels = (x + 1) * 127.5
    erased = ((pixels - GREY).abs() < 1e-3).all(1)
    rows, columns, rest = pixels.round().long().unbind(1)
    columns, visible = columns - 1, ~erased & (columns > 0)
    height, width = x.shape[2:]
    y, x_ = torch.arange(height)[:, None], torch.arange(width)

    def shift(distance):
        """The distance that all visible pixels of an image have in common, and whether they have one."""
        low, high = (torch.where(visible, distance, s * 10_000).flatten(1) for s in (1, -1))
        return low.amin(1), low.amin(1) == high.amax(1)

    down, together = shift(y - rows)
    plain, is_plain = shift(x_ - columns)
    turned, is_turned = shift(x_ - (width - 1 - columns))
    assert together.all() and (is_plain ^ is_turned).all()
    right = torch.where(is_turned, turned, plain)
    y, x_ = (y - down[:, None, None]).expand_as(rows), (x_ - right[:, None, None]).expand_as(rows)
    source = torch.where(is_turned[:, None, None], width - 1 - x_, x_)
    inside = (0 <= y) & (y < height) & (0 <= x_) & (x_ < width)
    expected = torch.stack([torch.where(inside, value, 0) for value in (y, source + 1, torch.tensor(90))], 1).float()
    assert torch.where(erased[:, None], GREY, expected).allclose(pixels, atol=1e-3)
    return Seen(is_turned, down, right, erased)


@pytest.fixture(scope="module")
def moved():
    """What `augment` did, erasing left out, to each of 4,000 equal images of one batch."""
    return read(augment(index_images(4000, 32, 24), PADDING, 0.0, 0.0, torch.Generator().manual_seed(0)))


def test_each_image_is_mirrored_or_not_with_probability_one_half(moved):
    assert moved.mirrored.float().mean() == pytest.approx(0.5, abs=0.02)
    follows = (moved.mirrored[1:] == moved.mirrored[:-1]).float().mean()  # each image has a draw of its own
    assert follows == pytest.approx(0.5, abs=0.02)


def test_crops_are_uniform_over_all_places_in_both_directions(moved):
    assert not moved.erased.any()
    places, counts = torch.stack([moved.down, moved.right, moved.mirrored]).unique(dim=1, return_counts=True)
    assert set(places[0].tolist()) == set(places[1].tolist()) == set(range(-PADDING, PADDING + 1))
    expected = 4000 / (2 * (2 * PADDING + 1) ** 2)  # 16.5 of every place, mirrored and not
    assert len(counts) == 242 and ((counts - expected) ** 2 / expected).sum() == pytest.approx(
        241, abs=88
    )  # 4 SD of chi-squared


def test_without_padding_nothing_moves():
    seen = read(augment(index_images(50, 32, 24), 0, 0.0, 0.0, torch.Generator().manual_seed(0)))
    assert not seen.down.any() and not seen.right.any()


# ---------------------------------------------------------------- jitter


def jittered(image: torch.Tensor, strength: float = 1.0, seed: int = 0, count: int = 300) -> torch.Tensor:
    """Raw values of `count` jittered copies of one raw image [3, H, W], float [count, 3, H, W]."""
    x = normalise(image.expand(count, -1, -1, -1))
    return (random_jitter(x, strength, torch.Generator().manual_seed(seed)) + 1) * 127.5


def test_jitter_moves_by_a_tenth_and_scales_by_15_percent_at_most():
    image = torch.zeros(3, 200, 100)
    image[:, 80:120, 30:70] = 160  # a square of 40 pixels in the middle
    lit = jittered(image)[:, 0] > 50
    for axis, side in ((1, 200), (2, 100)):
        line = lit.any(3 - axis).float()  # [300, side]
        extent = line.sum(1)
        centre = (line * torch.arange(side)).sum(1) / extent - (side - 1) / 2
        assert 0.85 * 40 - 1 <= extent.min() < 35.5 and 44.5 < extent.max() <= 1.15 * 40 + 1
        assert 0.08 * side < centre.abs().max() <= 0.1 * side * 1.15 + 1  # what lies off the centre is scaled, too
    height, width = lit.any(2).sum(1), lit.any(1).sum(1)
    assert (height - width).abs().max() <= 1  # a person stays as slim as they are


def test_jitter_gives_each_channel_a_gain_of_25_percent_at_most():
    values = jittered(torch.full((3, 16, 8), 100.0))
    gains = values.mean((2, 3)) / 100  # [300, 3]
    assert values.std((2, 3)).max() < 1e-3
    assert 0.75 <= gains.min() < 0.77 and 1.23 < gains.max() <= 1.25
    assert abs(torch.corrcoef(gains.t())[0, 1]) < 0.25  # each channel by itself
    assert jittered(torch.full((3, 16, 8), 250.0)).max() <= 255


def test_jitter_repeats_the_border_and_never_shows_black():
    assert jittered(torch.full((3, 16, 8), 200.0)).min() >= 200 * 0.75 - 0.1


def test_jitter_of_strength_0_leaves_the_image_and_each_seed_is_another():
    image = index_images(1, 32, 24)[0].float()
    still, one, again, other = (jittered(image, s, k, 4) for s, k in ((0.0, 0), (1.0, 0), (1.0, 0), (1.0, 1)))
    assert still.allclose(image.expand_as(still), atol=1e-2)
    assert torch.equal(one, again) and not torch.equal(one, other) and not torch.equal(one[0], one[1])
    drawn = augment(index_images(4, 32, 24), 0, 0.0, 1.0, torch.Generator().manual_seed(0))
    assert not torch.equal(drawn, augment(index_images(4, 32, 24), 0, 0.0, 0.0, torch.Generator().manual_seed(0)))


def test_the_lite_tier_jitters_and_the_full_tier_does_not():
    assert (LITE.jitter, LITE.padding, FULL.jitter, FULL.padding) == (1.0, 0, 0.0, 10)


@pytest.fixture(scope="module")
def rectangles():
    """(top, left, height, width) [1500, 4] of what was erased in images of the full tier's size."""
    generator, image, found = torch.Generator().manual_seed(0), torch.zeros(300, 1, 256, 128), []
    for _ in range(5):
        erased = random_erasing(image, generator, probability=1.0)[:, 0] == 0.5
        rows, columns = erased.any(2), erased.any(1)
        assert (rows[:, :, None] & columns[:, None]).equal(erased)
        extent = [t for line in (rows, columns) for t in (line.byte().argmax(1), line.sum(1))]
        found.append(torch.stack([extent[i] for i in (0, 2, 1, 3)], 1))
    return torch.cat(found)


def test_erased_rectangles_cover_2_to_40_percent_at_aspects_from_0_3_to_3_3(rectangles):
    h, w = rectangles[:, 2].double(), rectangles[:, 3].double()
    # sides are whole pixels: no rectangle lies outside by more than half a pixel a side
    smallest, largest = (h - 0.5) * (w - 0.5) / (256 * 128), (h + 0.5) * (w + 0.5) / (256 * 128)
    assert (
        (smallest < 0.4).all()
        and (largest > 0.02).all()
        and ((h - 0.5) / (w + 0.5) < 3.3).all()
        and ((h + 0.5) / (w - 0.5) > 0.3).all()
    )
    share, aspect = h * w / (256 * 128), h / w
    assert share.min() < 0.022 and share.max() > 0.39 and aspect.min() < 0.32 and aspect.max() > 3.2


def test_erased_rectangles_are_spread_as_torchvisions(rectangles):
    image = torch.zeros(3, 256, 128)
    torch.manual_seed(1)
    theirs = torch.tensor([RandomErasing.get_params(image, (0.02, 0.4), (0.3, 3.3), [0.5])[:4] for _ in range(4000)])

    def described(r):
        top, left, h, w = r.double().unbind(1)
        return {
            "area": h * w,
            "aspect": h / w,
            "height": h,
            "width": w,
            "top": top / (256 - h),
            "left": left / (128 - w),
        }

    theirs = described(theirs)
    for name, values in described(rectangles).items():
        # two samples of one distribution are further apart once in 100,000 times
        assert ks_2samp(values, theirs[name]).pvalue > 1e-5, name


def test_padding_is_erased_too_as_erasing_comes_last():
    white = torch.full((2000, 3, 16, 8), 255, dtype=torch.uint8)
    x = augment(white, 20, 0.5, 0.0, torch.Generator().manual_seed(0))
    outside = (x < 1).flatten(1).all(1)  # the crop missed the image
    assert outside.sum() > 500
    assert (x[outside] == 0.5).flatten(1).any(1).float().mean() == pytest.approx(0.5, abs=0.06)


def test_a_step_of_the_full_tier_pads_by_10_and_erases_half_of_its_images():
    data = TrainingSet((index_images(32, 256, 128).numpy(),), torch.arange(32) // 4, 8, (), "made up")
    experiment = Experiment(tier="full", conditioning="none").resolved()
    steps = [read(step_inputs(experiment, data, None, 1.0, torch.arange(32), step, "cpu").images) for step in range(8)]
    mirrored, down, right, erased = (torch.cat(t) for t in zip(*steps))
    assert set(down.tolist()) == set(right.tolist()) == set(range(-10, 11))
    share = erased.flatten(1).float().mean(1)
    assert (
        (share > 0).float().mean() == pytest.approx(0.5, abs=0.1)
        and share[share > 0].min() > 0.019
        and share.max() < 0.41
    )
    assert mirrored.float().mean() == pytest.approx(0.5, abs=0.1)
