"""Reads PDF page by page (pypdfium2): exact page spans, and the outline as headings."""

import itertools
import math
from collections.abc import Iterator
from typing import NamedTuple

import pypdfium2
import pypdfium2.raw as pdfium

from core.jail.progress import report
from retrieval.errors import CorruptFileError, EncryptedFileError, TooManyPagesError
from retrieval.extraction.builder import MAX_HEADINGS, Bounds, TextBuilder, one_line
from retrieval.extraction.ocr import NOT_HERE, PAGE_PIXELS, Ocr
from retrieval.extraction.result import Extraction

EXTRACTOR = f"pypdfium2 {pypdfium2.version.PYPDFIUM_INFO.version}"

NO_TEXT = f"No text was found in this PDF: its pages are pictures, and {NOT_HERE}"
TOO_SLOW = "The pages of this PDF are pictures, and reading all of them would take too long."
NOTHING_READ = "No text was found in this PDF: its pages are empty or pictures without words."
# A page with more text than a stamp or a page number is read by its text alone.
FEW_CHARS = 40
# Of a page, covered by pictures: then it is one.
COVERED_SHARE = 0.3
FORM_DEPTH = 3
MAX_OBJECTS = 10_000
RESOLUTION = 300
# pdfium's marks for a hyphen at the end of a line
_HYPHENS = str.maketrans({"\ufffe": "-", "\x02": "-"})


class _Entry(NamedTuple):
    page: int
    level: int
    title: str


def read(data: bytes, *, mime: str, bounds: Bounds) -> Extraction:
    document = _open(data)
    try:
        return _read(document, mime, bounds)
    finally:
        document.close()


def _open(data: bytes) -> pypdfium2.PdfDocument:
    try:
        return pypdfium2.PdfDocument(data)
    except pypdfium2.PdfiumError as error:
        if error.err_code in {pdfium.FPDF_ERR_PASSWORD, pdfium.FPDF_ERR_SECURITY}:
            raise EncryptedFileError("This PDF needs a password to be opened.") from error
        raise CorruptFileError("This PDF is damaged or incomplete and cannot be opened.") from error


def _read(document: pypdfium2.PdfDocument, mime: str, bounds: Bounds) -> Extraction:
    if len(document) > bounds.max_pages:
        raise TooManyPagesError(f"This PDF has {len(document):,} pages; at most {bounds.max_pages:,} are read.")
    builder = TextBuilder(bounds, title=document.get_metadata_dict().get("Title", ""))
    left_out: list[int] = []
    entries: dict[int, list[_Entry]] = {}
    for entry in _outline(document):
        entries.setdefault(entry.page, []).append(entry)
    for number in range(len(document)):
        builder.begin_page()
        content = _page(document, number, bounds.ocr)
        if content is None:
            builder.warn(f"Page {number + 1} is damaged and was left out.")
        else:
            offset = builder.block(content.text)
            _mark_headings(builder, entries.get(number, []), content.text, offset)
            left_out += [number + 1] if content.is_unread else []
        builder.end_page()
        report(number + 1, len(document))
    builder.pictures = len(left_out)
    if left_out and bounds.ocr is not None:
        builder.warn(f"{TOO_SLOW} Pages {left_out[0]:,} to {left_out[-1]:,} were not all read.")
    return _finished(builder, mime, bounds.ocr)


def _finished(builder: TextBuilder, mime: str, ocr: Ocr | None) -> Extraction:
    if ocr is None:
        no_text = NO_TEXT if builder.pictures else NOTHING_READ
        return builder.finish(mime=mime, extractor=EXTRACTOR, no_text=no_text, retryable=builder.pictures > 0)
    no_text = TOO_SLOW if builder.pictures else NOTHING_READ
    return builder.finish(mime=mime, extractor=f"{EXTRACTOR}, tesseract", no_text=no_text)


class _Page(NamedTuple):
    text: str
    is_unread: bool = False
    """It is a picture, and nothing was there to read it or no time left."""


def _page(document: pypdfium2.PdfDocument, number: int, ocr: Ocr | None) -> _Page | None:
    try:
        page = document[number]
    except pypdfium2.PdfiumError:
        return None
    try:
        text = _text(page)
        if len(text.strip()) > FEW_CHARS or not _is_picture(page, blank=not text.strip()):
            return _Page(text)
        if ocr is None or ocr.is_over:
            return _Page(text, is_unread=True)
        return _Page(_seen(page, ocr) or text)
    finally:
        page.close()


def _text(page: pypdfium2.PdfPage) -> str:
    textpage = page.get_textpage()
    try:
        text: str = textpage.get_text_bounded()
    finally:
        textpage.close()
    return text.translate(_HYPHENS).replace("\r\n", "\n").replace("\r", "\n")


def _is_picture(page: pypdfium2.PdfPage, *, blank: bool) -> bool:
    """Whether pictures cover much of the page; where it has no text, anything that is drawn may be a picture of it."""
    if blank:
        return next(iter(page.get_objects(max_depth=1)), None) is not None
    area = math.prod(page.get_size())
    kinds, covered = [pdfium.FPDF_PAGEOBJ_IMAGE], 0.0
    for picture in itertools.islice(page.get_objects(filter=kinds, max_depth=FORM_DEPTH), MAX_OBJECTS):
        left, bottom, right, top = picture.get_bounds()
        covered += (right - left) * (top - bottom)
    return bool(covered > COVERED_SHARE * area)


def _seen(page: pypdfium2.PdfPage, ocr: Ocr) -> str:
    """The text that is seen on the page when it is rendered."""
    area = math.prod(page.get_size())  # in points, 72 to the inch
    scale = min(RESOLUTION / 72, math.sqrt(PAGE_PIXELS / max(area, 1)))
    bitmap = page.render(scale=scale, grayscale=True)
    try:
        pixels = bytes(bitmap.buffer)
        return ocr.read_pixels(pixels, bitmap.width, bitmap.height, bitmap.stride, round(scale * 72))
    finally:
        bitmap.close()


def _outline(document: pypdfium2.PdfDocument) -> Iterator[_Entry]:
    for bookmark in itertools.islice(document.get_toc(), MAX_HEADINGS):
        destination = bookmark.get_dest()
        page = destination.get_index() if destination else None
        if page is not None and page >= 0:
            yield _Entry(page, bookmark.level + 1, one_line(bookmark.get_title()))


def _mark_headings(builder: TextBuilder, entries: list[_Entry], text: str, offset: int) -> None:
    """Put each entry where its title stands on its page, or at the top of it."""
    position = 0
    for entry in entries:
        found = text.find(entry.title, position) if entry.title else -1
        position = max(position, found)
        builder.mark_heading(offset + position, entry.level, entry.title)
