"""Cuts a text where its own structure ends: at pages and headings, and at white space where a part is very long.

A segment is what the splitter may split further but never joins: so no chunk holds the end of one page and the
start of the next, unless both are so short that they are better read together.
"""

import re
from collections.abc import Iterable, Iterator
from itertools import pairwise

from core.tokens import within_tokens
from retrieval.extraction import Extraction

# The splitter's time grows with the square of a part's length where it finds no boundary in it (measured: one line of
# 80,000 Chinese characters takes 1.9 s, ten lines of 8,000 take 0.2 s).
SEGMENT_CHARS = 8_000
# A page or section below this share of a chunk joins the next one, if both fit into one chunk.
SMALL_SHARE = 4

Span = tuple[int, int]

_BREAKS = (re.compile(r"\n\s*\n"), re.compile(r"\n"), re.compile(r"[.!?。！？]\s*"), re.compile(r"\s"))


def segments(extraction: Extraction, max_tokens: int) -> Iterator[Span]:
    """Spans in order that cover the text without overlap; each has at most SEGMENT_CHARS characters."""
    text = extraction.text
    cuts = {0, len(text), *_page_cuts(extraction), *(heading.offset for heading in extraction.headings)}
    for span in _joined(text, pairwise(sorted(cuts)), max_tokens):
        yield from _shortened(text, span)


def _page_cuts(extraction: Extraction) -> Iterator[int]:
    """Pages begin where they begin; what stands between two of them belongs to the first."""
    return (start for start, end in extraction.pages if start < end)


def _joined(text: str, spans: Iterable[Span], max_tokens: int) -> Iterator[Span]:
    """Small neighbours made one, as long as one chunk holds them."""
    current: Span | None = None
    for start, end in spans:
        if current is None:
            current = (start, end)
        elif _is_small(text, current, max_tokens) and within_tokens(text[current[0] : end], max_tokens):
            current = (current[0], end)
        else:
            yield current
            current = (start, end)
    if current is not None:
        yield current


def _is_small(text: str, span: Span, max_tokens: int) -> bool:
    return within_tokens(text[span[0] : span[1]], max_tokens // SMALL_SHARE)


def _shortened(text: str, span: Span) -> Iterator[Span]:
    start, end = span
    while end - start > SEGMENT_CHARS:
        cut = _last_break(text, start + SEGMENT_CHARS // 2, start + SEGMENT_CHARS)
        yield start, cut
        start = cut
    yield start, end


def _last_break(text: str, low: int, high: int) -> int:
    """The best place to cut between `low` and `high`: the last paragraph, line, sentence or word that ends there."""
    for pattern in _BREAKS:
        ends = [match.end() for match in pattern.finditer(text, low, high)]
        if ends:
            return ends[-1]
    return high
