"""dcac-lite: a runnable companion to the DCAC paper.

    from dcac_lite import Experiment, run
    result = run(Experiment(sources="MA", conditioning="correlation-aware", seed=1))
    result.evaluate("D", "MS", "C3")

Names are imported when used, so that `import dcac_lite` costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # for editors and type checkers, which do not see what `__getattr__` finds
    from .adaptation import MODES, adapt
    from .conditioning import SCHEMES, make_condition
    from .data.domains import read_dataset, training_set
    from .data.load import load_domain
    from .dcac import DCAC, gradient_norms
    from .diffusion import denoising_loss
    from .encoder import ReIDModel
    from .evaluation import evaluate, rank_metrics
    from .experiment import Experiment
    from .memory import PrototypeMemory
    from .pretrained.stable_diffusion import load_stable_diffusion
    from .release.export import FeatureExtractor
    from .runs import Run, run
    from .studies.statistics import paired_interval
    from .tiers import TIERS

_HOMES = {
    "Experiment": "experiment",
    "Run": "runs",
    "run": "runs",
    "load_domain": "data.load",
    "TIERS": "tiers",
    "DCAC": "dcac",
    "ReIDModel": "encoder",
    "FeatureExtractor": "release.export",
    "PrototypeMemory": "memory",
    "SCHEMES": "conditioning",
    "make_condition": "conditioning",
    "MODES": "adaptation",
    "adapt": "adaptation",
    "load_stable_diffusion": "pretrained.stable_diffusion",
    "denoising_loss": "diffusion",
    "gradient_norms": "dcac",
    "paired_interval": "studies.statistics",
    "evaluate": "evaluation",
    "rank_metrics": "evaluation",
    "training_set": "data.domains",
    "read_dataset": "data.domains",
}
__all__ = sorted(_HOMES)


def __getattr__(name: str):
    if name not in _HOMES:
        raise AttributeError(f"module 'dcac_lite' has no attribute {name!r}; it offers {', '.join(__all__)}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)


def __dir__() -> list[str]:
    return __all__
