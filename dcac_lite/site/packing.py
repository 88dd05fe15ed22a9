"""Everything that an explorer can show, drawn beforehand and packed for a page without a kernel.

An `Explorer` draws HTML for values of its controls. Here it draws for all of them, and site.js shows what was drawn.
So a page shows the pictures, sentences and marks of the widgets, and no formula is written twice."""

import base64
import gzip
import io
import itertools
import json
import re
from collections.abc import Iterable

import ipywidgets as widgets
import numpy as np
from PIL import Image

from ..book.explorers import Explorer

_PICTURE = re.compile(r"data:image/png;base64,([^\"]+)")


def settings(control: widgets.DOMWidget) -> list[tuple[str, object]]:
    """What a control can be set to: pairs of what a reader sees and the value."""
    if isinstance(control, widgets.FloatLogSlider):
        steps = round((control.max - control.min) / control.step) + 1
        return [(f"{v:.3g}", v) for v in control.base ** np.linspace(control.min, control.max, steps)]
    if isinstance(control, widgets.IntSlider):
        return [(str(v), v) for v in range(control.min, control.max + 1)]
    if isinstance(control, widgets.Checkbox):
        return [("no", False), ("yes", True)]
    return [o if isinstance(o, tuple) else (str(o), o) for o in control.options]


def pack(explorer: Explorer, title: str, **kept: Iterable[int]) -> str:
    """All states of an explorer as base64 of gzip of JSON. It has `title`; `controls`, each with label, kind (range or
    select), options and start; `states`, row by row in the order of the controls, each a list of [sentence, HTML]; and
    `images`, to which `@k@` in the HTML refers.

    kept: the settings that a control keeps, by their places; all where none are given. A control that keeps one is
    not shown."""
    offered = {name: settings(control) for name, control in explorer.controls.items()}
    offered = {name: [pairs[k] for k in kept.get(name, range(len(pairs)))] for name, pairs in offered.items()}
    controls = []
    for name, pairs in offered.items():
        if len(pairs) == 1:
            continue
        control, values = explorer.controls[name], [value for _, value in pairs]
        kind = "select" if isinstance(control, widgets.Dropdown) else "range"
        start = min(range(len(values)), key=lambda k: abs(values[k] - control.value)) if kind == "range" else 0
        controls.append(
            {"label": control.description, "kind": kind, "options": [seen for seen, _ in pairs], "start": start}
        )
    images: dict[str, int] = {}

    def short(page: str) -> str:
        return _PICTURE.sub(lambda found: f"@{images.setdefault(found[1], len(images))}@", page)

    states = []
    for chosen in itertools.product(*offered.values()):
        values = {name: value for name, (_, value) in zip(offered, chosen)}
        states.append([[sentence, short(page)] for sentence, page in explorer.draw(**values)])
    packed = {"title": title, "controls": controls, "states": states, "images": [_small(png) for png in images]}
    whole = json.dumps(packed, ensure_ascii=False, separators=(",", ":"))
    return base64.b64encode(gzip.compress(whole.encode(), mtime=0)).decode()


def _small(png: str) -> str:
    """A PNG (base64) as the data URI of a WebP, a fifth as large."""
    file = io.BytesIO()
    Image.open(io.BytesIO(base64.b64decode(png))).save(file, format="WEBP", quality=80, method=6)
    return f"data:image/webp;base64,{base64.b64encode(file.getvalue()).decode()}"
