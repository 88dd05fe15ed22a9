"""The book as a site, in a browser that may ask for files only: pages, explorers, search, links, on a phone."""

import base64
import gzip
import json
import re
import shutil

import nbformat
import numpy as np
import pandas as pd
import pytest
from test_browser import SECONDS, serious_violations

from dcac_lite.__main__ import main
from dcac_lite.paths import CLONE, figures_root
from dcac_lite.site.command import build
from dcac_lite.site.explorers import among
from dcac_lite.site.links import problems
from dcac_lite.site.pages import folded, unbroken
from dcac_lite.site.printed import BROWSERS, print_pages
from dcac_lite.site.references import explain, introduce, refer, words_of
from dcac_lite.tools.reproduce import NOTEBOOKS

PHONE, LAPTOP = {"width": 390, "height": 844}, {"width": 1366, "height": 768}


# MyST-NB 1.4 uses what Sphinx 11 will no longer have
pytestmark = pytest.mark.filterwarnings("ignore:.*Check CHANGES for Sphinx API modifications")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    pytest.importorskip("myst_nb", reason="the book's packages are not installed: pip install -e '.[book]'")
    folder = tmp_path_factory.mktemp("book")
    page = build(folder / "site", "smoke")
    assert [p.name for p in folder.iterdir()] == ["site"] and page == folder / "site" / "index.html"
    return page.parent


@pytest.fixture
def visit(browser):
    """Opens a page of the site; `page.faults` are errors in its console and requests that are no files."""
    pages = []

    def go(file, viewport=PHONE, **how):
        page = browser.new_page(viewport=viewport, reduced_motion="reduce", **how)
        pages.append(page)
        page.set_default_timeout(1000 * SECONDS)
        page.faults = []
        page.on("pageerror", lambda error: page.faults.append(str(error)))
        page.on("console", lambda said: page.faults.append(said.text) if said.type == "error" else None)
        page.on("request", lambda asked: page.faults.append(asked.url) if not local(asked.url) else None)
        page.goto(file)
        return page

    yield go
    for page in pages:
        page.close()


def local(address: str) -> bool:
    return address.startswith(("file:", "data:", "blob:"))


def test_every_page_fits_a_phone_and_needs_nothing_from_elsewhere(site, visit):
    found = {}
    page = visit((site / "index.html").as_uri())
    for path in sorted(site.rglob("*.html")):
        page.goto(path.as_uri())
        width = page.evaluate("document.documentElement.scrollWidth")
        if width > PHONE["width"] or page.faults:
            found[path.name] = width, page.faults.copy()
            page.faults.clear()
    assert found == {}


@pytest.mark.parametrize("name", ["index", "explorers", "notebooks/14_scorecard"])
def test_a_page_can_be_read_by_everybody(site, visit, name):
    page = visit((site / f"{name}.html").as_uri())
    page.wait_for_function("[...document.querySelectorAll('.explorer')].every(box => box.children.length)")
    assert serious_violations(page) == {}


def test_the_pages_hold_what_the_notebooks_hold(site):
    for path in NOTEBOOKS.glob("*.ipynb"):
        cells = nbformat.read(path, as_version=4).cells
        outputs = [o for cell in cells for o in cell.get("outputs", [])]
        prose = "".join(cell.source for cell in cells if cell.cell_type == "markdown")
        pictures = [o for o in outputs if "image/png" in o.get("data", {})]
        text = (site / "notebooks" / f"{path.stem}.html").read_text()
        described = re.findall(r'<img class="figure" [^>]*alt="([^"]*)"', text)
        assert len(described) == len(pictures) and min(map(len, described)) >= 40, path.stem
        assert "$$" not in text and ("<math" in text) == ("$" in prose)


def test_a_figure_leads_to_its_data_and_the_list_of_figures_to_its_notebook(site, visit):
    page = visit((site / "figures.html").as_uri(), LAPTOP)
    page.get_by_role("link", name="Figure 4.1", exact=True).click()
    assert "/04_conditioning.html#figure-04-dark-knowledge" in page.url
    data = page.locator("#figure-04-dark-knowledge ~ p a", has_text="data (CSV)").first.get_attribute("href")
    file = site / "notebooks" / data
    assert file.read_bytes() == (figures_root() / "04_dark_knowledge.csv").read_bytes()


