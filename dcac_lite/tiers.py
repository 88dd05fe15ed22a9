"""The three tiers, and a rehearsal of the last. A tier is a set of values (data, sizes, weights,
schedule), never a branch."""

import os
from dataclasses import dataclass

from .data.registry import paper_name
from .paths import LITE_WEIGHTS, runs_root

#: Below the runs folder: what `rehearsal.prepare` writes.
REHEARSAL_FOLDER = "rehearsal-material"


@dataclass(frozen=True)
class _Rehearsed(os.PathLike):
    """A folder of the rehearsal's material, in what is the runs folder when it is used."""

    name: str

    def __fspath__(self) -> str:
        return str(runs_root() / REHEARSAL_FOLDER / self.name)

    __str__ = __fspath__


@dataclass(frozen=True)
class Tier:
    """Everything that differs between a laptop and a GPU.

    image_size: (height, width) of the Re-ID branch; diffusion_size: side of the diffusion branch's
    square image. clip and stable_diffusion: where weights come from (see `pretrained.clip.load_clip`,
    `pretrained.stable_diffusion.load_stable_diffusion`). share: part of each embedded domain, None for real data.
    iterations: steps an epoch, None for one natural pass of the PK sampler; iterations_large: where `is_large` says
    so, None for as many. warmup and milestones: epochs. tau, gamma: Eq. 6 and 7. precision: None takes the recipe's,
    "fastest" is bf16 where the machine computes it and float32 elsewhere. lambda_ and tau_c: of every conditioning
    scheme, None for the paper's, Sec. 5.2. ema: which U-Net of Stable Diffusion (see
    `pretrained.stable_diffusion.load_stable_diffusion`). data: root of the real data sets, None for
    `paths.data_root()`.
    """

    name: str
    image_size: tuple[int, int]
    diffusion_size: int
    clip: str | os.PathLike
    stable_diffusion: str | os.PathLike
    share: float | None
    epochs: int
    iterations: int | None
    warmup: int
    milestones: tuple[int, ...]
    lr: float
    weight_decay: float
    identities: int
    instances: int
    padding: int
    erasing: float
    jitter: float
    tau: float
    gamma: float
    precision: str | None
    lambda_: float | None = None
    tau_c: float | None = None
    ema: bool = True
    data: os.PathLike | None = None
    iterations_large: int | None = None

    @property
    def batch(self) -> int:
        """Images of a training step: P identities with K images each."""
        return self.identities * self.instances


# Of the sixteen settings of six schemes none is told from no diffusion on the validation domain by four seeds
# (figures/results/scheme-tuning.csv). So V chose nothing: 10 is ten times the paper's, loud enough to be heard (the
# gradient ratio is 0.04), and all schemes take the same, as in the paper.
LITE = Tier(
    name="lite", image_size=(64, 32), diffusion_size=32,
    clip=str(LITE_WEIGHTS / "clip"), stable_diffusion=str(LITE_WEIGHTS / "stable-diffusion"), share=1.0,
    epochs=12, iterations=50, warmup=2, milestones=(9, 11), lr=7e-4, weight_decay=1e-4,
    identities=16, instances=4, padding=0, erasing=0.0, jitter=1.0, tau=0.1, gamma=0.2, precision="fastest",
    lambda_=10.0, tau_c=0.3, iterations_large=75,
)  # fmt: skip

SMOKE = Tier(
    **LITE.__dict__
    | {"name": "smoke", "share": 0.1, "epochs": 2, "iterations": 4, "iterations_large": 4, "milestones": (2,)}
)

FULL = Tier(
    name="full", image_size=(256, 128), diffusion_size=128,
    clip="ViT-B-16-quickgelu:openai", stable_diffusion="stable-diffusion-v1-5/stable-diffusion-v1-5", share=None,
    epochs=60, iterations=None, warmup=10, milestones=(30, 50), lr=5e-6, weight_decay=1e-4,
    identities=16, instances=4, padding=10, erasing=0.5, jitter=0.0, tau=0.01, gamma=0.2, precision=None, ema=False,
)  # fmt: skip

REHEARSAL = Tier(
    **FULL.__dict__
    | {
        "name": "rehearsal",
        "precision": "fastest",  # on a CPU without bfloat16 that would take minutes a step
        "epochs": 2,
        "iterations": 2,
        "warmup": 1,
        "milestones": (2,),
        "data": _Rehearsed("data"),
        "clip": _Rehearsed("clip"),
        "stable_diffusion": _Rehearsed("stable-diffusion"),
    }
)

TIERS: dict[str, Tier] = {"smoke": SMOKE, "lite": LITE, "full": FULL, "rehearsal": REHEARSAL}


def paper_tau_c(sources: tuple[str, ...]) -> float:
    """tau_c of Sec. 5.2: it grows with the training set."""
    smaller: dict[tuple[str, ...], float] = {("C3",): 0.1, ("MA",): 0.6, ("D",): 0.6}
    return smaller.get(tuple(map(paper_name, sources)), 1.0)


def is_large(sources: tuple[str, ...]) -> bool:
    """Whether MSMT17 or several sources are trained on: what needs a higher rank (Sec. 5.2) and more steps."""
    return len(sources) != 1 or paper_name(sources[0]) == "MS"


def paper_rank(sources: tuple[str, ...]) -> int:
    """LoRA rank of Sec. 5.2: 8, or 32 when MSMT17 or several sources are trained on."""
    return 32 if is_large(sources) else 8
