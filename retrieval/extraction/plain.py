"""Reads plain text, source code, tables as text, JSON and XML: exactly as they are."""

import json

from retrieval.extraction.builder import Bounds, TextBuilder
from retrieval.extraction.encoding import decode
from retrieval.extraction.kinds import JSON, XML
from retrieval.extraction.result import Extraction

EXTRACTOR = "text 1"


def read(data: bytes, *, mime: str, bounds: Bounds) -> Extraction:
    text, encoding = decode(data, declared=mime == XML)
    builder = TextBuilder(bounds)
    builder.block(_unescaped(text) if mime == JSON else text)
    if "\N{REPLACEMENT CHARACTER}" in text:
        builder.warn(f"Some characters could not be read as {encoding}.")
    return builder.finish(mime=mime, extractor=EXTRACTOR, no_text="There is nothing but white space in this file.")


def _unescaped(text: str) -> str:
    r"""JSON that spells its letters as \u escapes, spelled with letters, so that they can be found."""
    if "\\u" not in text:
        return text
    try:
        return json.dumps(json.loads(text), ensure_ascii=False, indent=1)
    except (ValueError, RecursionError):
        return text