def test_a_mention_of_an_equation_leads_to_it(site, visit):
    page = visit((site / "notebooks" / "03_adapting_the_unet_with_lora.html").as_uri(), LAPTOP)
    page.get_by_role("link", name="Eq. 12", exact=True).first.click()
    assert page.url.endswith("/04_conditioning.html#eq-12")
    assert "(Eq. 12)" in " ".join(page.locator(".equation:has(#eq-12)").text_content().split())


def test_an_equation_that_cannot_be_shown_is_refused():
    pytest.importorskip("latex2mathml", reason="the book's packages are not installed: pip install -e '.[book]'")
    from dcac_lite.site.conf import mathml

    tags = re.findall(r"<(\w+)", mathml(r"\bar\alpha_t", "inline"))
    assert [tag for tag in tags if tag in ("msub", "mover")] == ["msub", "mover"]  # the subscript is the whole's
    with pytest.raises(ValueError, match=r"\\nonsense of the equation a \\nonsense b cannot be shown"):
        mathml(r"a \nonsense b", "inline")


def test_only_prose_is_made_to_refer():
    known = set()
    text = introduce("See\n\n$$a = b \\qquad\\text{(Eq. 7)}$$\n\nso Eq. 7, `Eq. 7` and Eq. 8.", known)
    assert known == {"7"} and "\n\n(eq-7)=\n\n$$a = b" in text
    assert refer(text, known).endswith("so [Eq. 7](#eq-7), `Eq. 7` and Eq. 8.")
    assert refer(text, known).count("](#eq-7)") == 1


def test_a_word_of_the_glossary_leads_there_and_from_there_to_where_it_is_introduced(site, visit):
    page = visit((site / "notebooks" / "02_baseline_reid.html").as_uri(), LAPTOP)
    page.locator("article a", has_text=re.compile("^prototypes?$")).first.click()
    assert page.url.endswith("/GLOSSARY.html#prototype")
    page.locator("#prototype").get_by_role("link", name="Notebook 02").click()
    assert page.url.endswith("/02_baseline_reid.html#the-memory-of-prototypes-eq-6-and-7")


def test_only_the_first_mention_in_prose_leads_to_the_glossary():
    words, known = words_of("# Glossary\n\n## query\n\nx\n\n## AP\n\n## U-Net\n"), set()
    text = "## Queries\n\n`query` for **queries**, a query, ap and mAP of a U-Net-like [query](x)"
    explained = explain(text, words, "G.md", known)
    assert explained == text.replace("**queries**", "**[queries](G.md#query)**") and known == {"query"}
    assert explain("Two APs", words, "G.md", known) == "Two [APs](G.md#ap)"


def test_the_first_page_is_the_scorecard(site, visit):
    page = visit((site / "index.html").as_uri(), LAPTOP)
    card = pd.read_csv(figures_root() / "14_scorecard.csv")
    reproduced = (card["same_test_as"].isna() & (card["verdict"] == "reproduced")).sum()
    assert f"{reproduced} reproduced" in page.get_by_role("listitem").all_inner_texts()
    page.get_by_role("link", name="notebook 14").first.click()
    assert page.get_by_role("heading", level=1).inner_text().startswith("14 The scorecard")


@pytest.mark.parametrize("name", ["Noise", "Retrieval", "Temperature", "Condition", "Cards"])
def test_an_explorer_moves_by_keyboard_and_says_so(site, visit, name):
    page = visit((site / "explorers.html").as_uri())
    box = page.get_by_role("group", name=f"{name} explorer")
    slider, said = box.get_by_role("slider").first, box.get_by_role("status")
    slider.wait_for()
    before, at = box.locator(".pictures").inner_html(), slider.get_attribute("aria-valuetext")
    assert said.inner_text() == ""
    slider.focus()
    assert slider.evaluate("slider => getComputedStyle(slider).outlineStyle") == "solid"  # one sees where one is
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    assert slider.get_attribute("aria-valuetext") != at and box.locator(".pictures").inner_html() != before
    assert said.text_content() == box.locator("p").first.text_content()
    assert slider.evaluate("slider => slider.labels[0].textContent") in (
        "timestep t",
        "temperature tau_c",
        "query, worst first",
        "direction 1",
    )
    for select in box.get_by_role("combobox").all():
        heard, shown = said.text_content(), box.locator(".pictures").inner_html()
        select.select_option(index=1)
        assert (said.text_content(), box.locator(".pictures").inner_html()) != (heard, shown)
    assert not page.faults


