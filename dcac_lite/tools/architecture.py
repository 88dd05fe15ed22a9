"""Draw ARCHITECTURE.md's picture from the imports: `python -m dcac_lite architecture`.

A module of `dcac_lite/` itself is a box, a folder below it is one box with its modules' names, and an arrow says
"imports". An arrow that follows from others is left out. A test compares the committed page with the imports."""

import argparse

from ..code_key import imports_of
from ..paths import CLONE, PACKAGE, replacing

PAGE = CLONE / "ARCHITECTURE.md"
BEGIN, END = "<!-- drawn by python -m dcac_lite architecture -->", "<!-- end of the drawing -->"


def modules() -> list[str]:
    """Every module of the package, named without it: "data.listing"; `__init__` files are left out."""
    files = (f.relative_to(PACKAGE).with_suffix("") for f in PACKAGE.rglob("*.py"))
    return sorted(".".join(f.parts) for f in files if f.name != "__init__")


def _box(module: str) -> str:
    return module.split(".")[0]


def arrows() -> dict[str, set[str]]:
    """Box -> boxes that it imports, all of them."""
    found: dict[str, set[str]] = {_box(m): set() for m in modules()}
    for module in modules():
        found[_box(module)] |= {_box(other) for other in imports_of(module)} - {_box(module)}
    return found


def _reached(start: str, graph: dict[str, set[str]]) -> set[str]:
    seen, todo = set(), [*graph[start]]
    while todo:
        node = todo.pop()
        if node not in seen:
            seen.add(node)
            todo += graph[node]
    return seen


def reduced(graph: dict[str, set[str]]) -> dict[str, set[str]]:
    """The graph without arrows that follow from others: one by one, in alphabetical order, an arrow goes when
    what is left still leads from its start to its end. Arrows of a circle stay."""
    left = {a: set(targets) for a, targets in graph.items()}
    for a in sorted(graph):
        for b in sorted(graph[a]):
            left[a].discard(b)
            if b not in _reached(a, left) or a in _reached(b, graph):
                left[a].add(b)
    return left


def drawing() -> str:
    """The picture as a Mermaid flow chart."""
    names: dict[str, list[str]] = {}
    for module in modules():
        names.setdefault(_box(module), []).append(module.partition(".")[2])
    lines = ["```mermaid", "flowchart LR"]
    lines += ['  subgraph method["dcac_lite/"]']
    lines += [f'    {box}["{box}"]' for box, inner in names.items() if inner == [""]]
    lines += ["  end"]
    for box, inner in names.items():
        if inner != [""]:
            lines += [f'  {box}["<b>{box}/</b><br/>{"<br/>".join(inner)}"]']
    lines += [f"  {a} --> {b}" for a, targets in sorted(reduced(arrows()).items()) for b in sorted(targets)]
    return "\n".join([*lines, "```"])


def with_drawing(page: str) -> str:
    """The text of the page with the drawing as the imports are now."""
    before, after = page.split(BEGIN)[0], page.split(END)[1]
    return f"{before}{BEGIN}\n{drawing()}\n{END}{after}"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(call=_draw)


def _draw(arguments: argparse.Namespace) -> None:
    page = with_drawing(PAGE.read_text(encoding="utf-8"))
    with replacing(PAGE) as temporary:
        temporary.write_text(page, encoding="utf-8")
    print(f"{PAGE} is drawn from the imports of {len(modules())} modules.")
