"""Reads Markdown: the text as it is, and where its headings are (CommonMark, by pyromark)."""

from bisect import bisect_right
from collections.abc import Mapping
from itertools import accumulate
from typing import Any, cast

import pyromark

from retrieval.extraction.builder import Bounds, TextBuilder, clean
from retrieval.extraction.encoding import decode
from retrieval.extraction.result import Extraction

EXTRACTOR = f"markdown 1, pyromark {pyromark.__version__}"

_OPTIONS = pyromark.Options.ENABLE_YAML_STYLE_METADATA_BLOCKS | pyromark.Options.ENABLE_TABLES


def read(data: bytes, *, mime: str, bounds: Bounds) -> Extraction:
    text = clean(decode(data)[0])
    builder = TextBuilder(bounds)
    builder.block(text)
    for offset, level, title in headings(text):
        builder.mark_heading(offset, level, title)
        builder.title = builder.title or (title if level == 1 else "")
    return builder.finish(mime=mime, extractor=EXTRACTOR, no_text="There is nothing but white space in this file.")


def headings(text: str) -> list[tuple[int, int, str]]:
    """Offset, level and title of each heading of a Markdown text."""
    position = _Positions(text)
    found: list[tuple[int, int, str]] = []
    title: list[str] | None = None
    for event, span in pyromark.events_with_range(text, options=_OPTIONS):
        tags = cast(Mapping[str, Any], event) if isinstance(event, dict) else {}
        if heading := _heading(tags, "Start"):
            title = []
            found.append((position(span["start"]), int(heading["level"][1]), ""))
        elif _heading(tags, "End") and title is not None:
            found[-1] = (*found[-1][:2], "".join(title).strip())
            title = None
        elif title is not None:
            title += [str(tags[kind]) for kind in ("Text", "Code") if kind in tags]
    return [heading for heading in found if heading[2]]


def _heading(tags: Mapping[str, Any], side: str) -> Any:
    tag = tags.get(side)
    return tag.get("Heading") if isinstance(tag, dict) else None


class _Positions:
    """UTF-8 byte offsets to code point offsets."""

    def __init__(self, text: str) -> None:
        lines = text.splitlines(keepends=True)
        self._lines = lines
        self._bytes = [0, *accumulate(len(line.encode()) for line in lines)]
        self._points = [0, *accumulate(len(line) for line in lines)]

    def __call__(self, offset: int) -> int:
        number = min(bisect_right(self._bytes, offset) - 1, len(self._lines) - 1)
        within = self._lines[number].encode()[: offset - self._bytes[number]]
        return self._points[number] + len(within.decode(errors="ignore"))
