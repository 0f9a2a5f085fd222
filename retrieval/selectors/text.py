"""The text of a document as people read it: pages or parts with what is marked in them, chunks, and places in it."""

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from django.core.paginator import Page, Paginator

from retrieval.models import Chunk, Document, Revision
from retrieval.selectors.documents import text_between

CHUNKS_PER_SCREEN = 20
# Places that a search in one document shows.
MAX_PLACES = 200
# Characters shown before a place and after it.
_BEFORE, _AFTER = 30, 110
# A heading is a line; of one that never ends so much is marked.
_HEADING_CHARS = 300

Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Stretch:
    """Characters of which all is marked alike.

    `heading` is its level, or 0. `begins` are the numbers of the chunks that begin with it, `shared` says whether two
    chunks have it. `place` is the offset of what was looked for, where this is it.
    """

    text: str
    heading: int
    begins: tuple[int, ...]
    shared: bool
    place: int | None


@dataclass(frozen=True, slots=True)
class Sheet:
    """A page, or a part of a document that has no pages."""

    number: int
    stretches: list[Stretch]


@dataclass(frozen=True, slots=True)
class Place:
    """Where the words that were looked for stand: their offset, and the index of their page or part."""

    offset: int
    before: str
    text: str
    after: str
    sheet: int


@dataclass(frozen=True, slots=True)
class ChunkView:
    """A chunk as it is shown. Numbers count from 1; `shared` characters at its beginning are the end of the one before.

    `sheet` is the index of the page or part that it begins in.
    """

    number: int
    start: int
    end: int
    page_start: int | None
    page_end: int | None
    heading: str
    header: str
    tokens: int
    repeated: str
    text: str
    sheet: int


@dataclass(frozen=True, slots=True)
class Marks:
    """What is marked in a text: headings as (start, end, level), chunks as (start, end, number), places as spans."""

    headings: Sequence[tuple[int, int, int]] = ()
    chunks: Sequence[tuple[int, int, int]] = ()
    places: Sequence[Span] = ()


def sheets(revision: Revision, numbered: Sequence[tuple[int, Span]], *, words: str, borders: bool) -> list[Sheet]:
    """The pages or parts `numbered`, which follow each other, with headings, `words` and chunks marked."""
    if not numbered:
        return []
    first, past = numbered[0][1][0], numbered[-1][1][1]
    text = text_between(revision, first, past)
    marks = Marks(
        headings=list(_headings(revision, text, first)),
        chunks=_chunk_spans(revision, first, past) if borders else (),
        places=[(first + a, first + b) for a, b in _spans_of(words, text)] if words else (),
    )
    return [
        Sheet(number, list(stretches(text[start - first : end - first], start, marks)))
        for number, (start, end) in numbered
    ]


def stretches(text: str, start: int, marks: Marks) -> Iterator[Stretch]:
    """Cut `text`, which begins at offset `start`, wherever a mark begins or ends."""
    end = start + len(text)
    spans = [*(mark[:2] for mark in marks.headings), *(mark[:2] for mark in marks.chunks), *marks.places]
    cuts = {start, end} | {cut for span in spans for cut in span if start < cut < end}
    for a, b in pairwise(sorted(cuts)):
        yield Stretch(
            text=text[a - start : b - start],
            heading=next((level for first, past, level in marks.headings if first <= a < past), 0),
            begins=tuple(number for first, _, number in marks.chunks if first == a),
            shared=sum(first <= a < past for first, past, _ in marks.chunks) > 1,
            place=next((first for first, past in marks.places if first <= a < past), None),
        )


def places(revision: Revision, words: str, spans: Sequence[Span]) -> list[Place]:
    """Where `words` stand in a document, in order, at most MAX_PLACES; letter case and line breaks do not matter.

    They are looked for in its chunks, so that a long text need not be loaded. What two chunks share is one place.
    """
    chunks = Chunk.objects.filter(revision=revision, text__iregex=_pattern(words)).order_by("position")
    starts = [start for start, _ in spans]
    found: dict[int, Place] = {}
    for start, text in chunks.values_list("start", "text")[:MAX_PLACES]:
        for a, b in _spans_of(words, text):
            found[start + a] = Place(
                offset=start + a,
                before=text[max(0, a - _BEFORE) : a],
                text=text[a:b],
                after=text[b : b + _AFTER],
                sheet=sheet_of(start + a, starts),
            )
    return list(found.values())[:MAX_PLACES]


def sheet_of(offset: int, starts: Sequence[int]) -> int:
    """The index of the page or part that an offset stands in."""
    return max(0, bisect_right(starts, offset) - 1)


def chunk_page(document: Document, number: str | None, chunk: str | None) -> Page[Chunk]:
    """A page of a document's chunks: the one with `chunk` (counted from 1) where that is asked for, else `number`."""
    paginator = Paginator(Chunk.objects.filter(revision=document.revision_id).order_by("position"), CHUNKS_PER_SCREEN)
    paginator.count = document.chunk_count
    if chunk and chunk.isascii() and chunk.isdigit():
        return paginator.get_page((max(1, int(chunk[:9])) - 1) // CHUNKS_PER_SCREEN + 1)
    return paginator.get_page(number)


def chunk_views(chunks: Page[Chunk], spans: Sequence[Span]) -> list[ChunkView]:
    """What is shown of a page of chunks."""
    shown = list(chunks)
    starts = [start for start, _ in spans]
    before = 0
    if shown and shown[0].position:
        previous = Chunk.objects.filter(revision=shown[0].revision_id, position=shown[0].position - 1)
        before = previous.values_list("end", flat=True).first() or 0
    views = []
    for chunk in shown:
        repeated = max(0, before - chunk.start)
        before = chunk.end
        views.append(
            ChunkView(
                number=chunk.position + 1,
                start=chunk.start,
                end=chunk.end,
                page_start=chunk.page_start,
                page_end=chunk.page_end,
                heading=chunk.heading,
                header=chunk.header,
                tokens=chunk.tokens,
                repeated=chunk.text[:repeated],
                text=chunk.text[repeated:],
                sheet=sheet_of(chunk.start, starts),
            )
        )
    return views


def _headings(revision: Revision, text: str, first: int) -> Iterator[tuple[int, int, int]]:
    headings: list[Any] = revision.headings
    for offset, level, _ in headings:
        if first <= offset < first + len(text):
            line = text.find("\n", offset - first)
            end = first + line if line >= 0 else first + len(text)
            yield offset, min(end, offset + _HEADING_CHARS), min(int(level), 6)


def _chunk_spans(revision: Revision, first: int, past: int) -> list[tuple[int, int, int]]:
    chunks = Chunk.objects.filter(revision=revision, start__lt=past, end__gt=first).order_by("position")
    return [(start, end, position + 1) for start, end, position in chunks.values_list("start", "end", "position")]


def _pattern(words: str) -> str:
    """Words in a row, whatever white space is between them: for Python and for PostgreSQL, which read it alike."""
    return r"\s+".join(re.escape(word) for word in words.split())


def _spans_of(words: str, text: str) -> Iterator[Span]:
    return (match.span() for match in re.finditer(_pattern(words), text, re.IGNORECASE))
