"""The same answer, told in any dialect and cut anywhere, is read as the same answer."""

from itertools import pairwise
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chat.providers.base import (
    Finished,
    ItemStarted,
    StreamEvent,
    TextDelta,
    Usage,
    function_calls,
    output_text,
    refusal,
)
from chat.providers.openai.reading import Reading
from tests.upstream.dialects import Answer, Dialect, answers, dialects
from tests.upstream.telling import told


def read(chunks: list[bytes]) -> list[StreamEvent]:
    reading = Reading()
    events: list[StreamEvent] = []
    for chunk in chunks:
        events += reading.feed(chunk)
        if reading.over:
            return events + reading.end()
    return events + reading.close() + reading.end()


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]


def expected_usage(answer: Answer, dialect: Dialect) -> Usage | None:
    if answer.usage is None:
        return None
    given, cached, said, thought = answer.usage
    bare = dialect.usage == "bare"
    return Usage(given, None if bare else cached, said, None if bare else thought, given + said)


def annotations(items: tuple[dict[str, Any], ...]) -> list[Any]:
    messages = [item for item in items if item["type"] == "message"]
    return [one for item in messages for part in item["content"] for one in part.get("annotations") or ()]


def streamed(events: list[StreamEvent]) -> str:
    """The text deltas of each item, items in the order in which they appeared."""
    texts = {event.output_index: "" for event in events if isinstance(event, ItemStarted)}
    for event in events:
        if isinstance(event, TextDelta):
            texts[event.output_index] += event.text
    return "".join(texts.values())


@st.composite
def tellings(draw: st.DrawFn) -> tuple[Answer, Dialect]:
    answer = draw(answers())
    return answer, draw(dialects(ends_well=answer.status in ("completed", "incomplete")))


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(tellings(), st.lists(st.integers(0, 20_000), max_size=30))
def test_an_answer_is_the_same_in_every_dialect(telling: tuple[Answer, Dialect], places: list[int]) -> None:
    answer, dialect = telling
    events = read(cut(told(answer, dialect), places))
    finished = events[-1]
    assert isinstance(finished, Finished)
    assert [isinstance(event, Finished) for event in events].count(True) == 1
    well = answer.status in ("completed", "incomplete")
    assert finished.status == (answer.status if well else "failed")
    assert finished.incomplete_reason == answer.reason
    code = {"failed": "rate_limited", "cut": "stream_truncated"}.get(answer.status)
    assert (finished.error and finished.error.code) == code
    assert finished.usage == expected_usage(answer, dialect)
    assert output_text(finished.output) == output_text(answer.items)
    assert refusal(finished.output) == refusal(answer.items)
    assert [(call.name, call.call_id, call.arguments) for call in function_calls(finished.output)] == [
        (call.name, call.call_id, call.arguments) for call in function_calls(list(answer.items))
    ]
    if dialect.listed == "all" or dialect.items_done or dialect.annotations_told or dialect.parts_done:
        assert annotations(finished.output) == annotations(answer.items)
    assert streamed(events) == output_text(answer.items)
