"""The pages of the site as Sphinx reads them: the notebooks, made fit for a page without a kernel, the documents that
they link to, and what only the site has: its first page, the list of figures and the page of explorers."""

import html
import json
import re
import shutil
from pathlib import Path

import nbformat
import pandas as pd

from ..book.notebook import captions, readable
from ..paths import CLONE, figures_root
from ..studies.scorecard import VERDICTS
from ..tools.reproduce import NOTEBOOKS
from .references import explain, introduce, refer, words_of

#: Documents that are pages too; whatever else they link to comes along as a file.
DOCUMENTS = (
    "README.md",
    "GLOSSARY.md",
    "TROUBLESHOOTING.md",
    "WORKSHOP.md",
    "CONTRIBUTING.md",
    "ARCHITECTURE.md",
    "data_cards",
    "figures/tables.md",
    "figures/plans",
)
FILES = ("figures/paper", "figures/results")
#: By the figure below which it stands: an explorer's title, what it shows, and what that was computed from.
EXPLORERS = {
    "01_explorer": (
        "Noise",
        "Computed with the small Stable Diffusion of this book when the page was built, for six people whom it had not "
        "met.",
    ),
    "02_explorer": (
        "Retrieval",
        "Rankings of the domain D by the small CLIP of this book *before* any Re-ID training; trained encoders are not "
        "part of the book. The slider goes from the worst answered query to the best.",
    ),
    "04_temperature": (
        "Temperature",
        "The trained baseline of Figure 4.1: from its published probabilities follow, at every temperature, those "
        "among the five people shown. The entropy is over all people, as in Figure 4.2.",
    ),
    "04_explorer": (
        "Condition",
        "The classifier here was *not trained*: a logit is the cosine between the picture's feature and the mean "
        "feature of a person, by the small CLIP of this book, divided by the temperature of Eq. 6. What a scheme does "
        "with the probabilities is the same.",
    ),
    "B1_explorer": (
        "Cards",
        "Drawn with the small generator of this book when the page was built: three directions in steps of a standard "
        "deviation, and three noises. Everything else of the card stays at the mean.",
    ),
}
STATIC = Path(__file__).with_name("static")
NO_BREAK = "\N{NO-BREAK SPACE}"
# spaces within an interval or a pair of numbers, and between the names of a setting
_TOGETHER = re.compile(
    r"(?<=\d) (?=\[[-+\d])|(?<=\d,) (?=[-+]?[\d.]+\])|(?<=\d) (?=/ \d)|(?<=\d /) (?=\d)|(?<=\]) (?=n=)|"
    r"(?<=s) (?=λ)|(?<=λ,) (?=τ)"
)
_HIDDEN = '<p style="position:absolute;'  # a description for screen readers, where pictures have none


def write_pages(folder: Path) -> None:
    """Write all sources of the site but the explorers' data into the new `folder`."""
    notebooks = sorted(NOTEBOOKS.glob("*.ipynb"))
    shutil.copytree(STATIC, folder / "_static")
    for name in (*DOCUMENTS, *FILES):
        copy = shutil.copytree if (CLONE / name).is_dir() else shutil.copyfile
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        copy(CLONE / name, folder / name)
    for picture in (*figures_root().glob("*.svg"), *figures_root().glob("*.png"), *figures_root().glob("*.csv")):
        shutil.copyfile(picture, folder / "figures" / picture.name)
    (folder / "notebooks").mkdir()
    printed, equations = {}, set()
    read = {path: nbformat.read(path, as_version=4) for path in notebooks}
    texts = [cell for notebook in read.values() for cell in notebook.cells if cell.cell_type == "markdown"]
    for cell in texts:
        cell.source = introduce(cell.source, equations)
    for cell in texts:
        cell.source = refer(cell.source, equations)
    for page in folder.rglob("*.md"):
        text = page.read_text(encoding="utf-8")
        page.write_text(
            folded(re.sub(r"^\|.*$", lambda row: unbroken(row[0]), text, flags=re.MULTILINE)), encoding="utf-8"
        )
    glossary = (CLONE / "GLOSSARY.md").read_text(encoding="utf-8")
    (folder / "GLOSSARY.md").write_text(to_places(glossary), encoding="utf-8")
    words = words_of(glossary)
    for path, notebook in read.items():
        known: set[str] = set()
        for cell in notebook.cells[1:]:  # the first is the title, and where one goes from here
            if cell.cell_type == "markdown":
                cell.source = explain(cell.source, words, "../GLOSSARY.md", known)
        printed[path.stem] = make_fit(notebook)
        nbformat.write(notebook, folder / "notebooks" / path.name)
    (folder / "index.md").write_text(first_page(notebooks, printed), encoding="utf-8")
    (folder / "figures.md").write_text(list_of_figures(printed), encoding="utf-8")
    (folder / "explorers.md").write_text(page_of_explorers(), encoding="utf-8")


