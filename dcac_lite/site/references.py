"""Mentions of the paper's equations become links to where the book introduces them."""

import re

# an equation that stands by itself, with the paper's number at its end
_DISPLAYED = re.compile(r"(?<=\n\n)\$\$(?:(?!\$\$).)*?\\text\{\(Eq\. (\d+)\)\}\$\$", re.DOTALL)
# what is no prose: code, maths, links, headings
_APART = re.compile(r"(```.*?```|`[^`]*`|\$\$.*?\$\$|\$[^$]*\$|\[[^\]]*\]\([^)]*\)|^#.*?$)", re.DOTALL | re.MULTILINE)


def introduce(text: str, known: set[str]) -> str:
    """Markdown in which each numbered equation that is not yet in `known` has a name; it is added to `known`."""

    def name(found: re.Match) -> str:
        if found[1] in known:
            return found[0]
        known.add(found[1])
        return f"(eq-{found[1]})=\n\n{found[0]}"

    return _DISPLAYED.sub(name, text)


def refer(text: str, known: set[str]) -> str:
    """Markdown in which the words "Eq. N" of its prose lead to the equation, if it is in `known`."""

    def link(found: re.Match) -> str:
        return f"[{found[0]}](#eq-{found[1]})" if found[1] in known else found[0]

    parts = _APART.split(text)
    parts[::2] = [re.sub(r"\bEq\. (\d+)\b", link, prose) for prose in parts[::2]]
    return "".join(parts)
