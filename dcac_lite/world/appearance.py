"""What makes a person: garments, things carried, hair, build. Nothing here depends on a picture."""

from dataclasses import dataclass

#: Colour words and their sRGB values, 0..255. Captions use these words.
COLOURS: dict[str, tuple[int, int, int]] = {
    "black": (28, 28, 32), "white": (235, 235, 232), "grey": (128, 130, 134), "red": (196, 36, 40),
    "orange": (235, 126, 34), "yellow": (236, 208, 56), "green": (44, 134, 62), "cyan": (60, 186, 200),
    "blue": (42, 82, 196), "purple": (118, 56, 160), "pink": (238, 138, 176), "brown": (112, 72, 42),
    "beige": (208, 186, 146),
}  # fmt: skip
TOPS = ("t-shirt", "shirt", "jacket", "coat", "dress")
BOTTOMS = ("trousers", "shorts", "skirt")
PATTERNS = ("plain", "striped", "vertical", "checked", "dotted", "two-tone")
BAGS = ("none", "backpack", "shoulder bag", "handbag")
HAIR_STYLES = ("short", "long", "bun", "bald")
#: Colour words of hair, as in COLOURS, and the sRGB values that hair has.
HAIR_COLOURS: dict[str, tuple[int, int, int]] = {
    "black": (30, 24, 22), "brown": (78, 50, 30), "yellow": (176, 132, 70), "grey": (146, 146, 148),
}  # fmt: skip
LOGOS = ("square", "bar", "stripe")  # what can be printed on a chest or a back

Rgb = tuple[float, float, float]


@dataclass(frozen=True)
class Garment:
    """One piece of clothing: `kind` (a word of TOPS or BOTTOMS), colour word and exact RGB of its main and
    second colour, `pattern` (a word of PATTERNS) and its period in canvas pixels (two to a finished one)."""

    kind: str
    colour: str
    rgb: Rgb
    second_colour: str
    second_rgb: Rgb
    pattern: str
    period: int


@dataclass(frozen=True)
class Piece:
    """A small thing of one colour: shoes, hat, bag, belt, scarf, a print. `kind` says which where there are several."""

    colour: str
    rgb: Rgb
    kind: str = ""


@dataclass(frozen=True)
class Appearance:
    """All that makes an identity: what the camera, the pose and the place do not change.

    Large parts (`top`, `bottom`) are shared by many people of a domain. What tells look-alikes apart is small,
    and most of it is seen from some sides only: `chest` and `back` are prints of their own, `side_stripe` runs
    down the outside of both legs, `bag` hangs on the side `bag_side` (+1 the person's left, -1 the right). What a
    person has not is None. `build` and `height` are relative sizes of the body."""

    top: Garment
    bottom: Garment
    shoes: Piece
    hair: Piece
    hat: Piece | None
    bag: Piece | None
    bag_side: int
    belt: Piece | None
    scarf: Piece | None
    sleeves: Piece | None
    chest: Piece | None
    back: Piece | None
    side_stripe: Piece | None
    skin_rgb: Rgb
    build: float
    height: float
