"""The clothes-changing domains: counts, outfits, cameras. Their places and nuisances are described as those of `world`.

CP stands for PRCC at a tenth of its pictures and with all its people, CL for LTCC with more queries (a tenth would be
49), CX for a third style, on which nothing is trained (VC-Clothes: four cameras, up to three outfits); settings are
chosen on CV, and no method is compared on it."""

from dataclasses import dataclass, field, replace

from ..world.scenes import KINDS
from ..world.specs import DomainSpec, Nuisance

MOST_OUTFITS = 10  # of a person


@dataclass(frozen=True)
class ClothesSpec(DomainSpec):
    """A `DomainSpec` whose people change clothes (no distractors, no junk).

    worn: how likely a person has 1, 2, ... outfits; train_outfits: how many every training person has instead, None to
    draw them. catalogue: outfits of the domain, of which training people wear all and test people the first
    `in_fashion`, so that strangers dress alike in test, where clothes must not tell people apart, and rarely in
    training, where they do. settings: cameras of one outfit and cameras of the next, in turns, as in PRCC; None for
    two to four cameras of its own for each outfit of each person."""

    worn: tuple[float, ...] = field(kw_only=True)
    train_outfits: int | None = field(default=None, kw_only=True)
    catalogue: int = field(default=1000, kw_only=True)
    in_fashion: int = field(default=200, kw_only=True)
    settings: tuple[tuple[int, ...], ...] | None = field(default=None, kw_only=True)

    def with_outfits(self, count: int | None) -> "ClothesSpec":
        """The same domain with `count` outfits of every training person, from as many training pictures; None for as
        many as it has. Test people and their pictures stay as they are. Raises ValueError for a count that cannot
        be."""
        least = 1 if self.settings is None else len(self.settings)
        if count is None:
            return self
        if isinstance(count, bool) or not isinstance(count, int) or not least <= count <= MOST_OUTFITS:
            raise ValueError(f"{count!r} outfits a person; {self.name} can have {least} to {MOST_OUTFITS}.")
        return replace(self, train_outfits=count)


#: Boxes and light of single pictures stray less than in the domains of `world`: who somebody is stands in the head and
#: in sizes here, not in prints and bags, and a box that cuts the head off leaves nothing to find.
_PICTURES = {
    "light_cast": 0.06, "light_exposure": 0.15, "shadow": 0.2, "occluder": 0.08, "passer_by": 0.15, "shift": 0.06,
    "scale": 0.1, "resolution": 0.7, "motion": 0.4,
}  # fmt: skip

CLOTHES_DOMAINS: dict[str, ClothesSpec] = {
    d.name: d
    for d in (
        ClothesSpec("CP", "PRCC", 31, ("plaza", "street", "indoor"), 3, 150, 71, 1790, 742, 338, 0, 0,
                    Nuisance(0.1, 0.12, 0.1, 0.1, 0.04, 0.15, 0.1, 2.0, **_PICTURES),
                    worn=(0, 1), train_outfits=2, in_fashion=80, settings=((1, 2), (3,))),
        ClothesSpec("CL", "LTCC", 32, ("indoor", "street", "plaza"), 12, 77, 75, 958, 300, 705, 0, 0,
                    Nuisance(0.1, 0.12, 0.1, 0.1, 0.04, 0.15, 0.1, 2.0, **_PICTURES),
                    worn=(0.15, 0.25, 0.25, 0.15, 0.1, 0.1), in_fashion=300),
        ClothesSpec("CX", "a third style (VC-Clothes)", 33, ("park", "indoor"), 4, 80, 80, 945, 300, 860, 0, 0,
                    Nuisance(0.13, 0.14, 0.12, 0.13, 0.06, 0.18, 0.15, 2.5, **_PICTURES | {"shadow": 0.3}, turn=0.6),
                    worn=(0.2, 0.4, 0.4)),
        ClothesSpec("CV", "validation", 35, KINDS, 6, 100, 70, 1200, 300, 600, 0, 0,
                    Nuisance(0.12, 0.14, 0.12, 0.12, 0.05, 0.18, 0.12, 2.0, **_PICTURES | {"motion": 0.6}),
                    worn=(0.1, 0.4, 0.3, 0.2)),
    )
}  # fmt: skip
