"""Procedural pedestrians: draw a person from attributes, then photograph them with a camera.

A figure is drawn as a map of part labels at twice the final size (128 x 64), coloured through
a lookup table, shaded, pasted on a background and reduced to 64 x 32. Because the label map is
known, so is the truth that no real data set has: which pixels are body and which are clothing.
Every function is deterministic in its arguments and its `numpy.random.Generator`.
"""

from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

HEIGHT, WIDTH = 64, 32  # pixels of a finished picture
H2, W2 = 2 * HEIGHT, 2 * WIDTH  # pixels of the drawing canvas

#: Colour words and their sRGB values, 0..255. Captions use these words.
COLOURS: dict[str, tuple[int, int, int]] = {
    "black": (28, 28, 32), "white": (235, 235, 232), "grey": (128, 130, 134), "red": (196, 36, 40),
    "orange": (235, 126, 34), "yellow": (236, 208, 56), "green": (44, 134, 62), "cyan": (60, 186, 200),
    "blue": (42, 82, 196), "purple": (118, 56, 160), "pink": (238, 138, 176), "brown": (112, 72, 42),
    "beige": (208, 186, 146),
}  # fmt: skip
VIEWS = ("front", "back", "side")
TOPS = ("t-shirt", "shirt", "jacket", "coat", "dress")
BOTTOMS = ("trousers", "shorts", "skirt")
PATTERNS = ("plain", "striped", "vertical", "checked", "dotted", "two-tone")
BAGS = ("none", "backpack", "shoulder bag", "handbag")
HAIR_STYLES = ("short", "long", "bun", "bald")

# Part labels. Everything from SKIN on is body; CLOTHING lists what a person can take off.
BACKGROUND, SKIN, HAIR, TOP, TOP_SHADE, TOP_DETAIL, BOTTOM, BOTTOM_SHADE, SHOES, HAT, BAG, BELT = range(12)
CLOTHING = (TOP, TOP_SHADE, TOP_DETAIL, BOTTOM, BOTTOM_SHADE, SHOES, HAT, BAG, BELT)


@dataclass(frozen=True)
class Garment:
    """One piece of clothing: `kind` (a word of TOPS or BOTTOMS), colour word and exact RGB of its
    main and second colour, `pattern` (a word of PATTERNS) and pattern period in canvas pixels."""

    kind: str
    colour: str
    rgb: tuple[float, float, float]
    second_rgb: tuple[float, float, float]
    pattern: str
    period: int


@dataclass(frozen=True)
class Appearance:
    """All that makes an identity: what the camera, the pose and the place do not change."""

    top: Garment
    bottom: Garment
    shoes_rgb: tuple[float, float, float]
    skin_rgb: tuple[float, float, float]
    hair_rgb: tuple[float, float, float]
    hair_style: str
    hat_rgb: tuple[float, float, float] | None
    bag: str
    bag_rgb: tuple[float, float, float]
    belt_rgb: tuple[float, float, float] | None
    logo: bool  # a patch on the back, seen from behind only
    build: float  # relative width of the body, about 0.85 to 1.2
    height: float  # relative height, about 0.92 to 1.04


@dataclass(frozen=True)
class Pose:
    """How a person stands in the crop: view, walking phase (radians), and the crop's misalignment
    (shift in finished pixels, relative scale)."""

    view: str
    phase: float
    shift_x: float = 0.0
    shift_y: float = 0.0
    scale: float = 1.0


@dataclass(frozen=True)
class Camera:
    """A camera's constant style. `cast` are log-gains per channel, `exposure` a log-gain, `veil` the
    share of haze, `light` a vertical light gradient, `blur` a Gaussian radius in pixels, `noise` an
    SD in grey levels, `resolution` the share of the pixels kept per side before enlarging again."""

    cast: tuple[float, float, float] = (0.0, 0.0, 0.0)
    exposure: float = 0.0
    gamma: float = 1.0
    contrast: float = 1.0
    veil: float = 0.0
    light: float = 0.0
    blur: float = 0.0
    noise: float = 0.0
    resolution: float = 1.0


