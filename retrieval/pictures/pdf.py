"""Draws pages of a PDF, and finds where on them a text stands. Runs in the jail."""

import io
import math
from collections.abc import Mapping, Sequence
from typing import Any

import pypdfium2
import pypdfium2.raw as pdfium

from retrieval.errors import CorruptFileError, EncryptedFileError, ExtractionError
from retrieval.pictures.characters import boxes_of

# Points of one picture: a page of A4 at 1,800 has five million.
MAX_POINTS = 12_000_000
# WebP has no more than 16,383.
MAX_SIDE = 12_000
QUALITY = 82
Answer = dict[str, Any]


def sizes(data: bytes) -> Answer:
    """Width and height of every page in points (1/72 inch), as it is turned: {"sizes": [[w, h], …]}."""
    try:
        document = _opened(data)
    except ExtractionError as error:
        return _failed(error)
    return {"sizes": [[round(side, 2) for side in document.get_page_size(at)] for at in range(len(document))]}


def page(data: bytes, *, number: int, width: int) -> bytes | Answer:
    """Page `number` (counted from 1) as WebP, `width` points wide, or less where it would be too large."""
    try:
        document = _opened(data)
        document.init_forms()
        return _drawn(_page(document, number), width)
    except ExtractionError as error:
        return _failed(error)


def marks(data: bytes, *, spans: Sequence[Mapping[str, Any]]) -> Answer:
    """Where each span stands: {"pages": [{"page": n, "boxes": [[x, y, width, height], …]}, …]}.

    A span is {"page": n, "text": what was read of the page, "start": …, "end": …}. Boxes are shares of the page's
    width and height, one for each line; none where the page does not have these characters.
    """
    try:
        document = _opened(data)
        return {"pages": [{"page": span["page"], "boxes": _marked(document, span)} for span in spans]}
    except ExtractionError as error:
        return _failed(error)


def _failed(error: ExtractionError) -> Answer:
    return {"failed": {"code": error.code, "message": error.message}}


def _opened(data: bytes) -> pypdfium2.PdfDocument:
    try:
        return pypdfium2.PdfDocument(data)
    except pypdfium2.PdfiumError as error:
        if error.err_code in {pdfium.FPDF_ERR_PASSWORD, pdfium.FPDF_ERR_SECURITY}:
            raise EncryptedFileError("This PDF needs a password to be opened.") from error
        raise CorruptFileError("This PDF is damaged or incomplete and cannot be opened.") from error


def _page(document: pypdfium2.PdfDocument, number: int) -> pypdfium2.PdfPage:
    if not 1 <= number <= len(document):
        raise CorruptFileError(f"This PDF has {len(document):,} pages.")
    try:
        return document[number - 1]
    except pypdfium2.PdfiumError as error:
        raise CorruptFileError(f"Page {number} of this PDF is damaged and cannot be shown.") from error


def _drawn(shown: pypdfium2.PdfPage, width: int) -> bytes:
    across, down = shown.get_size()
    if across <= 0 or down <= 0:
        raise CorruptFileError("This page has no size and cannot be shown.")
    scale = min(width / across, MAX_SIDE / max(across, down), math.sqrt(MAX_POINTS / (across * down)))
    picture = shown.render(scale=scale).to_pil().convert("RGB")
    written = io.BytesIO()
    picture.save(written, "WEBP", quality=QUALITY, method=2)
    return written.getvalue()


def _marked(document: pypdfium2.PdfDocument, span: Mapping[str, Any]) -> list[list[float]]:
    found = boxes_of(_page(document, span["page"]), span["text"], span["start"], span["end"])
    return [[round(value, 5) for value in box] for box in found]