def test_moving_tau_c_on_a_phone_changes_the_bars(site, visit):
    page = visit((site / "notebooks" / "04_conditioning.html").as_uri(), has_touch=True)
    box = page.get_by_role("group", name="Temperature explorer")
    widths = []
    for end in ("Home", "End"):
        box.get_by_role("slider").focus()
        page.keyboard.press(end)
        widths.append(
            box.locator("figcaption div div").evaluate_all("bars => bars.map(bar => parseFloat(bar.style.width))")
        )
    cold, hot = widths
    assert cold == [70, 1, 1, 1, 1] and max(hot) - min(hot) <= 1  # all on one; as good as even
    picture = box.locator("img").first
    assert picture.evaluate("image => image.complete && image.naturalWidth") == 32


def test_probabilities_among_five_are_those_that_were_published():
    table = pd.read_csv(figures_root() / "04_dark_knowledge.csv")
    for _, part in table.groupby("picture"):
        known = part["p at tau_c 0.3"].to_numpy()
        assert among(part["p at tau_c 1.2"].to_numpy(), 1.2, 0.3) == pytest.approx(known / known.sum(), rel=1e-3)


def test_an_explorer_is_a_few_hundred_kilobytes_and_names_every_state(site):
    for file in (site / "_static" / "explorers").glob("*.js"):
        assert file.stat().st_size < 500_000, file.name
        packed = json.loads(gzip.decompress(base64.b64decode(file.read_text().split('"')[3])))
        assert len(packed["states"]) == np.prod([len(c["options"]) for c in packed["controls"]])


def test_a_printed_book_keeps_its_links_and_has_a_bookmark_for_each_page(tmp_path):
    pypdf = pytest.importorskip("pypdf", reason="the book's packages are not installed: pip install -e '.[book]'")
    if not any(map(shutil.which, BROWSERS)):
        pytest.skip("no browser is installed: apt-get install chromium")
    one, other, out = tmp_path / "one.html", tmp_path / "other.html", tmp_path / "book.pdf"
    one.write_text('<h1>First</h1><a href="other.html#x">on</a> <a href="elsewhere.html">gone</a>' + "<p>x</p>" * 99)
    other.write_text('<h1 id="x">Second</h1><a href="https://example.org/">out</a>')
    print_pages([("First", one), ("Second", other)], out)
    book = pypdf.PdfReader(out)
    links = [link.get_object() for page in book.pages for link in page.get("/Annots", [])]
    assert [mark.title for mark in book.outline] == ["First", "Second"] and "Second" in book.pages[-1].extract_text()
    assert len(links) == 2 and len(book.pages) > 2
    assert links[0]["/Dest"][0].get_object() == book.pages[-1].get_object()
    assert links[1]["/A"]["/URI"] == "https://example.org/"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["book.pdf", "one.html", "other.html"]


def test_on_paper_there_is_nothing_to_click_and_nothing_to_scroll(site, visit):
    page = visit((site / "notebooks" / "04_conditioning.html").as_uri(), LAPTOP)
    clicked = page.locator(".explorer, .skip-to-content, details.hide:not([open]), .toc-drawer")
    assert clicked.count() > 5
    page.emulate_media(media="print")
    page.set_viewport_size({"width": 700, "height": 1000})  # a sheet of A4
    assert not any(box.is_visible() for box in clicked.all())
    wide = "boxes => boxes.filter(box => box.offsetWidth && box.scrollWidth > box.clientWidth + 1).length"
    assert page.locator("article pre").evaluate_all(wide) == 0
    tall = page.locator("article img").evaluate_all("images => Math.max(...images.map(image => image.offsetHeight))")
    assert tall < 1000


