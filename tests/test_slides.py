"""The slides of a lecture, in a browser that may ask for files only: nothing is cut off, every figure is there, a
speaker has notes, and what is told comes from the notebook."""

import nbformat
import pytest
from test_browser import SECONDS

from dcac_lite.__main__ import main
from dcac_lite.site.slides import SIZE, deck
from dcac_lite.tools.reproduce import NOTEBOOKS
from dcac_lite.workshop.exercises import PREDICTIONS

LECTURES = [path for number in range(6) for path in NOTEBOOKS.glob(f"0{number}_*.ipynb")]
# MyST-NB 1.4 uses what Sphinx 11 will no longer have
pytestmark = pytest.mark.filterwarnings("ignore:.*Check CHANGES for Sphinx API modifications")


@pytest.fixture(scope="module")
def decks(tmp_path_factory):
    for name in ("myst_nb", "sphinx_revealjs"):
        pytest.importorskip(name, reason="the book's packages are not installed: pip install -e '.[book]'")
    out = tmp_path_factory.mktemp("lecture") / "slides"
    assert not main(["workshop", str(out), "--for", "slides"])
    assert [path.name for path in out.parent.iterdir()] == ["slides"]
    return out


@pytest.fixture
def show(browser):
    """Opens a deck; `page.faults` are errors in its console and requests that are no files."""
    pages = []

    def go(file):
        page = browser.new_page(viewport=SIZE)
        pages.append(page)
        page.set_default_timeout(1000 * SECONDS)
        page.faults = []
        page.on("pageerror", lambda error: page.faults.append(str(error)))
        page.on("console", lambda said: page.faults.append(said.text) if said.type == "error" else None)
        page.on("requestfailed", lambda asked: page.faults.append(asked.url))
        page.on("request", lambda asked: page.faults.append(asked.url) if remote(asked.url) else None)
        page.goto(file.as_uri())
        page.wait_for_function("window.Reveal && Reveal.isReady()")
        return page

    yield go
    for page in pages:
        page.close()


def remote(address: str) -> bool:
    return not address.startswith(("file:", "data:", "blob:"))


def every_slide(page):
    """Turns to each slide, with all that a click reveals; yields its title, the place of its lowest and rightmost
    visible thing, and the widths of its pictures."""
    for _ in range(page.evaluate("Reveal.getTotalSlides()")):
        while page.evaluate("Reveal.nextFragment()"):
            pass
        yield page.evaluate(
            """() => {
                const slide = Reveal.getCurrentSlide();
                const seen = [...slide.querySelectorAll(":not(aside, aside *)")].map((e) => e.getBoundingClientRect());
                return [slide.querySelector("h1, h2").textContent, Math.max(...seen.map((box) => box.bottom)),
                        Math.max(...seen.map((box) => box.right)),
                        [...slide.querySelectorAll("img")].map((image) => image.naturalWidth && image.alt.length)];
            }"""
        )
        page.evaluate("Reveal.next()")


@pytest.mark.parametrize("path", LECTURES, ids=lambda path: path.stem)
def test_a_deck_needs_nothing_from_elsewhere_and_cuts_nothing_off(decks, show, path):
    page = show(decks / f"{path.stem}.html")
    slides = list(every_slide(page))
    assert 12 <= len(slides) <= 20 and page.faults == []
    cut = [title for title, low, right, _ in slides if low > SIZE["height"] or right > SIZE["width"]]
    assert cut == [] and all(title.strip() for title, *_ in slides)
    tagged = [cell for cell in nbformat.read(path, as_version=4).cells if "slideshow" in cell.metadata]
    drawn = [cell for cell in tagged if any("image/png" in o.get("data", {}) for o in cell.get("outputs", []))]
    pictures = [described for *_, images in slides for described in images]
    assert len(pictures) == len(drawn) >= 3 and min(pictures) >= 40


def test_the_index_leads_to_every_deck(decks, show):
    page = show(decks / "index.html")
    assert len(LECTURES) == page.locator("section a").count() == 6
    page.get_by_role("link", name="04 Conditioning").click()
    page.wait_for_url("**/04_conditioning.html*")


def test_a_prediction_is_asked_before_and_answered_at_a_click(decks, show):
    page = show(decks / "02_baseline_reid.html")
    asked = page.locator("section:has(> h2:text('What does a classifier pay'))").last
    answer = asked.locator(".fragment")
    while "present" not in (asked.get_attribute("class") or ""):
        page.evaluate("Reveal.next()")
    assert [li.split(" ", 1)[1] for li in asked.locator("li").all_text_contents()] == ["0", "0.7", "ln 150", "150"]
    assert not answer.is_visible()
    page.keyboard.press("ArrowRight")
    told = answer.text_content().replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")
    assert answer.is_visible() and PREDICTIONS["02.first-loss"].why in told


def test_what_is_on_no_slide_is_in_the_speaker_s_notes():
    (path,) = NOTEBOOKS.glob("02_*.ipynb")
    slides = deck(path).split("\n## ")
    words = "Go down any column: the jacket and trousers stay"
    (with_it,) = [slide for slide in slides if words in slide]
    shown, notes = with_it.split('<aside class="notes">')
    assert shown.startswith("A batch: 16 identities") and words in notes and words not in shown


def test_a_notebook_without_tags_makes_no_deck(tmp_path):
    cells = [nbformat.v4.new_markdown_cell("# 99 Plain"), nbformat.v4.new_markdown_cell("words")]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "99_plain.ipynb")
    assert deck(tmp_path / "99_plain.ipynb") == ""
