"""The recipe of the lite inpainting model, a set of values for each tier, and the people that it sees."""

from dataclasses import asdict, dataclass, replace

from ...world.scenes import KINDS
from ..specs import CLOTHES_DOMAINS, ClothesSpec

#: Who the inpainting model learns from: a domain with a seed, and so with people, outfits, places and cameras, of its
#: own. Nobody of CP, CL, CX and CV is in it. How far pictures stray is as in CV.
PEOPLE = ClothesSpec(
    "CW", "what the inpainting model learns from", 36, KINDS, 24, 4000, 0, 8000, 0, 0, 0, 0,
    CLOTHES_DOMAINS["CV"].nuisance, worn=(0, 1), train_outfits=2, catalogue=2000,
)  # fmt: skip


@dataclass(frozen=True)
class Recipe:
    """What the model is trained on and for how long.

    people: of `PEOPLE`, two pictures each, in two outfits. steps, batch, lr, warm_up: of `lite_weights.fitting.fit`.
    empty: share of the prompts that are left empty, for classifier-free guidance; silent: probability of each part of
    the others to be left out, as descriptions have gaps. true_masks: share of the steps' masks that are the true
    clothing, the others being boxes and mixtures (`material.other_mask`)."""

    people: int = 4000
    steps: int = 3500
    batch: int = 32
    lr: float = 1.2e-3
    warm_up: int = 150
    empty: float = 0.1
    silent: float = 0.1
    true_masks: float = 0.6
    seed: int = 0

    @property
    def spec(self) -> ClothesSpec:
        """The pictures: the first `people` of `PEOPLE`."""
        return replace(PEOPLE, train_ids=self.people, train=2 * self.people)

    def values(self) -> dict[str, int | float]:
        """The recipe as names and numbers."""
        return asdict(self)


LITE = Recipe()
SMOKE = Recipe(people=24, steps=4, batch=8, warm_up=2)
RECIPES = {"smoke": SMOKE, "lite": LITE}
