"""How real data sets are painted and trained on: a set of values for the full tier, and for its rehearsal.

Nothing here has been chosen by a run on real data. Sizes, steps and scale of the painting, epochs, batches and when the
clothes losses begin are DLCR's; the encoder, the size of its pictures, learning rate, weight decay and augmentation are
those of DCAC's full tier, in place of CAL's ResNet-50 at 384 x 192."""

from dataclasses import replace

from ...tiers import TIERS
from ..inpainting.painter import FULL, Settings
from ..recipe import CAL_EPOCHS, Recipe

#: How training pictures and queries are painted, by tier.
PAINTING: dict[str, dict[str, Settings]] = {
    "full": FULL,
    "rehearsal": {kind: Settings((192, 64), 2, each.guidance) for kind, each in FULL.items()},
}


def recipe_of(tier: str, pictures: int) -> Recipe:
    """How a data set with so many training pictures is trained on; an epoch goes once through them. `dim` says nothing
    here: a feature is as long as CLIP's."""
    values = TIERS["full"]
    recipe = Recipe(
        epochs=CAL_EPOCHS, iterations=1, lr=values.lr, weight_decay=values.weight_decay, identities=4, instances=8
    )
    if tier == "rehearsal":
        return replace(recipe, epochs=1, iterations=2, identities=2, instances=2)
    return replace(recipe, iterations=max(1, pictures // (recipe.identities * recipe.instances)))
