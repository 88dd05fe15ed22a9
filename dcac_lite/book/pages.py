"""Pictures with captions as HTML, for what is drawn again at every move of a slider."""

import base64
import html
import io
from functools import lru_cache

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
