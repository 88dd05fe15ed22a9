"""The figure: a person in a pose as a map of part labels.

The body is an elliptic cylinder that turns about its axis: whatever is attached to it at an azimuth (a print on
the chest, a bag on the hip) moves, narrows and disappears as the person turns. Arms and legs hang from it and
swing along the direction the person faces, so that a stride is wide from the side and nearly unseen from the front.
"""

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from .appearance import Appearance

HEIGHT, WIDTH = 64, 32  # pixels of a finished picture
BOX_HEIGHT, BOX_WIDTH = 2 * HEIGHT, 2 * WIDTH  # canvas pixels of a well-placed box
MARGIN = 24  # canvas pixels around that box, which misplaced boxes reach into
CANVAS_HEIGHT, CANVAS_WIDTH = BOX_HEIGHT + 2 * MARGIN, BOX_WIDTH + 2 * MARGIN

VIEWS = ("front", "back", "side")
ARMS = ("hanging", "bent", "pocket")

# Part labels. Everything from SKIN on is body; CLOTHING lists what a person can take off.
(BACKGROUND, SKIN, HAIR, TOP, TOP_SHADE, TOP_DETAIL, SLEEVE, BOTTOM, BOTTOM_SHADE, SIDE_STRIPE,
 SHOES, HAT, BAG, BELT, SCARF, CHEST, BACK) = range(17)  # fmt: skip
LABELS = 17
CLOTHING = tuple(range(TOP, LABELS))
#: Labels of a garment with what is printed on it or sewn to it.
UPPER, LOWER = (TOP, TOP_SHADE, TOP_DETAIL, SLEEVE, CHEST, BACK), (BOTTOM, BOTTOM_SHADE, SIDE_STRIPE)


@dataclass(frozen=True)
class Pose:
    """How a person stands. yaw: radians the person is turned from facing the camera (0 front, pi back, pi/2 looking
    to the picture's right). phase: of the walking cycle, radians; stride: its length, 0 (standing) to about 1.2. lean:
    canvas pixels that the head is ahead of the feet. arms: one of ARMS."""

    yaw: float = 0.0
    phase: float = 0.0
    stride: float = 0.0
    lean: float = 0.0
    arms: str = "hanging"

    @property
    def view(self) -> str:
        """The word of VIEWS nearest to the yaw."""
        facing = np.cos(self.yaw)
        return "front" if facing > 0.6 else "back" if facing < -0.6 else "side"