@dataclass(frozen=True)
class Picture:
    """A finished picture and its truth. image: uint8 [64, 32, 3]; masks: bool [64, 32]."""

    image: np.ndarray
    body_mask: np.ndarray
    clothing_mask: np.ndarray = field(repr=False)


def draw_labels(person: Appearance, pose: Pose) -> np.ndarray:
    """The part-label map of a person, uint8 [128, 64], drawn back to front."""
    canvas = Image.new("L", (W2, H2), BACKGROUND)
    draw = ImageDraw.Draw(canvas)
    tall = person.height * pose.scale
    wide = person.build * pose.scale
    centre, floor = W2 / 2 + 2 * pose.shift_x, 121 + 2 * pose.shift_y
    side = pose.view == "side"
    swing = np.sin(pose.phase)

    def at(x: float, y: float) -> tuple[float, float]:
        return centre + x * wide, floor - (121 - y) * tall

    def limb(label: int, points: list[tuple[float, float]], width: float) -> None:
        draw.line([at(*p) for p in points], fill=label, width=max(2, round(width * wide)), joint="curve")

    def blob(label: int, x: float, y: float, rx: float, ry: float) -> None:
        (cx, cy), rx, ry = at(x, y), rx * pose.scale, ry * pose.scale
        draw.ellipse([cx - rx, cy - ry, cx + rx, cy + ry], fill=label)

    def area(label: int, points: list[tuple[float, float]]) -> None:
        draw.polygon([at(*p) for p in points], fill=label)

    def leg(sign: int, shade: bool) -> None:
        knee, ankle = (8 * swing * sign, 13 * swing * sign) if side else (5.5 * sign, 5.5 * sign + swing)
        hip = 0 if side else 4.5 * sign
        lift = max(0.0, 4 * swing * sign)
        cloth = BOTTOM_SHADE if shade else BOTTOM
        lower = {"trousers": cloth, "shorts": SKIN, "skirt": SKIN}[person.bottom.kind]
        limb(lower, [(knee, 93), (ankle, 115 - lift)], 6.5)
        limb(cloth if person.bottom.kind != "skirt" else SKIN, [(hip, 70), (knee, 94)], 8.5)
        toe = 5 if side else 1.5 * sign
        area(
            SHOES,
            [
                (ankle - 4, 114 - lift),
                (ankle + 4, 114 - lift),
                (ankle + 4 + toe, 120 - lift),
                (ankle - 4 + min(toe, 0), 120 - lift),
            ],
        )

    def arm(sign: int, label: int) -> None:
        if side:
            shoulder, elbow, hand = (0, 34), (-7 * swing * sign, 50), (-11 * swing * sign + 2, 64)
        else:
            shoulder, elbow, hand = (12 * sign, 34), (14.5 * sign, 50), ((14 + swing) * sign, 65)
        limb(SKIN, [elbow, hand], 4.5)
        limb(label, [shoulder, elbow], 6.5)
        if person.top.kind in ("shirt", "jacket", "coat"):
            limb(label, [elbow, (hand[0], hand[1] - 4)], 5.5)

    half = 8 if side else 12
    if person.bag == "backpack" and side:
        area(BAG, [(-7, 34), (-15, 37), (-15, 58), (-7, 60)])
    if person.bag == "backpack" and pose.view == "front":
        blob(BAG, 0, 46, 13.5 * wide / pose.scale, 13)
    if side:
        arm(-1, TOP_SHADE)
    leg(-1, shade=True)
    leg(1, shade=False)
    if not side:
        arm(-1, TOP_SHADE)
        arm(1, TOP_SHADE)

    # torso, then whatever hangs below it
    if person.bottom.kind == "skirt":
        area(BOTTOM, [(-half + 2, 64), (half - 2, 64), (half + 2, 90), (-half - 2, 90)])
    else:
        area(BOTTOM, [(-half + 2, 64), (half - 2, 64), (half - 2.5, 74), (-half + 2.5, 74)])
    blob(SKIN, 0, 28, 3.5, 5)
    area(TOP, [(-half + 3, 29), (half - 3, 29), (half, 33), (half - 2, 67), (-half + 2, 67), (-half, 33)])
    if person.top.kind == "coat":
        area(TOP, [(-half + 2, 64), (half - 2, 64), (half, 92), (-half, 92)])
    if person.top.kind == "dress":
        area(TOP, [(-half + 2, 60), (half - 2, 60), (half + 3, 96), (-half - 3, 96)])
    if person.top.kind in ("jacket", "coat") and pose.view == "front":
        area(TOP_DETAIL, [(-3, 29), (3, 29), (2.5, 66), (-2.5, 66)])
    if person.logo and pose.view == "back":
        area(TOP_DETAIL, [(-6, 38), (6, 38), (6, 47), (-6, 47)])
    if person.belt_rgb is not None and person.top.kind != "coat":
        area(BELT, [(-half + 2, 65), (half - 2, 65), (half - 2, 69), (-half + 2, 69)])
    if side:
        arm(1, TOP_SHADE)

    if person.bag == "backpack" and pose.view == "back":
        area(BAG, [(-9, 33), (9, 33), (10, 58), (-10, 58)])
    if person.bag == "backpack" and pose.view == "front":
        area(BAG, [(-9.5, 30), (-7, 30), (-7, 52), (-9.5, 52)])
        area(BAG, [(9.5, 30), (7, 30), (7, 52), (9.5, 52)])
    if person.bag == "shoulder bag":
        limb(BAG, [(-8, 30), (11, 60)], 2.4)
        area(BAG, [(7, 57), (17, 57), (17, 70), (7, 70)])
    if person.bag == "handbag":
        area(BAG, [(10, 64), (20, 64), (21, 76), (9, 76)])

    # head: hair behind, face, hair on top
    if person.hair_style == "long":
        area(
            HAIR,
            [(-7, 14), (7, 14), (8, 33), (-8, 33)] if pose.view != "side" else [(-8, 12), (2, 12), (-2, 33), (-9, 33)],
        )
    blob(SKIN, 0, 18, 6.6, 8.2)
    if person.hair_style != "bald":
        if pose.view == "back":
            blob(HAIR, 0, 17, 7.2, 8.6 if person.hair_style != "short" else 7.6)
        else:
            blob(HAIR, -1.5 if side else 0, 12.5, 7.2, 4.8)
            if side:
                blob(HAIR, -4, 17, 4, 6.5)
        if person.hair_style == "bun":
            blob(HAIR, -4 if side else 0, 8, 3.6, 3.2)
    if person.hat_rgb is not None:
        blob(HAT, 0, 11, 7.6, 4.6)
        area(HAT, [(-8, 11), (8 + 4 * side, 11), (8 + 4 * side, 14), (-8, 14)])
    return np.asarray(canvas)