def numbered() -> dict[str, str]:
    """Number of every figure, as printed ("2.4"): its name."""
    seen: dict[str, list[str]] = {}
    for name in captions():
        seen.setdefault(name[:2].lstrip("0") or "0", []).append(name)
    return {f"{chapter}.{k}": name for chapter, names in seen.items() for k, name in enumerate(names, 1)}


def files_of(name: str, folder: str) -> str:
    """Links to a figure's picture and, where it was drawn from numbers, its data; `folder` leads to figures/."""
    kinds = {"svg": "picture (SVG)", "csv": "data (CSV)"}
    there = {kind: words for kind, words in kinds.items() if (figures_root() / f"{name}.{kind}").exists()}
    return " · ".join(f"[{words}]({folder}/{name}.{kind})" for kind, words in there.items())


def make_fit(notebook) -> dict[str, str]:
    """Change a notebook so that it reads well without a kernel: code that draws is folded, pictures have their
    descriptions, a caption links to picture and data, and the explorer whose figure is shown stands below it.
    Returns the captions, by the figure's name."""
    names, printed, cells = numbered(), {}, []
    for cell in notebook.cells:
        cells.append(cell)
        if cell.cell_type == "markdown":
            cell.source = to_places(cell.source)
        if cell.cell_type != "code":
            continue
        tags = cell.metadata.setdefault("tags", [])
        if cell.metadata.get("jupyter", {}).get("source_hidden"):
            tags.append("hide-cell" if "solution" in tags else "hide-input")
        if "solution" in tags:
            cell.metadata["mystnb"] = {"code_prompt_show": "Show a solution", "code_prompt_hide": "Hide the solution"}
        cell.outputs = [o for o in cell.outputs if not o.get("data", {}).get("text/html", "").startswith(_HIDDEN)]
        for output in cell.outputs:
            data = output.get("data", {})
            if "<table" in data.get("text/html", ""):
                data["text/html"] = unbroken(data["text/html"])
            if png := data.pop("image/png", None):
                alt = html.escape(output.metadata.get("image/png", {}).get("alt", ""))
                data["text/html"] = f'<img class="figure" src="data:image/png;base64,{png.strip()}" alt="{alt}">'
            caption = re.match(r"\*\*Figure (\w+\.\d+)\.\*\* (.*)", data.get("text/markdown", ""), re.DOTALL)
            if caption:
                name = names[caption[1]]
                printed[name] = caption[2]
                data["text/markdown"] = f"({anchor(name)})=\n{caption[0]}\n\n{files_of(name, '../figures')}"
                if name in EXPLORERS:
                    cells.append(nbformat.v4.new_markdown_cell(f"**Try it here, without a kernel.** {explorer(name)}"))
    notebook.cells = cells
    return printed


def unbroken(text: str) -> str:
    """A text in which an interval such as 1.5 [1.0, 2.0] stays on one line, whatever the width of its column."""
    return _TOGETHER.sub(NO_BREAK, text)


def folded(text: str) -> str:
    """Markdown in which a drawing in Mermaid, which only GitHub draws, is behind a line to open."""
    summary = "The drawing as text (Mermaid), which GitHub draws"
    return re.sub(
        r"```mermaid.*?```", rf"<details><summary>{summary}</summary>\n\n\g<0>\n\n</details>", text, flags=re.DOTALL
    )


def to_places(text: str) -> str:
    """Markdown in which links to a notebook's headings, named as JupyterLab does, name them as the site does."""
    place = r"(?<=\.ipynb#)(?:[^()]|\([^()]*\))+"  # a heading may hold a pair of brackets
    return re.sub(place, lambda found: slug(found[0]), text)


def slug(heading: str) -> str:
    """The place of a heading within its page, as MyST and GitHub name it."""
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


def anchor(name: str) -> str:
    """The place of a figure within its page."""
    return f"figure-{name.replace('_', '-').lower()}"


def explorer(name: str) -> str:
    """Where site.js puts an explorer, with what its numbers come from."""
    return f'{EXPLORERS[name][1]}\n\n<div class="explorer" data-explorer="{name}"></div>\n'


