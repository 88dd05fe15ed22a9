"""Mentions of the paper's equations become links to where the book introduces them, words of the glossary links to
it."""

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


def words_of(glossary: str) -> dict[str, str]:
    """The places of a glossary's words, its headings of the second level, on its page."""
    headings = re.findall(r"^## (.+)$", glossary, re.MULTILINE)
    return {word: word.lower().replace(" ", "-") for word in headings}


def explain(text: str, words: dict[str, str], page: str, known: set[str]) -> str:
    """Markdown in whose prose the first mention of each of `words`, see `words_of`, leads to its place on `page`, if it
    is not in `known`, to which it is added. An "s" may follow; of words with capital letters the case counts."""

    def pattern(word: str) -> str:
        plural = re.escape(word[:-1]) + "(?:y|ies)" if word.endswith("y") else re.escape(word)
        return plural if word != word.lower() else f"(?i:{plural})"

    longest_first = "|".join(pattern(word) for word in sorted(words, key=len, reverse=True))
    mention = re.compile(rf"(?<![\w-])({longest_first})s?(?![\w-])")
    by_lower = {word.lower(): word for word in words}

    def link(found: re.Match) -> str:
        word = by_lower[re.sub("ies$", "y", found[1].lower())]
        if word in known:
            return found[0]
        known.add(word)
        return f"[{found[0]}]({page}#{words[word]})"

    parts = _APART.split(text)
    parts[::2] = [mention.sub(link, prose) for prose in parts[::2]]
    return "".join(parts)
