"""An experiment is a frozen value: what a training run is told. `runs.run` makes a run of it."""

import os
import sys
from dataclasses import asdict, dataclass
from numbers import Integral, Real
from typing import Any

from .adaptation import MODES
from .conditioning import SCHEMES
from .data.registry import domain_name, paper_name
from .device import AUTOCAST, bfloat16_is_fast
from .recipes import RECIPES, Recipe
from .teaching.arm import Arm
from .teaching.names import ARMS, find
from .tiers import TIERS, Tier, is_large, paper_rank, paper_tau_c


@dataclass(frozen=True)
class Experiment:
    """One training run. Fields left at None take the tier's value for this scheme and source.

    sources: domains to train on, a name or path or several. conditioning: "none" for the baseline, one of
    `conditioning.SCHEMES`, or an arm of `teaching.names.ARMS`. adaptation: one of `adaptation.MODES`. rank: LoRA
    rank r. lambda_ and tau_c: Eq. 13 and 12. lr: base learning rate. tau, gamma: Eq. 6 and 7. precision: no,
    bf16 or fp16. recipe: one of `recipes.RECIPES`, for where text and official code differ. accumulation: parts that
    a batch is worked through in, for small cards; each part then has batch statistics of its own.

    warmup: epochs of the learning rate's ramp. milestones: epochs, counted from 1, from which on the rate is a
    tenth of what it was. Left at None, both are the tier's and move with `epochs`. iterations: steps an epoch;
    None in the full tier is one natural pass of the PK sampler. identities, instances: P and K of a batch.
    padding (pixels), erasing (probability) and jitter (strength): see `augment.augment`.

    Numbers may be NumPy's; they become Python's. Raises ValueError naming a field that is of no use.
    """

    tier: str = "lite"
    sources: tuple[str, ...] = ("MA",)
    conditioning: str = "correlation-aware"
    adaptation: str = "lora"
    rank: int | None = None
    lambda_: float | None = None
    tau_c: float | None = None
    seed: int = 0
    epochs: int | None = None
    lr: float | None = None
    tau: float | None = None
    precision: str | None = None
    recipe: str = "default"
    accumulation: int = 1
    warmup: int | None = None
    milestones: tuple[int, ...] | None = None
    iterations: int | None = None
    identities: int | None = None
    instances: int | None = None
    weight_decay: float | None = None
    padding: int | None = None
    erasing: float | None = None
    jitter: float | None = None
    gamma: float | None = None

    def __post_init__(self) -> None:
        sources = (self.sources,) if isinstance(self.sources, (str, os.PathLike)) else self.sources
        if not isinstance(sources, (tuple, list)):  # a set has no order, on which the labels depend
            raise ValueError(f"sources is {sources!r}; expected a domain, or a tuple or list such as ('MA', 'D').")
        values: dict = {"sources": tuple(domain_name("source", name) for name in sources)}
        if not sources:
            raise ValueError("sources is empty; name at least one domain to train on.")
        if len(set(map(paper_name, values["sources"]))) < len(sources):
            raise ValueError(f"sources {values['sources']} names a domain twice.")
        # looked up now, since a reader may have added a scheme
        known = {"tier": TIERS, "conditioning": ("none", *SCHEMES, *ARMS), "adaptation": MODES, "recipe": RECIPES}
        for name, choices in known.items():
            values[name] = _one_of(name, getattr(self, name), choices)
        if self.precision is not None:
            values["precision"] = _one_of("precision", self.precision, AUTOCAST)
        for name, (kind, least, most) in _NUMBERS.items():
            if (value := getattr(self, name)) is not None or name in ("seed", "accumulation"):
                values[name] = _number(name, value, kind, least, most)
        if self.milestones is not None:
            values["milestones"] = _milestones(self.milestones)
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def resolved(self) -> "Resolved":
        """The same experiment with every None replaced, and what cannot matter set to one value:
        a baseline has no adaptation, rank, lambda or tau_c, an arm without a diffusion model nothing but a lambda."""
        tier = self.of_tier
        values = {name: getattr(tier, name) for name in _OF_THE_TIER}
        values["precision"] = tier.precision or self.of_recipe.precision
        if is_large(self.sources):
            values["iterations"] = tier.iterations_large or tier.iterations
        if values["precision"] == "fastest":
            values["precision"] = "bf16" if bfloat16_is_fast() else "no"
        epochs = self.epochs or tier.epochs
        values["warmup"] = _in_proportion(tier.warmup, epochs, tier.epochs)
        # two that fall into one epoch count once, and the first epoch never decays
        milestones = [max(2, _in_proportion(m, epochs, tier.epochs)) for m in tier.milestones]
        values["milestones"] = tuple(dict.fromkeys(milestones))
        values = {name: value if getattr(self, name) is None else getattr(self, name) for name, value in values.items()}
        if self.conditioning == "none":
            values |= {"adaptation": "frozen", "rank": 1, "lambda_": 0.0, "tau_c": 1.0}
            return Resolved(**asdict(self) | values)
        of_arm = None if self.of_arm is None else self.of_arm.lambda_
        values["lambda_"] = next(v for v in (self.lambda_, of_arm, tier.lambda_, 1.0) if v is not None)
        if not self.has_diffusion:
            values |= {"adaptation": "frozen", "rank": 1, "tau_c": 1.0}
            return Resolved(**asdict(self) | values)
        values["tau_c"] = self.tau_c or tier.tau_c or paper_tau_c(self.sources)
        rank = self.rank or (paper_rank(self.sources) if tier.share is None else 8)
        values["rank"] = rank if self.adaptation == "lora" else 1
        return Resolved(**asdict(self) | values)

    @property
    def of_arm(self) -> Arm | None:
        """The arm that the conditioning names, None for the baseline and the paper's schemes."""
        return find(self.conditioning)

    @property
    def has_diffusion(self) -> bool:
        """Whether a diffusion model takes part: not in the baseline, nor in an arm that has none."""
        return self.conditioning != "none" and (self.of_arm is None or self.of_arm.diffusion)

    @property
    def of_tier(self) -> Tier:
        """What the tier alone decides: sizes, weights and where the data is."""
        return TIERS[self.tier]

    @property
    def of_recipe(self) -> Recipe:
        """What the recipe decides where text and official code differ."""
        return RECIPES[self.recipe]

    @property
    def test_resize(self) -> str:
        """The filter that brings test images to size; the official code takes another one where it was
        trained on one data set."""
        return self.of_recipe.test_resize if len(self.sources) == 1 else "bicubic"

    @property
    def label(self) -> str:
        """A short name for plots and progress bars."""
        scheme = "baseline" if self.conditioning == "none" else f"{self.conditioning}, {self.adaptation}"
        return f"{'+'.join(self.sources)} {scheme} seed {self.seed}"


