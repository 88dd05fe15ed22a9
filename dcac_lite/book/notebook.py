"""What every notebook needs: checked parameters, one look, saved figures, source listings."""

import ast
import html
import inspect
import io
import math
import os
import textwrap
import tomllib
import warnings
from dataclasses import dataclass
from numbers import Integral, Real
from pathlib import Path
from string import Formatter
from types import UnionType
from typing import get_type_hints

from ..paths import PACKAGE, figures_folder, replacing
from ..tiers import REHEARSAL, TIERS, Tier

#: Colours that colour-blind readers can tell apart; one meaning each within its group, through the whole book.
PALETTE = {
    # conditioning schemes: Okabe and Ito
    "baseline": "#7f7f7f",
    "correlation-aware": "#0072B2",
    "class-wise": "#E69F00",
    "class-wise-rescaled": "#F0E442",
    "instance-wise": "#D55E00",
    "non-linearity": "#56B4E9",
    "batch-norm": "#009E73",
    "condition-net": "#CC79A7",
    # domains: Tol's muted colours
    "web": "#000000",
    "MA": "#332288",
    "D": "#44AA99",
    "MS": "#CC6677",
    "C3": "#999933",
    "V": "#AA4499",
    # adaptation modes: Tol's bright colours
    "frozen": "#BBBBBB",
    "lora": "#4477AA",
    "output-blocks": "#66CCEE",
    "middle-output-blocks": "#228833",
    "full": "#EE6677",
    "scratch": "#AA3377",
    # losses: Tol's high-contrast colours
    "id": "#004488",
    "pcl": "#DDAA33",
    "dif": "#BB5566",
    # answers; always with a tick or a cross, or with a solid or a dashed line
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

    @property
    def rehearsal(self) -> bool:
        """Whether the weights are random, so that no measured quality means anything."""
        return self.tier is REHEARSAL

    def save(self, figure, name: str, data=None, *, values: dict | None = None) -> None:
        """Show a matplotlib figure with its number and caption, and write it as NAME.svg and NAME.png, and the pandas
        `data` it was drawn from as NAME.csv, into `folder`.

        Caption and text alternative are those of NAME in `captions.toml`; `values` fill their fields."""
        caption, alt = caption_of(name, values or {})
        # no date in the file: the same figure is the same bytes
        about = {"svg": {"Date": None, "Title": alt}, "png": {"Description": alt}}
        for kind, metadata in about.items():
            with replacing(self.folder / f"{name}.{kind}") as temporary:
                figure.savefig(temporary, format=kind, dpi=144, bbox_inches="tight", metadata=metadata)
        if data is not None:
            with replacing(self.folder / f"{name}.csv") as temporary:
                data.to_csv(temporary, index=False)
        show_figure(figure, alt, caption)


def captions() -> dict[str, dict[str, str]]:
    """The entries of `captions.toml`: `caption`, and `alt` where a text alternative has to say more; by the figure's
    name, in the order in which a notebook shows its figures."""
    return tomllib.loads(Path(__file__).with_name("captions.toml").read_text(encoding="utf-8"))


def caption_of(name: str, values: dict) -> tuple[str, str]:
    """Numbered caption ("**Figure 2.4.** ...") and text alternative of a figure, `values` in the place of their fields.

    The chapter is the name's first two characters, the number the place among the chapter's entries in
    `captions.toml`. Raises ValueError where the file has no such figure, or where values and fields differ."""
    entries = captions()
    if name not in entries:
        raise ValueError(f"there is no [{name}] in dcac_lite/book/captions.toml: give the figure a caption there.")
    texts = entries[name]["caption"], entries[name].get("alt", entries[name]["caption"])
    fields = {field for text in texts for _, field, _, _ in Formatter().parse(text) if field}
    if fields != set(values):
        raise ValueError(
            f"[{name}] in dcac_lite/book/captions.toml has the fields {sorted(fields)}, but got {sorted(values)}."
        )
    chapter, number = name[:2], [n for n in entries if n[:2] == name[:2]].index(name) + 1
    caption, alt = (text.format(**values) for text in texts)
    return f"**Figure {chapter.lstrip('0') or '0'}.{number}.** {caption}", alt


def show_figure(figure, alt: str, caption: str = "") -> None:
    """Show a matplotlib figure with its text alternative and its caption (Markdown), if it has one, and close it.

    alt: what is seen and what follows from it, in one or two sentences. It becomes the picture's `alt` in
    the notebook file. JupyterLab and nbconvert do not read that (4.6, 7.17), so it also follows the picture as a
    paragraph that only screen readers meet, unless the caption says the same. Raises ValueError when it has fewer
    than 40 characters."""
    import matplotlib.pyplot as plt
    from IPython.display import HTML, Image, Markdown, display

    if len(alt) < 40:
        raise ValueError(
            f"alt is {alt!r}: expected a sentence of at least 40 characters that says what the figure shows."
        )
    picture = io.BytesIO()
    figure.savefig(picture, format="png", bbox_inches="tight", metadata={"Description": alt})
    plt.close(figure)
    display(Image(picture.getvalue(), alt=alt))
    if not caption.endswith(alt):
        hidden = "position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%);white-space:nowrap"
        display(HTML(f'<p style="{hidden}">Figure: {html.escape(alt)}</p>'))
    if caption:
        display(Markdown(caption))


def start(namespace: dict, **expected) -> Setup:
    """Check a notebook's parameters and prepare its session; call it right after the parameters.

    `namespace` is `globals()`. `expected` gives for every parameter a type (`int`, `float | None`),
    a tuple of allowed values or a `range`. papermill silently accepts unknown names and any type; this does not.
    Also sets the figure style and keeps the libraries' chatter out of the notebook.

    Raises ParameterError in one sentence that lists the right names, types or values."""
    unknown = _injected_names(namespace) - set(expected)
    if unknown:
        raise ParameterError(
            f"Unknown parameter {', '.join(sorted(unknown))}: this notebook has {', '.join(expected)}."
        )
    if "full" in expected["tier"]:
        expected["tier"] = (*expected["tier"], "rehearsal")  # which goes the way of the full tier
    for name, rule in expected.items():
        _check(name, namespace[name], rule)
    tier = TIERS[namespace["tier"]]
    if tier is REHEARSAL:
        from ..tools.rehearsal import prepare

        prepare()
    _prepare_session()
    return Setup(tier, figures_folder(tier.name))


def experiment_rules() -> dict:
    """What `start` shall expect of parameters that are fields of an `Experiment`; sources and milestones, which are
    written as text in a notebook, are not among them."""
    from ..adaptation import MODES
    from ..conditioning import SCHEMES
    from ..device import AUTOCAST
    from ..experiment import Experiment
    from ..recipes import RECIPES
    from ..teaching.names import ARMS

    left_out = ("tier", "sources", "milestones", "accumulation")
    choices = {
        "conditioning": ("none", *SCHEMES, *ARMS),
        "adaptation": MODES,
        "precision": (*AUTOCAST, None),
        "recipe": tuple(RECIPES),
    }
    rules = {name: choices.get(name, hint) for name, hint in get_type_hints(Experiment).items()}
    return {name: rule for name, rule in rules.items() if name not in left_out}


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
    if isinstance(rule, range):
        if type(value) is not int or value not in rule:
            raise ParameterError(f"Parameter {name} is {value!r}: expected a whole number of at least {rule.start}.")
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

    from ..device import keep_float32

    for library in (diffusers_logging, transformers_logging):
        library.set_verbosity_error()
        library.disable_progress_bar()
    logging.getLogger("open_clip").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", category=FutureWarning)
    keep_float32()  # chapters assert equalities
    sns.set_theme(context="notebook", style="whitegrid")
    plt.rcParams |= {"figure.dpi": 96, "axes.titlesize": 11, "axes.titleweight": "bold", "svg.hashsalt": "dcac-lite"}


def show_list(lines) -> None:
    """Show sentences written by code as a list, which wraps between words on any screen."""
    from IPython.display import Markdown, display

    display(Markdown("\n".join(f"* {line}" for line in lines)))


def readable(value, digits: int = 3) -> str:
    """A number with `digits` significant digits as people write it: 1,390 or 0.0598 or 4.30 × 10⁻⁶."""
    if not math.isfinite(value):
        return "none"
    power = math.floor(math.log10(abs(value))) if value else 0
    if power < -3:
        raised = str(power).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
        return f"{value / 10**power:.{digits - 1}f} × 10{raised}"
    return f"{value:,.{max(0, digits - 1 - power)}f}" if value else "0"


def show_table(frame, decimals: int | None = None) -> None:
    """Show a DataFrame without the numbers of its rows (an index with a name becomes columns): fractions with
    `decimals` places, or as `readable` writes them; large counts with commas; "none" where there is no finite number.
    A table that is wider than the page scrolls within itself."""
    import numpy as np
    from IPython.display import HTML, display
    from pandas.io.formats.style import Styler

    def write(value) -> str:
        if isinstance(value, (bool, np.bool_)):
            return "yes" if value else "no"
        if isinstance(value, Integral):
            return f"{value:,}"
        if not isinstance(value, Real):
            return html.escape(str(value))
        return readable(value) if decimals is None or not math.isfinite(value) else f"{value:.{decimals}f}"

    if any(name is not None for name in frame.index.names):
        frame = frame.reset_index()
    # no random ids: the same table is the same text
    styler = Styler(frame.rename_axis(columns=None), uuid="table", cell_ids=False).format(write).hide(axis="index")
    display(HTML(f'<div style="overflow-x:auto">{styler.to_html()}</div>'))


def show_source(thing) -> None:
    """Show the code of a function or class of the module in a box, headed by its file and line, without its
    docstring."""
    from IPython.display import HTML, display
    from pygments import highlight
    from pygments.formatters import HtmlFormatter
    from pygments.lexers import PythonLexer

    listed, first = inspect.getsourcelines(thing)
    source = textwrap.dedent("".join(listed))
    lines = source.splitlines()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and ast.get_docstring(node) and len(node.body) > 1:
            docstring = node.body[0]
            lines[docstring.lineno - 1 : docstring.end_lineno] = [None] * (docstring.end_lineno - docstring.lineno + 1)
    # bold and italics only: legible on any background, and an export needs no style sheet
    look = HtmlFormatter(style="bw", noclasses=True, nowrap=True, nobackground=True)
    code = highlight("\n".join(line for line in lines if line is not None), PythonLexer(), look)
    place = (
        f"{PACKAGE.name}/{Path(inspect.getfile(inspect.unwrap(thing))).relative_to(PACKAGE).as_posix()}, line {first}"
    )
    box = "border:1px solid #888;padding:0.5em 1em;overflow-x:auto"
    mono = "font-family:monospace;white-space:pre;line-height:1.4;margin:0.5em 0 0"
    display(HTML(f'<div style="{box}"><strong>{place}</strong><pre style="{mono}">{code}</pre></div>'))


def show_images(images, titles=None, columns: int = 12, scale: float = 0.75, frames=None, dashed=()):
    """A figure of uint8 images [N, 3, H, W] in a grid, `scale` inches wide each, with optional titles
    and frame colours (one per image); the frames of the images in `dashed` are dashed."""
    import matplotlib.pyplot as plt
    import numpy as np

    images = np.asarray(images)
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    lines = [
        max(t.count("\n") + 1 if t else 0 for t in titles[k : k + columns]) if titles else 0
        for k in range(0, len(images), columns)
    ]
    height = rows * (scale * images.shape[2] / images.shape[3] + 0.13) + 0.17 * sum(lines)
    figure, axes = plt.subplots(
        rows, columns, figsize=(columns * (scale + 0.09), height), squeeze=False, layout="compressed"
    )
    figure.get_layout_engine().set(w_pad=0.03, h_pad=0.05, wspace=0, hspace=0)
    for k, axis in enumerate(axes.flat):
        axis.set(xticks=[], yticks=[])
        if k >= len(images):
            axis.axis("off")
            continue
        axis.grid(False)
        axis.imshow(images[k].transpose(1, 2, 0), interpolation="nearest")
        if titles:
            axis.set_title(titles[k], fontsize=9, fontweight="normal", pad=3)
        for spine in axis.spines.values():
            spine.set(visible=frames is not None, color=frames[k] if frames is not None else "none", linewidth=3)
            spine.set(linestyle=(0, (3, 2)) if k in dashed else "-", capstyle="butt" if k in dashed else "projecting")
    return figure


def name_rows(figure, names) -> None:
    """Write the names of the rows of `show_images` beside them, one name for each row of pictures."""
    columns = len(figure.axes) // len(names)
    for axis, name in zip(figure.axes[::columns], names):
        axis.set_ylabel(name, rotation=0, ha="right", va="center", fontsize=9)
