"""Does every link of a folder of HTML pages lead somewhere within it, and does nothing come from elsewhere?"""

from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

LOADED = {"script": "src", "img": "src", "link": "href", "iframe": "src", "source": "src", "video": "src"}


class _Page(HTMLParser):
    """Collects a page's anchors (ids), links and what it loads."""

    def __init__(self, text: str):
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.anchors |= {given[name] for name in ("id", "name") if given.get(name)}
        if tag == "a" and given.get("href"):
            self.links.append(given["href"])
        if given.get(LOADED.get(tag, "")):
            self.loads.append(given[LOADED[tag]])


def problems(folder: Path) -> list[str]:
    """A sentence for each link that leads nowhere and each asset that is not in `folder`; links to the web are not
    followed, assets from the web are refused."""
    pages = {path.resolve(): _Page(path.read_text(encoding="utf-8")) for path in sorted(folder.rglob("*.html"))}
    found = []
    for path, page in pages.items():
        for target, loaded in [(t, False) for t in page.links] + [(t, True) for t in page.loads]:
            parts = urlsplit(target)
            where = path.relative_to(folder.resolve())
            if parts.scheme == "data" or (parts.scheme in ("http", "https", "mailto") and not loaded):
                continue
            if parts.scheme or parts.netloc:
                found.append(f"{where} loads {target[:80]}, which is not part of the site")
                continue
            goal = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if not goal.is_file():
                found.append(f"{where} leads to {target}, which is not there")
            elif goal in pages and parts.fragment and unquote(parts.fragment) not in pages[goal].anchors:
                found.append(f"{where} leads to {target}, but that page has no such place")
    return found
