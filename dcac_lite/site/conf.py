"""What Sphinx is told: the settings of the site, and how an equation becomes MathML."""

import re

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml
from pygments.lexers.special import TextLexer

project = "dcac-lite"
extensions = ["myst_nb"]
exclude_patterns = ["figures/paper"]  # files to take along, no pages
nb_execution_mode = "off"
nb_render_markdown_format = "myst"
nb_code_prompt_show, nb_code_prompt_hide = "Show the code that sets up or draws", "Hide the code"
myst_enable_extensions = ["dollarmath", "amsmath"]
myst_heading_anchors = 4
html_theme = "furo"
html_title = "dcac-lite: the book"
html_math_renderer = "mathml"
html_css_files, html_js_files = ["site.css"], [("site.js", {"defer": "defer"})]
html_show_search_summary = False  # for which the search would fetch pages, what browsers refuse on file://
html_copy_source = html_show_copyright = False
# colours with a contrast of at least 7 to 1 (WCAG AAA)
pygments_style, pygments_dark_style = "a11y-high-contrast-light", "a11y-high-contrast-dark"

# what the converter of docutils does not know, in words that it knows
_SPELLINGS = {r"\\dots(?![a-z])": r"\\ldots", r"\\([bB]ig)(?=[()\[\]|\\])": r"\\\1l"}


def mathml(equation: str, block: bool) -> str:
    """An equation in LaTeX as MathML, which browsers draw and screen readers speak without any script. Raises
    docutils' MathError for what cannot be converted, so that no page shows a broken equation."""
    for words, known in _SPELLINGS.items():
        equation = re.sub(words, known, equation)
    return tex2mathml(equation, as_block=block)


def _inline(translator, node) -> None:
    translator.body.append(mathml(node.astext(), block=False))
    raise nodes.SkipNode


def _block(translator, node) -> None:
    places = "".join(f'<span id="{name}"></span>' for name in node["ids"])
    translator.body.append(f'<div class="equation">{places}{mathml(node.astext(), block=True)}</div>')
    raise nodes.SkipNode


def _level_of_captions(app, page, template, context, doctree) -> None:
    # Sphinx makes headings of the captions in the navigation, but says not of which level
    tree = context.get("furo_navigation_tree", "")
    context["furo_navigation_tree"] = tree.replace('role="heading"', 'role="heading" aria-level="2"')


def setup(app) -> None:
    app.connect("html-page-context", _level_of_captions, priority=900)  # after furo has made the navigation
    app.add_lexer("mermaid", TextLexer)  # ARCHITECTURE's drawing, which only GitHub draws
    app.add_html_math_renderer("mathml", (_inline, None), (_block, None))