def test_intervals_stay_on_a_line_and_a_drawing_that_nobody_draws_is_folded():
    together = unbroken("| paper's λ, τ_c | 63.82 [63.22, 64.43] n=8 | -0.20 [-0.47, +0.06], 8 pairs, 3 seeds |")
    assert re.findall(r" ([^ ]+) ", together)[0] == "paper's\N{NO-BREAK SPACE}λ,\N{NO-BREAK SPACE}τ_c"
    assert [part.replace("\N{NO-BREAK SPACE}", " ") for part in together.split(" ")][3:] == [
        "63.82 [63.22, 64.43] n=8", "|", "-0.20 [-0.47, +0.06],", "8", "pairs,", "3", "seeds", "|"]  # fmt: skip
    text = folded("Before.\n\n```mermaid\nflowchart LR\n```\n\nAfter.")
    assert re.search("<details>.*```mermaid.*```.*</details>\n\nAfter", text, re.DOTALL)


def test_without_a_browser_nothing_is_begun(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SystemExit, match="2"):
        main(["book", str(tmp_path / "site"), "--pdf", str(tmp_path / "book.pdf")])
    assert list(tmp_path.iterdir()) == []


def test_search_finds_prototype(site, visit):
    page = visit((site / "index.html").as_uri(), LAPTOP)
    page.get_by_role("textbox", name="Search").fill("prototype")
    page.keyboard.press("Enter")
    page.locator("#search-results li a", has_text="02 The baseline Re-ID model").first.wait_for()
    assert not page.faults


def test_links_that_lead_nowhere_and_assets_from_elsewhere_are_found(tmp_path):
    (tmp_path / "a.html").write_text(
        '<a href="b.html#there">x</a><a href="#top">x</a><a href="https://example.org">x</a><p id="top"></p>'
        '<a href="b.html#nowhere">x</a><a href="c.html">x</a><img src="no.png"><script src="https://cdn.example/x.js">'
    )
    (tmp_path / "b.html").write_text('<h2 id="there">x</h2><img src="data:image/png;base64,AA">')
    assert problems(tmp_path) == [
        "a.html leads to b.html#nowhere, but that page has no such place",
        "a.html leads to c.html, which is not there",
        "a.html leads to no.png, which is not there",
        "a.html loads https://cdn.example/x.js, which is not part of the site",
    ]


def test_a_broken_link_in_a_notebook_fails_the_build_and_leaves_nothing(tmp_path, monkeypatch):
    pytest.importorskip("myst_nb", reason="the book's packages are not installed: pip install -e '.[book]'")
    cell = nbformat.v4.new_markdown_cell("# 14 One page\n\n[nowhere](15_no_such_notebook.ipynb)")
    monkeypatch.setattr("dcac_lite.site.pages.NOTEBOOKS", tmp_path / "notebooks")
    (tmp_path / "notebooks").mkdir()
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), tmp_path / "notebooks" / "14_scorecard.ipynb")
    monkeypatch.setattr(
        "dcac_lite.site.pages.first_page", lambda *_: "# First\n\n```{toctree}\nnotebooks/14_scorecard\n```"
    )
    monkeypatch.setattr("dcac_lite.site.pages.list_of_figures", lambda *_: "# Figures")
    monkeypatch.setattr("dcac_lite.site.explorers.write_explorers", lambda folder, tier: folder.mkdir(parents=True))
    with pytest.raises(ValueError, match="15_no_such_notebook"):
        build(tmp_path / "site", "smoke")
    assert [p.name for p in tmp_path.iterdir()] == ["notebooks"]


def test_a_folder_of_something_else_is_not_replaced(tmp_path):
    (tmp_path / "thesis.tex").write_text("ten years")
    with pytest.raises(ValueError, match="holds something other than a book; name a folder that is new or empty"):
        build(tmp_path, "smoke")
    assert (tmp_path / "thesis.tex").exists() and CLONE.exists()
