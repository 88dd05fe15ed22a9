"""Pictures with captions as HTML, for what is drawn again at every move of a slider, and what makes widgets usable
with a keyboard and a screen reader."""

import base64
import html
import io
import re
from collections.abc import Iterable
from functools import lru_cache

import ipywidgets as widgets
import numpy as np
from PIL import Image


@lru_cache(maxsize=512)
def _encoded(pixels: bytes, shape: tuple[int, int, int]) -> str:
    file = io.BytesIO()
    Image.fromarray(np.frombuffer(pixels, np.uint8).reshape(shape)).save(file, format="PNG", compress_level=1)
    return base64.b64encode(file.getvalue()).decode()


def image_html(image, caption: str, alt: str, frame: str = "3px solid transparent", width: int = 72) -> str:
    """An `img` of a uint8 image [3, H, W] with a caption below."""
    image = np.ascontiguousarray(np.asarray(image).transpose(1, 2, 0))
    source = _encoded(image.tobytes(), image.shape)
    return (
        f'<figure style="margin:4px;text-align:center;font-size:14px;line-height:1.3">'
        f'<img src="data:image/png;base64,{source}" alt="{html.escape(alt)}" '
        f'style="width:{width}px;height:auto;border:{frame};image-rendering:pixelated">'
        f"<figcaption>{caption}</figcaption></figure>"
    )


def page_html(sentence: str, *blocks: str) -> str:
    """A sentence, which may hold HTML, above rows of what `image_html` gives."""
    row = "display:flex;flex-wrap:wrap;align-items:flex-start"
    return f'<p style="font-size:14px;line-height:1.4">{sentence}</p>' + "".join(
        f'<div style="{row}">{b}</div>' for b in blocks
    )


_STYLE = """
.dcac-explorer .noUi-handle:focus, .dcac-explorer select:focus-visible, .dcac-explorer input:focus-visible,
.dcac-explorer button:focus-visible { outline: 3px solid #0072B2 !important; outline-offset: 2px; }
.dcac-explorer .dcac-hidden { position: absolute; width: 1px; height: 1px; margin: 0; overflow: hidden;
  clip-path: inset(50%); white-space: nowrap; }
.dcac-explorer figure { max-width: 100%; }
"""
# ipywidgets 8.1 gives a slider's handle no name, and as its text the position on the scale (an index, a logarithm);
# and none of its boxes can be a live region. So this stands in the page, once for each explorer, and follows it.
_FOLLOW = """
const start = (image) => {
  const box = image.closest('.dcac-explorer');
  if (!box) return setTimeout(start, 100, image);
  const put = (element, name, value) => {
    if (element && element.getAttribute(name) !== value) element.setAttribute(name, value);
  };
  const follow = () => {
    for (const slider of box.querySelectorAll('.widget-slider')) {
      const handle = slider.querySelector('.noUi-handle');
      put(handle, 'aria-label', slider.querySelector('.widget-label').textContent);
      put(handle, 'aria-valuetext', slider.querySelector('.widget-readout').textContent);
    }
    put(box, 'role', 'group');
    put(box, 'aria-label', image.dataset.name);
    for (const said of box.querySelectorAll('.dcac-said .widget-html-content')) put(said, 'role', 'status');
  };
  new MutationObserver(follow).observe(
    box, {subtree: true, childList: true, characterData: true, attributes: true, attributeFilter: ['aria-valuetext']});
  follow();
};
start(this)"""
_NOTHING = "data:image/gif;base64,R0lGODlhAQABAAAAACwAAAAAAQABAAA="


def helper(name: str) -> widgets.HTML:
    """What a box of class dcac-explorer needs inside itself: `name` as its name, its sliders' names and the values they
    read out, a ring about what has the focus, and live regions out of the widgets of class dcac-said."""
    script = html.escape(" ".join(_FOLLOW.split()))
    picture = f'<img src="{_NOTHING}" alt="" width="1" height="1" data-name="{html.escape(name)}" onload="{script}">'
    made = widgets.HTML(f"<style>{_STYLE}</style>{picture}")
    made.add_class("dcac-hidden")
    return made


def spoken(sentences: Iterable[str]) -> str:
    """Sentences without their HTML, for a live region."""
    return " ".join(re.sub(r"<[^>]+>", "", sentence) for sentence in sentences)