@lru_cache(maxsize=1)
def _grid() -> tuple[np.ndarray, np.ndarray]:
    return np.mgrid[0:H2, 0:W2]


def _pattern_mask(garment: Garment, pose: Pose) -> np.ndarray | None:
    """Where the garment shows its second colour, bool [128, 64], or None for a plain garment."""
    if garment.pattern == "plain":
        return None
    rows, columns = _grid()
    p = garment.period
    y, x = rows + round(2 * pose.shift_y), columns + round(2 * pose.shift_x)
    return {
        "striped": lambda: y % p < p // 2,
        "vertical": lambda: x % p < p // 2,
        "checked": lambda: (y % p < p // 2) ^ (x % p < p // 2),
        "dotted": lambda: ((y % p) < p * 0.45) & ((x % p) < p * 0.45),
        "two-tone": lambda: y > 49 + 2 * pose.shift_y,
    }[garment.pattern]()


def paint(labels: np.ndarray, person: Appearance, pose: Pose, background: np.ndarray) -> np.ndarray:
    """Colour a label map over a background patch uint8 [128, 64, 3]; returns uint8 [128, 64, 3]."""
    table = np.zeros((12, 3), np.float32)
    table[SKIN], table[HAIR], table[SHOES], table[BAG] = (
        person.skin_rgb,
        person.hair_rgb,
        person.shoes_rgb,
        person.bag_rgb,
    )
    table[TOP] = person.top.rgb
    table[TOP_SHADE] = np.multiply(person.top.rgb, 0.86)
    table[TOP_DETAIL] = person.top.second_rgb
    table[BOTTOM] = person.bottom.rgb
    table[BOTTOM_SHADE] = np.multiply(person.bottom.rgb, 0.86)
    table[HAT] = person.hat_rgb if person.hat_rgb is not None else 0
    table[BELT] = person.belt_rgb if person.belt_rgb is not None else 0
    colour = table[labels]
    for garment, parts in ((person.top, (TOP, TOP_SHADE)), (person.bottom, (BOTTOM, BOTTOM_SHADE))):
        second = _pattern_mask(garment, pose)
        if second is not None:
            colour[second & ((labels == parts[0]) | (labels == parts[1]))] = garment.second_rgb
    # light falls from the upper left: a body is darker towards its right edge and its feet
    rows, columns = _grid()
    shade = 1.06 - 0.0042 * (columns - W2 / 2 - 2 * pose.shift_x) - 0.0008 * (rows - H2 / 2)
    colour *= shade[..., None]
    body = labels != BACKGROUND
    return np.where(body[..., None], np.clip(colour, 0, 255), background).astype(np.uint8)


def photograph(image: np.ndarray, camera: Camera, rng: np.random.Generator) -> np.ndarray:
    """Pass a picture uint8 [64, 32, 3] through a camera: light, colour, blur, resolution, noise."""
    x = image.astype(np.float32) / 255.0
    gain = np.exp(np.asarray(camera.cast, np.float32) + camera.exposure)
    x = x * gain * (1 + camera.light * np.linspace(0.5, -0.5, x.shape[0], dtype=np.float32)[:, None, None])
    x = np.clip(x, 1e-4, 1.0) ** camera.gamma
    x = (x - 0.5) * camera.contrast + 0.5
    x = x * (1 - camera.veil) + 0.75 * camera.veil
    picture = Image.fromarray((np.clip(x, 0, 1) * 255).astype(np.uint8))
    if camera.resolution < 1:
        small = max(4, round(picture.width * camera.resolution)), max(8, round(picture.height * camera.resolution))
        picture = picture.resize(small, Image.Resampling.BOX).resize(picture.size, Image.Resampling.BILINEAR)
    if camera.blur > 0:
        picture = picture.filter(ImageFilter.GaussianBlur(camera.blur))
    x = np.asarray(picture, np.float32)
    if camera.noise > 0:
        x = x + camera.noise * rng.standard_normal(x.shape, dtype=np.float32)
    return np.clip(x, 0, 255).astype(np.uint8)


def render(
    person: Appearance,
    pose: Pose,
    background: np.ndarray,
    camera: Camera,
    rng: np.random.Generator,
    occluder: bool = False,
) -> Picture:
    """One finished picture of a person, with the masks of what is still visible of them.

    background: uint8 [128, 64, 3]. With `occluder` a post or a box hides a part of the person."""
    labels = draw_labels(person, pose).copy()
    image = paint(labels, person, pose, background)
    if occluder:
        left, width = int(rng.integers(4, 50)), int(rng.integers(7, 14))
        top = int(rng.integers(50, 90)) if rng.random() < 0.6 else 0
        image[top:, left : left + width] = rng.integers(40, 190, 3, dtype=np.uint8)
        labels[top:, left : left + width] = BACKGROUND
    image = np.asarray(Image.fromarray(image).reduce(2))
    # a finished pixel belongs to the body when at least half of its four drawn ones do
    body = (labels != BACKGROUND).reshape(HEIGHT, 2, WIDTH, 2).sum((1, 3)) >= 2
    clothing = np.isin(labels, CLOTHING).reshape(HEIGHT, 2, WIDTH, 2).sum((1, 3)) >= 2
    return Picture(photograph(image, camera, rng), body, clothing)
