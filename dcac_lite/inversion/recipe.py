"""Sizes, steps and rates of the whole system, a set of values for each tier.

Of the published code come architecture, batches, learning rates, losses and sampling steps of the full tier. Its
numbers of epochs are all 0, so the steps are ours everywhere."""

from dataclasses import asdict, dataclass, replace


@dataclass(frozen=True)
class Recipe:
    """What the stages are made of and for how long.

    size: (height, width) of the pictures; depths, blocks: of all picture networks (see `unet.UNet`); dim: of an
    identity's vector. Of each stage: steps, pictures (or vectors) a step, learning rate; table_lr: that of the
    identities' vectors, each of which is seen in few steps. bank: pictures that Img2ID and Img2Noise learn from,
    drawn once (the code draws new ones for each step). decay: share of the last steps in which the learning rate falls
    to 0. precision: a value of `device.AUTOCAST`, or "fastest": bfloat16 where the machine computes it."""

    size: tuple[int, int] = (64, 32)
    depths: tuple[int, ...] = (48, 96, 192, 384)
    blocks: int = 2
    dim: int = 32
    generator_steps: int = 160_000
    generator_batch: int = 16
    generator_lr: float = 1e-4
    table_lr: float = 1e-4
    auxiliary_steps: int = 20_000
    auxiliary_batch: int = 256
    auxiliary_lr: float = 1e-4
    bank: int = 64_000
    img2id_steps: int = 50_000
    img2id_batch: int = 64
    img2id_lr: float = 4e-5
    img2noise_steps: int = 20_000
    img2noise_batch: int = 8
    img2noise_lr: float = 1e-4
    decay: float = 0.0
    picture_steps: int = 10
    vector_steps: int = 50
    precision: str = "no"

    def of(self, stage: str) -> dict:
        """The values that a stage depends on: its own, and those of no stage."""
        stages = ("generator", "table", "auxiliary", "bank", "img2id", "img2noise")
        own = (stage, "table") if stage == "generator" else (stage,)
        return {k: v for k, v in asdict(self).items() if k.startswith(own) or not k.startswith(stages)}


FULL = Recipe()

# A quarter of the paper's pixels and a ninth of its weights: at 64 x 32 as many minutes would show every training
# picture a few times only, and the table's vectors would hardly leave their start
LITE = Recipe(
    size=(32, 16), depths=(16, 32, 64, 128), generator_steps=1400, generator_batch=32, generator_lr=2e-3,
    table_lr=1e-2, auxiliary_steps=2000, auxiliary_batch=64, auxiliary_lr=1e-3, bank=3000, img2id_steps=600,
    img2id_batch=32, img2id_lr=1e-3, img2noise_steps=150, img2noise_lr=1e-3, decay=0.5, precision="fastest",
)  # fmt: skip

SMOKE = replace(
    LITE, depths=(4, 8, 8, 8), blocks=1, generator_steps=12, auxiliary_steps=12, bank=48, img2id_steps=6,
    img2noise_steps=2, img2noise_batch=4,
)  # fmt: skip

# the paper's size, to see that it goes through
REHEARSAL = replace(
    FULL, generator_steps=2, auxiliary_steps=2, bank=8, img2id_steps=2, img2id_batch=8, img2noise_steps=1,
    img2noise_batch=2,
)  # fmt: skip

RECIPES: dict[str, Recipe] = {"smoke": SMOKE, "lite": LITE, "full": FULL, "rehearsal": REHEARSAL}
