"""Markers of an answer, checked against the passages that were sent."""

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat.context.passages import NumberedPassage
from chat.turns.citations import best_span, verify

TEXT = "The harbour opens at six. Boats longer than 20 m need a pilot. Dogs are welcome on the pier."


def passage(number: int, text: str = TEXT, start: int = 100) -> NumberedPassage:
    return NumberedPassage(
        number=number,
        revision=uuid.uuid4(),
        document=uuid.uuid4(),
        name="rules.pdf",
        page=3,
        heading="",
        start=start,
        end=start + len(text),
        score=1.0,
        text=text,
    )


def test_a_known_marker_cites_the_sentence_that_supports_it() -> None:
    found = verify("Long boats need a pilot [1].", [passage(1)])
    (citation,) = found.citations
    assert found.text == "Long boats need a pilot [1]."
    assert citation.quote == "Boats longer than 20 m need a pilot."
    assert TEXT[citation.start - 100 : citation.end - 100] == citation.quote
    assert found.text[citation.position :].startswith("[1]")
    assert citation.support > 0.5


@pytest.mark.parametrize(
    ("answer", "shown", "numbers"),
    [
        ("It opens at six [7].", "It opens at six.", []),
        ("At six [1, 7].", "At six [1].", [1]),
        ("At six [1][2].", "At six [1][2].", [1, 2]),
        ("At six 【1】.", "At six [1].", [1]),
        ("At six 【2†rules.pdf】.", "At six [2].", [2]),
        ("At six[1].", "At six[1].", [1]),
        ("`a[7]` and [1]", "`a[7]` and [1]", [1]),
        ("```\nx = y[1]\n```\nSo [2].", "```\nx = y[1]\n```\nSo [2].", [2]),
        ("[1](https://example.org)", "[1](https://example.org)", []),
        ("Pilots board here [2]: call first.", "Pilots board here [2]: call first.", [2]),
        ("So [1].\n\n[2]: https://example.org", "So [1].\n\n[2]: https://example.org", [1]),
        ("![1] [1]", "![1] [1]", [1]),
    ],
)
def test_markers(answer: str, shown: str, numbers: list[int]) -> None:
    found = verify(answer, [passage(1), passage(2)])
    assert found.text == shown
    assert [citation.number for citation in found.citations] == numbers


def test_without_passages_brackets_are_left_alone() -> None:
    assert verify("See [1] and [12].", []).text == "See [1] and [12]."


@given(st.text(alphabet="ab .[]【】1239,`\n~(:!†", max_size=120))
def test_only_sent_passages_are_cited_and_every_quote_is_in_its_passage(answer: str) -> None:
    passages = [passage(1), passage(2, "Second text. It has two sentences.", start=7)]
    found = verify(answer, passages)
    known = {one.number: one for one in passages}
    for citation in found.citations:
        source = known[citation.number]
        assert source.text[citation.start - source.start : citation.end - source.start] == citation.quote
        assert citation.quote
        assert found.text[citation.position : citation.position + 1] == "["


@given(st.text(max_size=200), st.text(min_size=1, max_size=300))
def test_a_span_is_never_empty_and_always_inside(claim: str, source: str) -> None:
    start, end, support = best_span(claim, source)
    assert 0 <= start < end <= len(source)
    assert 0 <= support <= 1


def test_what_goes_on_within_code_is_code_and_behind_it_is_not() -> None:
    before = "Closed [1]:\n\n```python\nx = rows"
    found = verify("[7]\n```\n\nSee [1][7] and [8].", [passage(1)], before=before)
    assert found.text == "[7]\n```\n\nSee [1] and."
    (citation,) = found.citations
    assert found.text[citation.position :].startswith("[1]")


@pytest.mark.parametrize(
    ("before", "text", "shown", "numbers"),
    [
        ("Closed [1", "] and [7].", "] and.", [1]),
        ("Closed [", "1] and more.", "1] and more.", [1]),
        ("Closed [1", ", 7] and more [1].", ", 7] and more [1].", [1]),
        ("Closed [7", "] and more.", "] and more.", []),
        ("`rows[1", "]` and more.", "]` and more.", []),
    ],
)
def test_a_marker_that_was_broken_in_two_cites_and_is_left_as_it_is(
    before: str, text: str, shown: str, numbers: list[int]
) -> None:
    found = verify(text, [passage(1)], before=before)
    assert found.text == shown
    assert [(citation.number, citation.position) for citation in found.citations] == [(number, 0) for number in numbers]


def test_a_sentence_that_was_broken_in_two_supports_as_one() -> None:
    source = passage(1)
    whole = verify(f"{source.text} [1]", [source])
    half = len(source.text) // 2
    broken = verify(f"{source.text[half:]} [1]", [source], before=source.text[:half])
    assert broken.citations[0].support == whole.citations[0].support == 1.0
    assert broken.citations[0].quote == whole.citations[0].quote


@given(st.text(alphabet="a [1]7`\n", max_size=30))
def test_a_beginning_without_code_changes_nothing(text: str) -> None:
    assert verify(text, [passage(1)], before="So.\n\n").text == verify(text, [passage(1)]).text
