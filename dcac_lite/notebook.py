"""What every notebook needs: checked parameters, one look, saved figures, source listings."""

import ast
import inspect
import os
import textwrap
import warnings
from dataclasses import dataclass
from pathlib import Path
from types import UnionType

from .paths import figures_root, replacing, runs_root
from .tiers import TIERS, Tier

#: Okabe and Ito's colours, safe for colour-blind readers; one meaning each through the whole book.
PALETTE = {
    "baseline": "#7f7f7f",
    "correlation-aware": "#0072B2",
    "class-wise": "#E69F00",
    "class-wise-rescaled": "#F0E442",
    "instance-wise": "#D55E00",
    "non-linearity": "#56B4E9",
    "batch-norm": "#009E73",
    "condition-net": "#CC79A7",
    "right": "#009E73",
    "wrong": "#D55E00",
}


class ParameterError(ValueError):
    """A notebook was given a parameter it does not have, or a value it cannot use."""


@dataclass(frozen=True)
class Setup:
    """What `start` hands a notebook: its tier and where its figures go."""

    tier: Tier
    folder: Path

    def save(self, figure, name: str, data=None) -> None:
        """Write a matplotlib figure as NAME.svg and NAME.png, and the pandas `data` it was drawn
        from as NAME.csv, into the figures folder (the runs folder for tiers other than lite)."""
        for kind in ("svg", "png"):
            with replacing(self.folder / f"{name}.{kind}") as temporary:
                # no date in the file: the same figure is the same bytes
                metadata = {"Date": None} if kind == "svg" else None
                figure.savefig(temporary, format=kind, dpi=144, bbox_inches="tight", metadata=metadata)
        if data is not None:
            with replacing(self.folder / f"{name}.csv") as temporary:
                data.to_csv(temporary, index=False)


def start(namespace: dict, **expected) -> Setup:
    """Check a notebook's parameters and prepare its session; call it right after the parameters.

    `namespace` is `globals()`. `expected` gives for every parameter a type (`int`, `float | None`) or
    a tuple of allowed values. papermill silently accepts unknown names and any type; this does not.
    Also sets the figure style and keeps the libraries' chatter out of the notebook.

    Raises ParameterError in one sentence that lists the right names, types or values."""
    unknown = _injected_names(namespace) - set(expected)
    if unknown:
        raise ParameterError(f"Unknown parameter {', '.join(sorted(unknown))}: this notebook has {', '.join(expected)}.")
    for name, rule in expected.items():
        _check(name, namespace[name], rule)
    tier = TIERS[namespace["tier"]]
    _prepare_session()
    folder = figures_root() if tier.name == "lite" else runs_root() / tier.name / "figures"
    return Setup(tier, folder)


def _injected_names(namespace: dict) -> set[str]:
    # papermill puts what it was given into a cell of its own that starts with this comment
    cells = [cell for cell in namespace.get("In", []) if cell.startswith("# Parameters")]
    statements = [s for cell in cells for s in ast.parse(cell).body if isinstance(s, ast.Assign)]
    return {target.id for s in statements for target in s.targets if isinstance(target, ast.Name)}


def _check(name: str, value, rule) -> None:
    if isinstance(rule, tuple):
        if value not in rule:
            raise ParameterError(f"Parameter {name} is {value!r}: expected one of {', '.join(map(repr, rule))}.")
        return
    types = rule.__args__ if isinstance(rule, UnionType) else (rule,)
    accepted = (*types, int) if float in types else types
    if not isinstance(value, accepted) or (isinstance(value, bool) and bool not in types):
        words = " or ".join("None" if t is type(None) else t.__name__ for t in types)
        raise ParameterError(f"Parameter {name} is {value!r} ({type(value).__name__}): expected {words}.")


def _prepare_session() -> None:
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    import logging

    import matplotlib.pyplot as plt
    import seaborn as sns
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    for library in (diffusers_logging, transformers_logging):
        library.set_verbosity_error()
        library.disable_progress_bar()
    logging.getLogger("open_clip").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", category=FutureWarning)
    sns.set_theme(context="notebook", style="whitegrid")
    plt.rcParams |= {"figure.dpi": 96, "axes.titlesize": 11, "axes.titleweight": "bold", "svg.hashsalt": "dcac-lite"}


def show_source(thing) -> None:
    """Show the code of a function or class of the module, its docstring left out."""
    from IPython.display import Code, display

    source = textwrap.dedent(inspect.getsource(thing))
    lines = source.splitlines()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and ast.get_docstring(node) and len(node.body) > 1:
            docstring = node.body[0]
            lines[docstring.lineno - 1 : docstring.end_lineno] = [None] * (docstring.end_lineno - docstring.lineno + 1)
    display(Code("\n".join(line for line in lines if line is not None), language="python"))


def show_images(images, titles=None, columns: int = 12, scale: float = 0.75, frames=None):
    """A figure of uint8 images [N, 3, H, W] in a grid with optional titles and frame colours."""
    import matplotlib.pyplot as plt
    import numpy as np

    images = np.asarray(images)
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    height = scale * images.shape[2] / images.shape[3] + (0.28 if titles is not None else 0.05)
    figure, axes = plt.subplots(rows, columns, figsize=(columns * (scale + 0.1), rows * height), squeeze=False)
    for k, axis in enumerate(axes.flat):
        axis.set(xticks=[], yticks=[])
        if k >= len(images):
            axis.axis("off")
            continue
        axis.grid(False)
        axis.imshow(images[k].transpose(1, 2, 0), interpolation="nearest")
        if titles is not None:
            axis.set_title(titles[k], fontsize=7, fontweight="normal")
        for spine in axis.spines.values():
            spine.set(visible=frames is not None, color=frames[k] if frames is not None else "none", linewidth=2.5)
    figure.tight_layout(pad=0.2, h_pad=0.9 if titles is not None else 0.2)
    return figure