class _Figure:
    """The drawing of one person: body coordinates (x from the axis, y from the top of a well-placed box, in canvas
    pixels for a person of average size) on a canvas of labels."""

    def __init__(self, person: Appearance, pose: Pose):
        self.person, self.pose = person, pose
        self.canvas = Image.new("L", (CANVAS_WIDTH, CANVAS_HEIGHT), BACKGROUND)
        self.pen = ImageDraw.Draw(self.canvas)
        self.sin, self.cos = float(np.sin(pose.yaw)), float(np.cos(pose.yaw))
        self.swing = pose.stride * float(np.sin(pose.phase))

    def at(self, x: float, y: float) -> tuple[float, float]:
        rise = (121 - y) * self.person.height
        return CANVAS_WIDTH / 2 + x * self.person.build + self.pose.lean * rise / 121 * self.sin, MARGIN + 121 - rise

    def limb(self, label: int, points: list[tuple[float, float]], width: float) -> None:
        self.pen.line(
            [self.at(*p) for p in points], fill=label, width=max(2, round(width * self.person.build)), joint="curve"
        )

    def blob(self, label: int, x: float, y: float, rx: float, ry: float) -> None:
        cx, cy = self.at(x, y)
        self.pen.ellipse([cx - rx, cy - ry, cx + rx, cy + ry], fill=label)

    def area(self, label: int, points: list[tuple[float, float]]) -> None:
        self.pen.polygon([self.at(*p) for p in points], fill=label)

    def around(self, azimuth: float, wide: float = 12.0, deep: float = 7.0) -> tuple[float, float]:
        """Where a point of the cylinder at an azimuth (0 chest, pi back, pi/2 the person's left) is seen: x, and depth
        towards the camera."""
        x, z = wide * np.sin(azimuth), deep * np.cos(azimuth)
        return float(x * self.cos + z * self.sin), float(z * self.cos - x * self.sin)

    def half(self, wide: float, deep: float) -> float:
        """Half the width of a turned ellipse."""
        return float(np.hypot(wide * self.cos, deep * self.sin))

    def patch(self, label: int, azimuth: float, spread: float, top: float, bottom: float, wide: float = 12.0) -> None:
        """A print: a piece of the cylinder's surface, drawn where it faces the camera."""
        if self.around(azimuth)[1] <= 0.8:
            return
        edges = [self.around(azimuth + s * spread, wide, 7.0 * wide / 12.0)[0] for s in (-1, 1)]
        self.area(label, [(edges[0], top), (edges[1], top), (edges[1], bottom), (edges[0], bottom)])

    def torso(self, label: int, top: float, bottom: float, wide: float, flare: float = 0.0) -> None:
        a, b = self.half(wide, 0.6 * wide), self.half(wide + flare, 0.6 * (wide + flare))
        self.area(label, [(-a, top), (a, top), (b, bottom), (-b, bottom)])

    def leg(self, side: int) -> None:
        person = self.person
        hip, depth = self.around(side * np.pi / 2, 4.5, 4.0)
        forward = 13 * self.swing * side  # along the direction that the person faces
        knee, ankle = hip + 0.6 * forward * self.sin, hip + forward * self.sin
        lift = max(0.0, 5 * self.swing * side) + 2.5 * abs(forward / 13) * abs(self.cos)
        cloth = BOTTOM if depth >= 0 else BOTTOM_SHADE
        kind = "skirt" if person.top.kind == "dress" else person.bottom.kind
        self.limb(cloth if kind == "trousers" else SKIN, [(knee, 93), (ankle, 115 - lift)], 6.5)
        self.limb(SKIN if kind == "skirt" else cloth, [(hip, 70), (knee, 94)], 8.5)
        if person.side_stripe is not None and kind == "trousers":
            outside = side * 3.2 * self.cos
            if abs(self.cos) > 0.35 or depth >= 0:
                self.limb(SIDE_STRIPE, [(hip + outside, 72), (knee + outside, 94), (ankle + outside, 113 - lift)], 2)
        toe = 5 * self.sin
        self.area(SHOES, [(ankle - 4, 114 - lift), (ankle + 4, 114 - lift),
                          (ankle + 4 + max(toe, 0), 120 - lift), (ankle - 4 + min(toe, 0), 120 - lift)])  # fmt: skip

    def arm(self, side: int) -> None:
        person = self.person
        shoulder, depth = self.around(side * np.pi / 2, 12.0, 0.0)
        out = 2.5 * side * self.cos
        if self.pose.arms == "bent":
            elbow, hand = (shoulder + out - 2 * self.sin, 50), (0.4 * shoulder + 10 * self.sin, 45)
        elif self.pose.arms == "pocket":
            elbow, hand = (shoulder + 1.6 * out - 3 * self.sin, 50), (0.8 * shoulder, 65)
        else:
            swung = -11 * self.swing * side * self.sin
            elbow, hand = (shoulder + out + 0.6 * swung, 50), (shoulder + 0.8 * out + swung, 65)
        shade = TOP if depth > 2 else TOP_SHADE
        cloth = SLEEVE if person.sleeves is not None else shade
        self.limb(SKIN, [elbow, hand], 4.5)
        self.limb(cloth, [(shoulder, 34), elbow], 6.5)
        if person.top.kind in ("shirt", "jacket", "coat"):
            self.limb(cloth, [elbow, (0.8 * hand[0] + 0.2 * elbow[0], 0.8 * hand[1] + 0.2 * elbow[1])], 5.5)
        if person.bag is not None and person.bag.kind == "handbag" and side == person.bag_side:
            x, y = hand
            self.area(BAG, [(x - 5, y), (x + 5, y), (x + 6, y + 11), (x - 6, y + 11)])

    def clothes(self) -> None:
        """Torso, what hangs below it, and the prints."""
        person = self.person
        skirt = person.bottom.kind == "skirt" and person.top.kind != "dress"
        self.torso(BOTTOM, 64, 90 if skirt else 74, 10, 4 if skirt else -0.5)
        self.blob(SKIN, 0, 28, 3.5, 5)
        a, b = self.half(9, 6), self.half(12, 7)
        self.area(TOP, [(-a, 29), (a, 29), (b, 33), (0.86 * b, 67), (-0.86 * b, 67), (-b, 33)])
        if person.top.kind in ("coat", "dress"):
            self.torso(TOP, 62, 93, 10.5, 4 if person.top.kind == "dress" else 1.5)
        if person.top.kind in ("jacket", "coat"):
            self.patch(TOP_DETAIL, 0, 0.24, 29, 66 if person.top.kind == "jacket" else 92, 11)
        for label, azimuth, printed in ((CHEST, 0.0, person.chest), (BACK, np.pi, person.back)):
            if printed is not None:
                spread, top, bottom = {"square": (0.42, 37, 47), "bar": (0.9, 38, 43), "stripe": (0.2, 33, 62)}[
                    printed.kind
                ]
                self.patch(label, azimuth, spread, top, bottom)
        if person.belt is not None and person.top.kind not in ("coat", "dress"):
            self.torso(BELT, 65, 69, 10.4)

    def bag(self, near: bool) -> None:
        """A backpack or shoulder bag, drawn before the torso when it is behind it (`near` False), else after."""
        bag = self.person.bag
        if bag is None or bag.kind == "handbag":
            return
        if bag.kind == "backpack":
            x, depth = self.around(np.pi, 0.0, 11.0)
            half = self.half(10, 5.5)
            if near == (depth > 0):
                self.area(BAG, [(x - 0.9 * half, 33), (x + 0.9 * half, 33), (x + half, 58), (x - half, 58)])
            if near:
                for side in (-1, 1):
                    self.patch(BAG, 0.62 * side, 0.12, 30, 52)
            return
        x, depth = self.around(self.person.bag_side * np.pi / 2, 13.0, 0.0)
        if near == (depth > -4):
            shoulder = self.around(-self.person.bag_side * np.pi / 2, 8.0, 0.0)[0]
            self.limb(BAG, [(shoulder, 30), (x, 58)], 2.4)
            half = self.half(4, 6)
            self.area(BAG, [(x - half, 56), (x + half, 56), (x + half, 70), (x - half, 70)])

    def head(self) -> None:
        person = self.person
        style = person.hair.kind
        behind = -self.sin
        if style == "long":
            half = self.half(7.5, 5)
            self.area(
                HAIR,
                [(4 * behind - half, 14), (4 * behind + half, 14), (4 * behind + half, 33), (4 * behind - half, 33)],
            )
        self.blob(SKIN, 0, 18, 6.6, 8.2)
        if person.scarf is not None:
            self.torso(SCARF, 26, 31, 6.5)
            self.patch(SCARF, 0.35, 0.2, 30, 46, 11)
        if style != "bald":
            if self.cos < -0.4:
                self.blob(HAIR, 0, 17, 7.2, 7.6 if style == "short" else 8.6)
            else:
                self.blob(HAIR, 1.5 * behind, 12.5, 7.2, 4.8)
                if abs(self.sin) > 0.5:
                    self.blob(HAIR, 4 * behind, 17, 4, 6.5)
            if style == "bun":
                self.blob(HAIR, 4 * behind, 8, 3.6, 3.2)
        if person.hat is not None:
            self.blob(HAT, 0, 11, 7.6, 4.6)
            brim = 5 * self.sin
            self.area(
                HAT, [(-8 + min(brim, 0), 11), (8 + max(brim, 0), 11), (8 + max(brim, 0), 14), (-8 + min(brim, 0), 14)]
            )


def draw_labels(person: Appearance, pose: Pose) -> np.ndarray:
    """The part-label map of a person, uint8 [CANVAS_HEIGHT, CANVAS_WIDTH], drawn from far to near."""
    figure = _Figure(person, pose)
    far = 1 if figure.sin > 0 else -1  # the person's left is away from a camera that sees them look to the right
    figure.bag(near=False)
    figure.arm(far)
    figure.leg(far)
    figure.leg(-far)
    figure.clothes()
    if abs(figure.sin) < 0.5 and figure.cos < 0 and person.bag is not None and person.bag.kind == "backpack":
        figure.arm(-far)
        figure.bag(near=True)
    else:
        figure.bag(near=True)
        figure.arm(-far)
    figure.head()
    return np.asarray(figure.canvas)
