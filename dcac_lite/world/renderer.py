"""From a label map to a photograph: cloth and light, the detector's box, the camera.

Every function is deterministic in its arguments. A `Shot` holds everything that one picture is made of, so that the
same person can be taken again with one thing changed (another camera, pose or place): `render(replace(shot, ...))`.
"""

import math
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from PIL import Image, ImageFilter

from .appearance import Appearance, Garment
from .figure import (
    BACK,
    BACKGROUND,
    BAG,
    BELT,
    BOTTOM,
    BOTTOM_SHADE,
    BOX_HEIGHT,
    BOX_WIDTH,
    CANVAS_HEIGHT,
    CANVAS_WIDTH,
    CHEST,
    CLOTHING,
    HAIR,
    HAT,
    HEIGHT,
    LABELS,
    MARGIN,
    SCARF,
    SHOES,
    SIDE_STRIPE,
    SKIN,
    SLEEVE,
    TOP,
    TOP_DETAIL,
    TOP_SHADE,
    WIDTH,
    Pose,
    draw_labels,
)  # fmt: skip


@dataclass(frozen=True)
class Box:
    """Where the detector's box lies: its centre's shift from the person's, in finished pixels, and its relative
    size (above 1 the person is small in it, below 1 head and feet are cut)."""

    x: float = 0.0
    y: float = 0.0
    scale: float = 1.0


@dataclass(frozen=True)
class Light:
    """The light of one picture. side: -1..1, how much brighter the body's right edge is than its left one; cast:
    log-gains per channel; exposure: a log-gain; shadow: (row, slope, log-gain) of a shadow's edge, or None."""

    side: float = 0.0
    cast: tuple[float, float, float] = (0.0, 0.0, 0.0)
    exposure: float = 0.0
    shadow: tuple[float, float, float] | None = None


@dataclass(frozen=True)
class Camera:
    """A camera's constant style. `cast` are log-gains per channel, `exposure` a log-gain, `veil` the share of haze,
    `light` a vertical light gradient, `blur` a Gaussian radius in pixels, `noise` an SD in grey levels; `heading` is
    the yaw in which people walk past it, radians, one way or the other."""

    cast: tuple[float, float, float] = (0.0, 0.0, 0.0)
    exposure: float = 0.0
    gamma: float = 1.0
    contrast: float = 1.0
    veil: float = 0.0
    light: float = 0.0
    blur: float = 0.0
    noise: float = 0.0
    heading: float = 0.0


@dataclass(frozen=True)
class Occluder:
    """A flat thing before the person: left, top, width in finished pixels, down to the ground, and its RGB."""

    left: int
    top: int
    width: int
    rgb: tuple[int, int, int]


@dataclass(frozen=True)
class PasserBy:
    """Another person, behind the first: appearance, pose, and the shift of their axis in canvas pixels."""

    appearance: Appearance
    pose: Pose
    shift: int


@dataclass(frozen=True)
class Shot:
    """Everything one picture is made of. patch: the place, uint8 [CANVAS_HEIGHT, CANVAS_WIDTH, 3]; resolution: share of
    the pixels per side that the distance leaves; motion: pixels that the picture is smeared by sideways; seed: of the
    camera's noise."""

    person: Appearance
    pose: Pose
    box: Box
    patch: np.ndarray = field(repr=False)
    light: Light
    camera: Camera
    resolution: float = 1.0
    motion: float = 0.0
    occluder: Occluder | None = None
    passer_by: PasserBy | None = None
    seed: int = 0


@dataclass(frozen=True)
class Picture:
    """A finished picture and its truth. image: uint8 [64, 32, 3]; masks: bool [64, 32], what is seen of the person."""

    image: np.ndarray
    body_mask: np.ndarray
    clothing_mask: np.ndarray = field(repr=False)


_BODY = np.where(np.arange(2 * LABELS) == BACKGROUND, 0, 255).astype(np.uint8)
_CLOTHES = np.where(np.isin(np.arange(LABELS), CLOTHING), 255, 0).astype(np.uint8)


@lru_cache(maxsize=1)
def _grid() -> tuple[np.ndarray, np.ndarray]:
    return np.mgrid[0:CANVAS_HEIGHT, 0:CANVAS_WIDTH]


def _pattern(garment: Garment) -> np.ndarray | None:
    """Where a garment shows its second colour, bool [CANVAS_HEIGHT, CANVAS_WIDTH], or None for a plain one."""
    if garment.pattern == "plain":
        return None
    return _pattern_mask(garment.pattern, garment.period)


