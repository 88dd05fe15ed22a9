"""Backgrounds: procedural scenes that a box around a person is cut from.

A scene is a wide picture of one place; each picture of a person shows a patch of it.
"""

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from .appearance import COLOURS
from .figure import CANVAS_HEIGHT, CANVAS_WIDTH, MARGIN

SCENE_WIDTH = 448  # canvas pixels
KINDS = ("street", "plaza", "park", "indoor", "night")

# wall/sky colours, ground colours, and the fixtures of each kind of place
_LOOK: dict[str, tuple[tuple[str, ...], tuple[str, ...], str]] = {
    "street": (("grey", "beige", "brown", "blue"), ("grey", "black"), "buildings"),
    "plaza": (("beige", "white", "cyan", "orange"), ("beige", "grey", "white"), "tiles"),
    "park": (("cyan", "green", "blue"), ("green", "brown", "yellow"), "trees"),
    "indoor": (("white", "beige", "pink", "yellow", "purple"), ("brown", "grey", "beige", "red"), "panels"),
    "night": (("black", "purple", "blue"), ("black", "grey"), "lamps"),
}


def draw_scene(kind: str, rng: np.random.Generator) -> tuple[np.ndarray, str]:
    """One scene of a kind, uint8 [CANVAS_HEIGHT, SCENE_WIDTH, 3], and the colour word of its upper part."""
    walls, grounds, fixtures = _LOOK[kind]
    wall_word = str(rng.choice(walls))
    dim = 0.35 if kind == "night" else 1.0

    def shade(word: str, spread: float = 14) -> tuple[int, int, int]:
        # backgrounds are paler than clothes: half-way to grey, then jittered
        rgb = 0.55 * np.array(COLOURS[word]) + 0.45 * 140
        return tuple(int(v) for v in np.clip((rgb + rng.normal(0, spread, 3)) * dim, 0, 255))

    def anywhere() -> int:
        return int(rng.integers(0, SCENE_WIDTH))

    image = Image.new("RGB", (SCENE_WIDTH, CANVAS_HEIGHT), shade(wall_word))
    draw = ImageDraw.Draw(image)
    horizon = MARGIN + int(rng.integers(48, 92))
    if fixtures in ("buildings", "panels", "lamps"):
        x = 0
        while x < SCENE_WIDTH:
            width = int(rng.integers(24, 70))
            top = 0 if fixtures == "panels" else int(rng.integers(0, MARGIN + 40))
            draw.rectangle([x, top, x + width, horizon], fill=shade(wall_word, 26))
            for y in range(top + 10, horizon - 14, 28):
                if rng.random() < 0.6:
                    draw.rectangle([x + 6, y, x + width - 6, y + 14], fill=shade(str(rng.choice(walls)), 26))
            x += width + int(rng.integers(0, 12))
    draw.rectangle([0, horizon, SCENE_WIDTH, CANVAS_HEIGHT], fill=shade(str(rng.choice(grounds))))
    if fixtures == "trees":
        for _ in range(int(rng.integers(8, 16))):
            x, r = anywhere(), int(rng.integers(12, 30))
            draw.rectangle([x - 3, horizon - 40, x + 3, horizon + 4], fill=shade("brown"))
            draw.ellipse([x - r, horizon - 50 - r, x + r, horizon - 45 + r // 2], fill=shade("green", 20))
    if fixtures == "tiles":
        for y in range(horizon + 6, CANVAS_HEIGHT, 10):
            draw.line([0, y, SCENE_WIDTH, y], fill=shade("grey"), width=1)
    if fixtures == "lamps":
        for _ in range(9):
            x, y = anywhere(), MARGIN + int(rng.integers(8, 50))
            draw.ellipse([x - 5, y - 5, x + 5, y + 5], fill=(235, 225, 160))
    for _ in range(int(rng.integers(2, 7))):  # patches on the ground: puddles, markings, light
        x, y, w = anywhere(), int(rng.integers(horizon + 4, CANVAS_HEIGHT)), int(rng.integers(12, 60))
        draw.ellipse([x, y, x + w, y + w // 5], fill=shade(str(rng.choice(grounds)), 30))
    for _ in range(int(rng.integers(8, 18))):  # things standing around: bins, posts, signs, boxes, shelves
        x, w, h = anywhere(), int(rng.integers(4, 26)), int(rng.integers(8, 60))
        base = int(rng.integers(horizon, min(horizon + 40, CANVAS_HEIGHT)))
        colour = shade(str(rng.choice(list(COLOURS))), 20)
        draw.rectangle([x, base - h, x + w, base], fill=colour)
        if rng.random() < 0.4:
            draw.rectangle([x, base - h, x + w, base - h + 5], fill=shade(str(rng.choice(list(COLOURS))), 20))
    image = image.filter(ImageFilter.GaussianBlur(1.2))
    texture = rng.normal(0, 4.0, (CANVAS_HEIGHT, SCENE_WIDTH, 1))
    return np.clip(np.asarray(image) + texture, 0, 255).astype(np.uint8), wall_word


def crop_scene(scene: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A random patch of a scene the size of the canvas, uint8 [CANVAS_HEIGHT, CANVAS_WIDTH, 3]."""
    left = int(rng.integers(0, SCENE_WIDTH - CANVAS_WIDTH))
    return scene[:, left : left + CANVAS_WIDTH]