def title_of(path: Path) -> str:
    """A notebook's title, without its marks."""
    return nbformat.read(path, as_version=4).cells[0].source.splitlines()[0].removeprefix("# ")


def first_page(notebooks: list[Path], printed: dict[str, dict[str, str]]) -> str:
    """The scorecard in short, with its figure, and the ways into the book. printed: as of `list_of_figures`."""
    caption = printed["14_scorecard"]["14_scorecard"]
    card = pd.read_csv(figures_root() / "14_scorecard.csv")
    once = card.loc[card["same_test_as"].isna(), "verdict"]  # the same comparison counts once
    counts = "\n".join(f"* **{(once == verdict).sum()}** {verdict}" for verdict in VERDICTS)
    told = card[card["effect"].notna() | (card["id"] == card["id"][0])]  # others refer to the first
    rows = []
    for c in told.itertuples():
        paper = "" if pd.isna(c.paper) else readable(c.paper, 2)
        here = "" if pd.isna(c.effect) else "{} [{}, {}]".format(*(readable(v, 2) for v in (c.effect, c.low, c.high)))
        rows.append(f"| {c.says} | {c.setting} | {c.verdict} | {unbroken(here)} | {paper} |")
    claims = "\n".join(rows)
    toctree = "\n".join(f"notebooks/{path.stem}" for path in notebooks)
    others = "\n".join(
        [
            "figures",
            "explorers",
            "GLOSSARY",
            "How to run it <README>",
            "TROUBLESHOOTING",
            "WORKSHOP",
            "figures/tables",
            "data_cards/README",
        ]
        + ["Plan of notebook 07 <figures/plans/when-it-teaches>", "Plan of notebook B2 <figures/plans/clothes>"]
        + ["CONTRIBUTING", "ARCHITECTURE"]
    )
    rest = "\n".join(f"data_cards/{p.stem}" for p in sorted((CLONE / "data_cards").glob("*.md")) if p.stem != "README")
    return f"""# Does DCAC hold? The scorecard

A companion to *Unleashing the Potential of Pre-Trained Diffusion Models for Generalizable Person Re-Identification*
(DCAC), on a scale model: drawn people, small networks. Each claim of the paper that can be tested by training, and what
came of it:

{counts}

What has been measured so far, as differences with 95 % intervals, with the $\\lambda$ and $\\tau_c$ of the paper or
those of this tier; the rules, and all claims, stand in [notebook 14](notebooks/14_scorecard.ipynb).

| claim | setting | verdict | here | in the paper |
|---|---|---|---|---|
{claims}

## Where to go

* Read: begin with [notebook 00](notebooks/00_start_here.ipynb); what was measured is in
  [the tables](figures/tables.md).
* Play: [explorers](explorers.md) that run in this page.
* Look: [all figures](figures.md), with their data.
* Run: [README](README.md) says how.

## Every claim at once

[![{caption}](figures/14_scorecard.png)](notebooks/14_scorecard.ipynb)

{caption} {files_of("14_scorecard", "figures")}

```{{toctree}}
:hidden:
:caption: The book

{toctree}
```

```{{toctree}}
:hidden:
:caption: Beside it

{others}
```

```{{toctree}}
:hidden:
:caption: Data cards

{rest}
```
"""


def list_of_figures(printed: dict[str, dict[str, str]]) -> str:
    """Every figure with its caption, its place, its picture, its data, and the hash of the code cells it came from.
    printed: captions, by notebook and figure."""
    made_from = json.loads((figures_root() / "made_from.json").read_text())
    numbers = {name: number for number, name in numbered().items()}
    parts = [
        "# All figures\n\nWhere each stands, its picture, the numbers it was drawn from, and the key of the code that "
        "drew it, which `python -m dcac_lite status` compares with the present one."
    ]
    for stem, figures in printed.items():
        file = f"notebooks/{stem}.ipynb"
        parts.append(f"## {title_of(CLONE / file)}\n\nKey: `{made_from[file][file]}`.")
        parts += [
            f"* [Figure {numbers[name]}](#{anchor(name)}): {caption} {files_of(name, 'figures')}"
            for name, caption in figures.items()
        ]
    return "\n\n".join(parts)


def page_of_explorers() -> str:
    """All explorers, one below the other."""
    parts = [f"## {title}\n\n{explorer(name)}" for name, (title, _) in EXPLORERS.items()]
    return "\n".join(["# Explorers\n\nMove a slider with the mouse, a finger or the arrow keys.\n", *parts])
