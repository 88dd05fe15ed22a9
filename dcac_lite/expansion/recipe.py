"""For how long stage 2 trains and how: a set of values for each tier, chosen on the validation domain CV."""

from dataclasses import dataclass, replace

from .adversary import START
from .progressive import EVERY

CAL_EPOCHS = 60  # of CAL and DLCR, among which START and EVERY stand


@dataclass(frozen=True)
class Recipe:
    """epochs of `iterations` steps; lr: of Adam, until it falls to 0 in a straight line over the last share `decay`;
    weight_decay: CAL's; identities, instances: of the originals in a batch; dim: of a feature.

    The clothes losses begin, and the pool grows, after the same shares of the training as in the paper."""

    epochs: int = 12
    iterations: int = 56  # about once through CP's pictures
    lr: float = 3e-4
    decay: float = 0.5
    weight_decay: float = 5e-4
    identities: int = 8
    instances: int = 4
    dim: int = 128

    @property
    def steps(self) -> int:
        return self.epochs * self.iterations

    @property
    def start(self) -> int:
        """The epoch, from 0, in which the clothes losses begin."""
        return self.epochs * START // CAL_EPOCHS

    @property
    def every(self) -> int:
        """N: the epochs after which the pool grows."""
        return max(1, self.epochs * EVERY // CAL_EPOCHS)


LITE = Recipe()
SMOKE = replace(LITE, epochs=2, iterations=2, identities=4, instances=2)
RECIPES: dict[str, Recipe] = {"smoke": SMOKE, "lite": LITE}
