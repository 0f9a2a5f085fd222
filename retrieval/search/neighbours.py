"""Chunks that follow each other in a document are one passage, not two that repeat their overlap."""

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, pairwise

from core.tokens import count_tokens
from retrieval.search.query import Passage

# A span of a revision's text: [start, end).
Span = tuple[uuid.UUID, int, int]


@dataclass(frozen=True, slots=True)
class Hit:
    """A chunk that was found, with its place in the revision and its scores (see `Passage`)."""

    chunk_id: int
    document_id: uuid.UUID
    revision_id: uuid.UUID
    document_name: str
    position: int
    start: int
    end: int
    page_start: int | None
    page_end: int | None
    heading: str
    text: str
    store_id: uuid.UUID
    score: float
    dense_score: float
    lexical_score: float


Run = Sequence[Hit]


def runs(hits: Iterable[Hit]) -> list[Run]:
    """Group hits into runs of neighbouring chunks, each in the order of the text; the best run first."""
    found: list[Run] = []
    for _, of_revision in groupby(sorted(hits, key=_place), key=lambda hit: hit.revision_id):
        run: list[Hit] = []
        for hit in of_revision:
            if run and hit.position != run[-1].position + 1:
                found.append(run)
                run = []
            run.append(hit)
        found.append(run)
    return sorted(found, key=lambda run: (-_best(run).score, _best(run).chunk_id))


def distinct(hits: Iterable[Hit]) -> list[Hit]:
    """The hits without those whose text one before them has: a file may lie in several of the stores."""
    first: dict[str, Hit] = {}
    for hit in hits:
        first.setdefault(hit.text, hit)
    return list(first.values())


def in_reading_order(found: Sequence[Passage]) -> list[Passage]:
    """Passages, the best first, put together by document and in the order of its text; the best document first."""
    rank: dict[uuid.UUID, int] = {}
    for place, each in enumerate(found):
        rank.setdefault(each.revision_id, place)
    return sorted(found, key=lambda each: (rank[each.revision_id], each.start))


def gaps(found: Iterable[Run]) -> list[Span]:
    """The spans that lie between neighbours and belong to neither."""
    pairs = (pair for run in found for pair in pairwise(run))
    return [(left.revision_id, left.end, right.start) for left, right in pairs if left.end < right.start]


def passage(run: Run, between: Mapping[Span, str]) -> Passage:
    """Join a run; `between` has the text of its `gaps`."""
    text, end = run[0].text, run[0].end
    for hit in run[1:]:
        if hit.start > end:
            text += between[hit.revision_id, end, hit.start]
            end = hit.start
        text += hit.text[end - hit.start :]
        end = max(end, hit.end)
    best = _best(run)
    return Passage(
        chunk_id=best.chunk_id,
        document_id=best.document_id,
        revision_id=best.revision_id,
        document_name=best.document_name,
        text=text,
        start=run[0].start,
        end=end,
        page_start=run[0].page_start,
        page_end=run[-1].page_end,
        heading=best.heading,
        score=best.score,
        dense_score=max(hit.dense_score for hit in run),
        lexical_score=max(hit.lexical_score for hit in run),
        tokens=count_tokens(text),
    )


def over_pages(found: Iterable[Passage]) -> list[Passage]:
    """Those that reach over the end of a page."""
    return [each for each in found if (each.page_end or 0) > (each.page_start or 0)]


def with_pages(found: Iterable[Passage], starts: Mapping[Span, Sequence[tuple[int, int]]]) -> list[Passage]:
    """The passages with where their pages begin, for each of `over_pages`."""
    return [
        replace(each, page_starts=tuple(starts[key]))
        if (key := (each.revision_id, each.start, each.end)) in starts
        else each
        for each in found
    ]


def _place(hit: Hit) -> tuple[uuid.UUID, int]:
    return hit.revision_id, hit.position


def _best(run: Run) -> Hit:
    return max(run, key=lambda hit: hit.score)
