"""Reads plain text exactly as it is, and JSON and XML as lines that can be read."""

import json
import re

from retrieval.extraction.builder import Bounds, TextBuilder
from retrieval.extraction.encoding import decode
from retrieval.extraction.kinds import JSON, XML
from retrieval.extraction.result import Extraction

EXTRACTOR = "text 2"

LONGEST_LINE = 1_000
_BETWEEN_ELEMENTS = re.compile(r">[ \t]*<")


def read(data: bytes, *, mime: str, bounds: Bounds) -> Extraction:
    text, encoding = decode(data, declared=mime == XML)
    builder = TextBuilder(bounds)
    builder.block(_readable(text, mime))
    if "\N{REPLACEMENT CHARACTER}" in text:
        builder.warn(f"Some characters could not be read as {encoding}.")
    return builder.finish(mime=mime, extractor=EXTRACTOR, no_text="There is nothing but white space in this file.")


def _readable(text: str, mime: str) -> str:
    r"""JSON and XML as lines to read, where they come as one endless line or spell letters as \u escapes."""
    endless = any(len(line) > LONGEST_LINE for line in text.splitlines())
    if mime == JSON and (endless or "\\u" in text):
        try:
            return json.dumps(json.loads(text), ensure_ascii=False, indent=1)
        except (ValueError, RecursionError):
            return text
    return _BETWEEN_ELEMENTS.sub(">\n<", text) if mime == XML and endless else text
