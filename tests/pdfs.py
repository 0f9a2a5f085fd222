"""PDFs and pictures for tests, made here so that it is known what is where on them."""

import io
from collections.abc import Sequence
from typing import Any

from PIL import Image
from reportlab.lib.colors import black, red
from reportlab.pdfgen.canvas import Canvas

A4 = (595.28, 841.89)
# A run of words; those that are to be found are drawn in red.
Run = tuple[str, bool]


def pdf(pages: Sequence[Sequence[Sequence[Run]]], *, size: tuple[float, float] = A4, turned: int = 0) -> bytes:
    """A PDF of pages of lines of runs, 14 points high, from the upper left corner of each page as it is stored."""
    written = io.BytesIO()
    canvas = Canvas(written, pagesize=size, invariant=True)
    for lines in pages:
        for row, line in enumerate(lines):
            across = 60.0
            for words, marked in line:
                canvas.setFont("Helvetica", 14)
                canvas.setFillColor(red if marked else black)
                canvas.drawString(across, size[1] - 80 - 24 * row, words)
                across += canvas.stringWidth(words, "Helvetica", 14)
        canvas.showPage()
    canvas.save()
    content = written.getvalue()
    # as scanners turn pages: the page's own entry, which the writer would make up for
    return content.replace(b"/Rotate 0", f"/Rotate {turned}".encode()) if turned else content


def plain_pdf(*texts: str) -> bytes:
    """A PDF with one page for each text."""
    return pdf([[[(line, False)] for line in text.split("\n")] for text in texts])


def picture(
    kind: str = "PNG",
    *,
    colour: str | tuple[int, ...] = (200, 30, 40),
    size: tuple[int, int] = (60, 40),
    **options: Any,
) -> bytes:
    """A picture of one colour."""
    written = io.BytesIO()
    mode = "RGBA" if isinstance(colour, tuple) and len(colour) == 4 else "RGB"
    Image.new(mode, size, colour).save(written, kind, **options)
    return written.getvalue()


def opened(content: bytes) -> Image.Image:
    """The picture, decoded."""
    image = Image.open(io.BytesIO(content))
    image.load()
    return image


def is_near(seen: Any, wanted: tuple[int, ...], by: int = 12) -> bool:
    """Whether a colour is that one but for what compressing makes of it."""
    return all(abs(one - other) <= by for one, other in zip(seen, wanted, strict=True))