class Resolved(Experiment):
    """An experiment that leaves nothing to its tier, of `Experiment.resolved`: what training reads."""

    rank: int
    lambda_: float
    tau_c: float
    epochs: int
    lr: float
    tau: float
    precision: str
    warmup: int
    milestones: tuple[int, ...]
    identities: int
    instances: int
    weight_decay: float
    padding: int
    erasing: float
    jitter: float
    gamma: float

    @property
    def batch(self) -> int:
        """Images of a training step: P identities with K images each."""
        return self.identities * self.instances


_LARGEST = sys.float_info.max
#: kind, least and largest value of every number. seed: what every generator that it goes to can take.
_NUMBERS: dict[str, tuple[type, float, float]] = {
    "rank": (int, 1, _LARGEST), "lambda_": (float, 0, _LARGEST), "tau_c": (float, 1e-6, _LARGEST),
    "seed": (int, 0, 2**32 - 1), "accumulation": (int, 1, _LARGEST), "epochs": (int, 1, _LARGEST),
    "lr": (float, 0, _LARGEST), "weight_decay": (float, 0, _LARGEST), "warmup": (int, 0, _LARGEST),
    "tau": (float, 1e-6, _LARGEST), "gamma": (float, 0, 1), "iterations": (int, 1, _LARGEST),
    "identities": (int, 2, _LARGEST), "instances": (int, 1, _LARGEST),
    "padding": (int, 0, _LARGEST), "erasing": (float, 0, 1), "jitter": (float, 0, 2),
}  # fmt: skip
_OF_THE_TIER = (
    "epochs", "lr", "tau", "gamma", "iterations", "identities", "instances", "weight_decay", "padding", "erasing",
    "jitter",
)  # fmt: skip


def _one_of(what: str, value, choices) -> str:
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"{what} is {value!r}; expected one of {', '.join(map(str, choices))}.")
    return str(value)


def _is(kind: type, value: Any) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)


def _number(name: str, value: Any, kind: type, least: float, most: float):
    right = _is(Integral if kind is int else Real, value)
    # Python's own numbers compare without overflow, NumPy's small ones do not
    if not right or not least <= (int(value) if _is(Integral, value) else float(value)) <= most:
        limit = f"at least {least:g}" if most == _LARGEST else f"{least:g} to {most:.10g}"
        raise ValueError(f"{name} is {value!r}; expected a {'whole ' * (kind is int)}number of {limit}.")
    return int(value) if kind is int else float(value)


def _milestones(value) -> tuple[int, ...]:
    epochs: list[Any] = list(value) if isinstance(value, (tuple, list)) else [None]
    right = all(_is(Integral, m) and m > 0 for m in epochs)
    if not right or any(a >= b for a, b in zip(epochs, epochs[1:])):
        raise ValueError(f"milestones is {value!r}; expected rising epochs such as (30, 50), or () for no decay.")
    return tuple(int(m) for m in value)


def _in_proportion(epoch: int, epochs: int, planned: int) -> int:
    """An epoch of a schedule planned for `planned` epochs in one of `epochs`, rounded half up."""
    return (2 * epoch * epochs + planned) // (2 * planned)
