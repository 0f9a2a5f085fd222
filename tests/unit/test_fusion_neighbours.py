"""Neighbouring chunks become one passage whose text is the revision's, whatever the overlap or the gap."""

import uuid
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from retrieval.search.neighbours import Hit, Run, distinct, gaps, in_reading_order, passage, runs

REVISION, DOCUMENT = uuid.uuid4(), uuid.uuid4()


def hit(text: str, position: int, start: int, end: int, *, score: float = 0.5, revision: uuid.UUID = REVISION) -> Hit:
    return Hit(
        chunk_id=1000 + position,
        document_id=DOCUMENT,
        revision_id=revision,
        document_name="report.pdf",
        position=position,
        start=start,
        end=end,
        page_start=position + 1,
        page_end=position + 1,
        heading=f"heading {position}",
        text=text[start:end],
        store_id=DOCUMENT,
        score=score,
        dense_score=score / 2,
        lexical_score=score / 4,
    )


def texts(text: str, found: Sequence[Run]) -> dict[tuple[uuid.UUID, int, int], str]:
    return {(revision, start, end): text[start:end] for revision, start, end in gaps(found)}


@st.composite
def chunked(draw: st.DrawFn) -> tuple[str, list[Hit]]:
    """A text, and some of the chunks that cover it with overlaps and gaps, in any order."""
    text = draw(st.text(min_size=1, max_size=200))
    edges = draw(st.lists(st.tuples(st.integers(0, 200), st.integers(1, 60)), min_size=1, max_size=12))
    spans = sorted({(start % len(text), min(start % len(text) + length, len(text))) for start, length in edges})
    ascending = [span for index, span in enumerate(spans) if all(span[1] > other[1] for other in spans[:index])]
    scores = draw(st.lists(st.floats(0, 1), min_size=len(ascending), max_size=len(ascending)))
    hits = [
        hit(text, number, *span, score=score)
        for number, (span, score) in enumerate(zip(ascending, scores, strict=True))
    ]
    chosen = draw(st.lists(st.sampled_from(hits), unique=True, min_size=1))
    return text, chosen


@given(chunked())
def test_a_passage_is_a_span_of_its_revision(case: tuple[str, list[Hit]]) -> None:
    text, hits = case
    found = runs(hits)
    passages = [passage(run, texts(text, found)) for run in found]
    assert all(text[each.start : each.end] == each.text for each in passages)
    assert sum(len(run) for run in found) == len(hits)
    assert [each.score for each in passages] == sorted((each.score for each in passages), reverse=True)


@given(chunked())
def test_no_two_passages_are_neighbours(case: tuple[str, list[Hit]]) -> None:
    found = runs(case[1])
    last = {run[-1].position for run in found}
    assert not any(run[0].position - 1 in last for run in found)


def test_the_best_chunk_speaks_for_the_passage() -> None:
    text = "abcdefghij"
    (run,) = runs([hit(text, 1, 4, 10, score=0.9), hit(text, 0, 0, 5, score=0.3)])
    joined = passage(run, {})
    assert (joined.text, joined.start, joined.end) == (text, 0, 10)
    assert (joined.chunk_id, joined.heading, joined.score) == (1001, "heading 1", 0.9)
    assert (joined.page_start, joined.page_end) == (1, 2)
    assert (joined.dense_score, joined.lexical_score) == (0.45, 0.225)


def test_documents_are_never_joined() -> None:
    text = "abcdefghij"
    hits = [hit(text, 0, 0, 5), hit(text, 1, 5, 10, revision=uuid.uuid4())]
    assert [len(run) for run in runs(hits)] == [1, 1]


def test_nothing_found_is_nothing() -> None:
    assert runs([]) == []
    assert gaps([]) == []


@given(chunked())
def test_the_reading_order_is_that_of_the_text(case: tuple[str, list[Hit]]) -> None:
    text, hits = case
    found = runs(hits)
    passages = [passage(run, texts(text, found)) for run in found]
    starts = [each.start for each in in_reading_order(passages)]
    assert starts == sorted(each.start for each in passages)


def test_documents_keep_the_order_of_their_best_passages() -> None:
    other = uuid.uuid4()
    hits = [
        hit("one two three four", 5, 8, 13, score=0.9),
        hit("one two three four", 2, 4, 7, score=0.8, revision=other),
        hit("one two three four", 0, 0, 3, score=0.1),
    ]
    ordered = in_reading_order([passage(run, {}) for run in runs(hits)])
    assert [(each.revision_id, each.start) for each in ordered] == [(REVISION, 0), (REVISION, 8), (other, 4)]


def test_of_the_same_text_the_first_counts() -> None:
    once, again = hit("tide", 0, 0, 4), hit("tide", 0, 0, 4, revision=uuid.uuid4())
    assert distinct([once, hit("tides", 1, 0, 5), again]) == [once, hit("tides", 1, 0, 5)]
