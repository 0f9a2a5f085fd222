"""Reads PDF page by page (pypdfium2): exact page spans, and the outline as headings."""

import itertools
from collections.abc import Iterator
from typing import NamedTuple

import pypdfium2
import pypdfium2.raw as pdfium

from core.jail.progress import report
from retrieval.errors import CorruptFileError, EncryptedFileError, TooManyPagesError
from retrieval.extraction.builder import MAX_HEADINGS, Bounds, TextBuilder, one_line
from retrieval.extraction.result import Extraction

EXTRACTOR = f"pypdfium2 {pypdfium2.version.PYPDFIUM_INFO.version}"

NO_TEXT = "No text was found in this PDF: its pages are pictures. A version with text, or one read by OCR, can be used."
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
    entries: dict[int, list[_Entry]] = {}
    for entry in _outline(document):
        entries.setdefault(entry.page, []).append(entry)
    for number in range(len(document)):
        builder.begin_page()
        text = _page_text(document, number)
        if text is None:
            builder.warn(f"Page {number + 1} is damaged and was left out.")
        else:
            offset = builder.block(text)
            _mark_headings(builder, entries.get(number, []), text, offset)
        builder.end_page()
        report(number + 1, len(document))
    return builder.finish(mime=mime, extractor=EXTRACTOR, no_text=NO_TEXT)


def _page_text(document: pypdfium2.PdfDocument, number: int) -> str | None:
    try:
        page = document[number]
    except pypdfium2.PdfiumError:
        return None
    try:
        textpage = page.get_textpage()
        try:
            text: str = textpage.get_text_bounded()
        finally:
            textpage.close()
    finally:
        page.close()
    return text.translate(_HYPHENS).replace("\r\n", "\n").replace("\r", "\n")


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
