"""What the domains are: counts, places, cameras, and how far their pictures stray from clean photographs.

The four Re-ID domains stand for the paper's data sets (Table 1) at one tenth of the images and one
fifth of the identities (one tenth of MSMT17's many test identities): MA (Market1501, 6 cameras),
D (DukeMTMC-reID, 8), MS (MSMT17, 15) and C3 (CUHK03-NP, 2). A fifth, V, serves to choose settings
and nothing else. The captioned web is for pre-training.
"""

from dataclasses import dataclass, replace

from .scenes import KINDS


@dataclass(frozen=True)
class Nuisance:
    """How far pictures stray from a clean photograph.

    The first eight are SDs over the *cameras* of a domain (blur and veil: scale of a half-normal; noise: grey levels,
    the same for all). The rest vary from *picture* to picture: SD of the light's colour and of its exposure,
    probability of a shadow, of an occluder and of a passer-by, SD of the box's shift (share of its sides) and of its
    log-size, least resolution (uniform up to 1), motion blur (scale of a half-normal, pixels), SD of the yaw about
    the camera's heading."""

    cast: float
    exposure: float
    gamma: float
    contrast: float
    veil: float
    light: float
    blur: float
    noise: float
    light_cast: float = 0.1
    light_exposure: float = 0.22
    shadow: float = 0.3
    occluder: float = 0.15
    passer_by: float = 0.2
    shift: float = 0.12
    scale: float = 0.15
    resolution: float = 0.6
    motion: float = 0.5
    turn: float = 0.4


@dataclass(frozen=True)
class DomainSpec:
    """A Re-ID domain: its role in the paper, its places, its cameras, its counts and its nuisances.

    `train`, `query`, `gallery` are image counts (gallery includes distractors, person id 0, and
    leaves out junk, person id -1, as the Market-1501 counts of Table 1 do). tops, bottoms: garments in the
    domain's catalogue."""

    name: str
    role: str
    seed: int
    scenes: tuple[str, ...]
    cameras: int
    train_ids: int
    test_ids: int
    train: int
    query: int
    gallery: int
    distractors: int
    junk: int
    nuisance: Nuisance
    tops: int = 50
    bottoms: int = 25

    def slice(self, share: float) -> "DomainSpec":
        """The same domain with a share of its identities and pictures (the smoke tier's slice)."""
        few = {n: max(24, round(getattr(self, n) * share)) for n in ("train_ids", "test_ids")}
        counts = {n: round(getattr(self, n) * share) for n in ("distractors", "junk")}
        # every identity keeps at least four pictures, every test identity a query
        counts["train"] = max(8 * few["train_ids"], round(self.train * share))
        counts["query"] = max(few["test_ids"], round(self.query * share))
        counts["gallery"] = max(6 * few["test_ids"], round(self.gallery * share)) + counts["distractors"]
        return replace(self, **few, **counts)

    def redrawn(self, world: int) -> "DomainSpec":
        """The same domain in another world: other people, places and cameras by the same rules. World 0 is this one."""
        return replace(self, seed=self.seed + 1000 * world)


#: Per domain the SDs over its cameras: cast, exposure, gamma, contrast, veil, light, blur, noise. What a camera does to
#: every picture alike is what an unseen domain changes.
DOMAINS: dict[str, DomainSpec] = {
    d.name: d
    for d in (
        DomainSpec("MA", "Market1501", 11, ("street", "plaza"), 6, 150, 150, 1294, 337, 1591, 279, 382,
                   Nuisance(0.12, 0.16, 0.12, 0.12, 0.06, 0.22, 0.15, 2.0)),
        DomainSpec("D", "DukeMTMC-reID", 12, ("park", "street"), 8, 140, 140, 1652, 223, 1766, 180, 0,
                   Nuisance(0.13, 0.17, 0.13, 0.13, 0.06, 0.22, 0.15, 2.0, occluder=0.3, passer_by=0.4, scale=0.18,
                            resolution=0.5),
                   tops=40, bottoms=20),
        DomainSpec("MS", "MSMT17", 13, KINDS, 15, 208, 320, 3262, 1166, 8216, 0, 0,
                   Nuisance(0.13, 0.16, 0.13, 0.13, 0.06, 0.22, 0.15, 2.0, light_exposure=0.25, shadow=0.35),
                   tops=100, bottoms=50),
        DomainSpec("C3", "CUHK03-NP", 14, ("indoor",), 2, 153, 140, 736, 140, 533, 0, 0,
                   Nuisance(0.16, 0.16, 0.13, 0.13, 0.06, 0.22, 0.15, 2.0, light_exposure=0.28, resolution=0.45,
                            turn=0.6),
                   tops=40, bottoms=20),
        DomainSpec("V", "validation", 15, ("plaza", "park", "indoor"), 6, 150, 120, 1300, 280, 1200, 150, 60,
                   Nuisance(0.14, 0.18, 0.14, 0.14, 0.06, 0.22, 0.15, 2.0, shadow=0.4, scale=0.18, motion=0.7)),
    )
}  # fmt: skip

WEB_SEED, WEB_SCENES = 10, 600
#: The web is broader than any Re-ID domain: more places, stronger casts, every heading.
WEB_NUISANCE = Nuisance(
    0.08, 0.12, 0.08, 0.08, 0.03, 0.12, 0.15, 2.0, light_cast=0.06, light_exposure=0.14, shadow=0.15, occluder=0.08,
    passer_by=0.15, shift=0.06, scale=0.1, resolution=0.8, motion=0.2, turn=1.0,
)  # fmt: skip
