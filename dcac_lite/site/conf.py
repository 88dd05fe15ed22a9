"""What Sphinx is told: the settings of the site, and how an equation becomes MathML."""

import re

from docutils import nodes
from latex2mathml.converter import convert
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


def mathml(equation: str, display: str) -> str:
    """An equation in LaTeX as MathML, which browsers draw and screen readers speak without any script. display: inline
    or block. Raises ValueError naming a command that cannot be converted, so that no page shows a broken equation."""
    made = convert(equation, display=display)
    if unknown := re.search(r"\\[A-Za-z]+", made):
        raise ValueError(f"{unknown[0]} of the equation {equation.strip()} cannot be shown; write it in other words.")
    return made


def _inline(translator, node) -> None:
    translator.body.append(mathml(node.astext(), "inline"))
    raise nodes.SkipNode


def _block(translator, node) -> None:
    places = "".join(f'<span id="{name}"></span>' for name in node["ids"])
    translator.body.append(f'<div class="equation">{places}{mathml(node.astext(), "block")}</div>')
    raise nodes.SkipNode


def _level_of_captions(app, page, template, context, doctree) -> None:
    # Sphinx makes headings of the captions in the navigation, but says not of which level
    tree = context.get("furo_navigation_tree", "")
    context["furo_navigation_tree"] = tree.replace('role="heading"', 'role="heading" aria-level="2"')


def setup(app) -> None:
    app.connect("html-page-context", _level_of_captions, priority=900)  # after furo has made the navigation
    app.add_lexer("mermaid", TextLexer)  # ARCHITECTURE's drawing, which only GitHub draws
    app.add_html_math_renderer("mathml", (_inline, None), (_block, None))
