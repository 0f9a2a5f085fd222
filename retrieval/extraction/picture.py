"""Reads pictures: the text in them, by OCR. Each picture of a file that holds several is a page."""

from core.jail.progress import report
from retrieval.errors import NoTextFoundError
from retrieval.extraction.builder import Bounds, TextBuilder
from retrieval.extraction.ocr import NOT_HERE
from retrieval.extraction.result import Extraction

EXTRACTOR = "tesseract 1"

NO_OCR = f"No text was found: this is a picture, and {NOT_HERE}"


def read(data: bytes, *, mime: str, bounds: Bounds) -> Extraction:
    if bounds.ocr is None:
        raise NoTextFoundError(NO_OCR, retryable=True)
    builder = TextBuilder(bounds)
    for number, text in enumerate(bounds.ocr.read_pictures(data), 1):
        builder.begin_page()
        builder.block(text)
        builder.end_page()
        report(number, number)
        if bounds.ocr.is_over:
            builder.warn(f"Reading ended after {number:,} pictures: OCR took too long.")
            break
    return builder.finish(mime=mime, extractor=EXTRACTOR, no_text="No text was found in this picture.")