@lru_cache(maxsize=64)
def _pattern_mask(pattern: str, p: int) -> np.ndarray:
    y, x = _grid()
    return {
        "striped": lambda: y % p < p // 2,
        "vertical": lambda: x % p < p // 2,
        "checked": lambda: (y % p < p // 2) ^ (x % p < p // 2),
        "dotted": lambda: ((y % p) < p * 0.5) & ((x % p) < p * 0.5),
        "two-tone": lambda: y > MARGIN + 49,
    }[pattern]()


def paint(labels: np.ndarray, person: Appearance, background: np.ndarray) -> np.ndarray:
    """Colour a label map over a background; both uint8, [CANVAS_HEIGHT, CANVAS_WIDTH] and with 3 channels."""
    table = np.zeros((2 * LABELS, 3), np.float32)  # the second half: where a garment's pattern shows its second colour
    table[SKIN], table[HAIR], table[SHOES] = person.skin_rgb, person.hair.rgb, person.shoes.rgb
    table[TOP], table[TOP_SHADE], table[TOP_DETAIL] = (
        person.top.rgb,
        np.multiply(person.top.rgb, 0.86),
        person.top.second_rgb,
    )
    table[BOTTOM], table[BOTTOM_SHADE] = person.bottom.rgb, np.multiply(person.bottom.rgb, 0.86)
    pieces = ((SLEEVE, person.sleeves), (SIDE_STRIPE, person.side_stripe), (HAT, person.hat), (BAG, person.bag),
              (BELT, person.belt), (SCARF, person.scarf), (CHEST, person.chest), (BACK, person.back))  # fmt: skip
    for label, piece in pieces:
        if piece is not None:
            table[label] = piece.rgb
    for garment, parts in ((person.top, (TOP, TOP_SHADE)), (person.bottom, (BOTTOM, BOTTOM_SHADE))):
        table[np.add(parts, LABELS)] = garment.second_rgb
        if (second := _pattern(garment)) is not None:
            labels = labels + (LABELS * np.isin(np.arange(2 * LABELS), parts)).astype(np.uint8)[labels] * second
    painted = Image.fromarray(labels)
    painted.putpalette(table.astype(np.uint8).tobytes())
    canvas = Image.fromarray(background)
    canvas.paste(painted.convert("RGB"), mask=Image.fromarray(_BODY[labels]))
    return np.asarray(canvas)


def cut(picture: Image.Image, box: Box) -> Image.Image:
    """The detector's box cut out of a canvas and brought to size. A box is kept within the canvas."""
    w, h = min(BOX_WIDTH * box.scale, CANVAS_WIDTH), min(BOX_HEIGHT * box.scale, CANVAS_HEIGHT)
    left = np.clip((CANVAS_WIDTH - w) / 2 + 2 * box.x, 0, CANVAS_WIDTH - w)
    top = np.clip((CANVAS_HEIGHT - h) / 2 + 2 * box.y, 0, CANVAS_HEIGHT - h)
    return picture.resize((WIDTH, HEIGHT), Image.Resampling.BOX, box=(left, top, left + w, top + h))


def photograph(
    image: np.ndarray, light: Light, camera: Camera, resolution: float, motion: float, seed: int
) -> np.ndarray:
    """Pass a picture uint8 [64, 32, 3] through light and camera: colour, haze, resolution, blur, noise."""
    rows = np.linspace(0.5, -0.5, HEIGHT, dtype=np.float32)[:, None, None]
    columns = np.linspace(-0.5, 0.5, WIDTH, dtype=np.float32)[None, :, None]
    x = image.astype(np.float32) / 255.0
    gain = np.exp(np.add(camera.cast, light.cast, dtype=np.float32) + camera.exposure + light.exposure)
    x = x * (gain * (1 + camera.light * rows + light.side * columns))
    if light.shadow is not None:
        edge, slope, darker = light.shadow
        x = x * np.where(rows * HEIGHT + slope * columns * WIDTH < edge, np.float32(math.exp(darker)), np.float32(1))
    # what a camera does to a pixel by itself, for each of the 256 values that a pixel has; a power in float32 may
    # differ between processors in its last digit, and so would the pictures
    response = (np.linspace(0, 1, 256, dtype=np.float32) ** np.float64(np.float32(camera.gamma))).astype(np.float32)
    response = ((response - 0.5) * camera.contrast + 0.5) * (1 - camera.veil) + 0.75 * camera.veil
    x = response.astype(np.float32)[(np.clip(x, 0, 1) * 255).astype(np.uint8)]
    if motion > 0:
        # three exposures along the way, each moved by half of it
        part = motion / 2
        whole, rest = int(part), part - int(part)
        ahead = (1 - rest) * np.roll(x, whole, 1) + rest * np.roll(x, whole + 1, 1)
        behind = (1 - rest) * np.roll(x, -whole, 1) + rest * np.roll(x, -whole - 1, 1)
        x = (x + ahead + behind) / 3
    picture = Image.fromarray((np.clip(x, 0, 1) * 255).astype(np.uint8))
    if resolution < 1:
        small = max(8, round(WIDTH * resolution)), max(16, round(HEIGHT * resolution))
        picture = picture.resize(small, Image.Resampling.BOX).resize(picture.size, Image.Resampling.BILINEAR)
    if camera.blur > 0:
        picture = picture.filter(ImageFilter.GaussianBlur(camera.blur))
    x = np.asarray(picture, np.float32)
    if camera.noise > 0:
        x = x + camera.noise * np.random.default_rng(seed).standard_normal(x.shape, dtype=np.float32)
    return np.clip(x, 0, 255).astype(np.uint8)


def render(shot: Shot) -> Picture:
    """The finished picture of a shot, with the masks of what is visible of the person."""
    canvas = shot.patch
    if shot.passer_by is not None:
        other = np.roll(draw_labels(shot.passer_by.appearance, shot.passer_by.pose), shot.passer_by.shift, axis=1)
        canvas = paint(other, shot.passer_by.appearance, canvas)
    labels = draw_labels(shot.person, shot.pose)
    image = np.asarray(cut(Image.fromarray(paint(labels, shot.person, canvas)), shot.box)).copy()
    # a finished pixel belongs to the body when at least half of what it shows does
    body, clothing = (
        np.asarray(cut(Image.fromarray(part), shot.box)) >= 128 for part in (_BODY[labels], _CLOTHES[labels])
    )
    if (o := shot.occluder) is not None:
        hidden = np.zeros((HEIGHT, WIDTH), bool)
        hidden[o.top :, max(0, o.left) : max(0, o.left + o.width)] = True
        image[hidden] = o.rgb
        body, clothing = body & ~hidden, clothing & ~hidden
    return Picture(photograph(image, shot.light, shot.camera, shot.resolution, shot.motion, shot.seed), body, clothing)
