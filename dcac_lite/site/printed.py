"""The book as one PDF: a browser prints its pages, in reading order, and links between them stay links."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urldefrag

from ..paths import replacing

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
MINUTES = 5  # for a page


def browser() -> str:
    """A Chromium or Chrome of the system. Raises ValueError where there is none."""
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        raise ValueError(f"there is no browser to print with ({', '.join(BROWSERS)}); apt-get install chromium.")
    return found


def print_pages(pages: Sequence[tuple[str, Path]], out: Path) -> None:
    """Print HTML files, (title, file) in order, into the PDF `out`, A4, with a bookmark for each. What links to the
    file of another page leads to its first leaf; a link to any other file is none any more.

    Raises ValueError where there is no browser, pypdf is missing, or a page could not be printed."""
    try:
        from pypdf import PdfReader, PdfWriter
        from pypdf.annotations import Link
        from pypdf.generic import ArrayObject, NameObject
    except ModuleNotFoundError:
        raise ValueError("pypdf is not installed: pip install 'dcac-lite[book]'.") from None
    command = [browser(), "--headless", "--disable-gpu", "--no-pdf-header-footer"]
    command += ["--no-sandbox"] if os.geteuid() == 0 else []
    writer, first = PdfWriter(), {}
    with tempfile.TemporaryDirectory() as name:
        for k, (title, page) in enumerate(pages):
            sheet = Path(name) / f"{k}.pdf"
            own = [f"--user-data-dir={name}/profile", f"--print-to-pdf={sheet}", page.as_uri()]
            done = subprocess.run(command + own, capture_output=True, text=True, timeout=60 * MINUTES)
            if not sheet.exists():
                raise ValueError(f"{page} could not be printed: {(done.stderr.strip() or 'no message')[-300:]}")
            first[page.as_uri()] = len(writer.pages)
            writer.append(PdfReader(sheet), outline_item=title)
        for number, leaf in enumerate(writer.pages):
            kept, inside = [], []
            for annotation in leaf.get("/Annots", []):
                found = annotation.get_object()
                address = str(found.get("/A", {}).get("/URI", ""))
                if not address.startswith("file:"):
                    kept.append(annotation)
                elif (target := first.get(urldefrag(address)[0])) is not None:
                    inside.append(Link(rect=found["/Rect"], target_page_index=target))
            leaf[NameObject("/Annots")] = ArrayObject(kept)
            for link in inside:
                writer.add_annotation(number, link)
        with replacing(out) as temporary, open(temporary, "wb") as file:
            writer.write(file)
