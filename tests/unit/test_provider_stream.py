"""Bytes to events: where the chunks are cut never matters, and nothing that a server sends can break the reading."""

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chat.providers.base import Finished, ItemDone, ItemStarted, ResponseStarted, StreamEvent, TextDelta, output_text
from chat.providers.openai.assembler import Assembler
from chat.providers.openai.sse import Frame, Splitter, decode, is_done
from tests.upstream.recordings import own_recordings

RECORDED = [recording.path.read_bytes() for recording in own_recordings()]
FORMS = (b"\n", b"\r\n", b"\r")


def split(chunks: list[bytes]) -> list[Frame]:
    splitter = Splitter()
    frames = [frame for chunk in chunks for frame in splitter.feed(chunk)]
    return frames + splitter.close()


def read(chunks: list[bytes]) -> list[StreamEvent]:
    assembler = Assembler()
    events: list[StreamEvent] = []
    for frame in split(chunks):
        if is_done(frame.data):
            break
        for raw in decode(frame):
            events += assembler.feed(raw)
    return events + assembler.end()


def assembled(*raw: dict[str, Any]) -> list[StreamEvent]:
    assembler = Assembler()
    events = [event for one in raw for event in assembler.feed(one)]
    return events + assembler.end()


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]


@settings(deadline=None)
@given(st.sampled_from(RECORDED), st.lists(st.integers(0, 10_000), max_size=40))
def test_cuts_never_change_the_events(data: bytes, places: list[int]) -> None:
    assert read(cut(data, places)) == read([data])


@settings(deadline=None)
@given(
    st.lists(st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), min_size=1), max_size=6),
    st.sampled_from(FORMS),
    st.booleans(),
    st.lists(st.integers(0, 500), max_size=20),
)
def test_frames_come_out_as_they_were_written(texts: list[str], end: bytes, mark: bool, places: list[int]) -> None:
    lines = [end.join([b"data: " + text.encode(), b": note", b"id: 1", b"data: 2", b"", b""]) for text in texts]
    data = (b"\xef\xbb\xbf" if mark else b"") + b"".join(lines) + b"retry: 10" + end + end
    assert [frame.data for frame in split(cut(data, places))] == [text.encode() + b"\n2" for text in texts]


@pytest.mark.parametrize("end", FORMS)
def test_data_lines_are_joined_and_fields_without_data_ignored(end: bytes) -> None:
    data = end.join(
        [b"event: greeting", b"data: one", b"data:two", b"", b"event: empty", b"", b"id: 4", b"", b"data: last"]
    )
    assert split([data]) == [Frame("greeting", b"one\ntwo"), Frame("", b"last")]


@pytest.mark.parametrize("end", FORMS)
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_a_cut_at_any_place_changes_nothing(end: bytes, mark: bytes) -> None:
    data = mark + end.join([b"data: one", b"event: e", "data: zwölf".encode(), b"", b"data: three", b""])
    for place in range(len(data) + 1):
        assert split([data[:place], data[place:]]) == [Frame("e", "one\nzwölf".encode()), Frame("", b"three")]
    assert split([data[at : at + 1] for at in range(len(data))]) == split([data])


def test_events_without_blank_lines_between_them_are_read_one_by_one() -> None:
    assert decode(Frame("", b'{"type":"a"}\n{"type":"b"}')) == [{"type": "a"}, {"type": "b"}]


def test_the_event_field_stands_in_for_a_missing_type() -> None:
    assert decode(Frame("error", b'{"message":"no"}')) == [{"message": "no", "type": "error"}]
    assert decode(Frame("error", b"plain words")) == [{"type": "error", "message": "plain words"}]


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[1]", b"null", b'"text"', b"NaN", b"[" * 100_000, b'{"a":' * 5000, b"\xff\xfe"]
)
def test_what_is_no_json_object_is_no_event(data: bytes) -> None:
    assert decode(Frame("", data)) == []


def test_bytes_that_are_not_utf8_do_not_lose_the_event() -> None:
    assert decode(Frame("", b'{"type":"x","delta":"a\xffb"}')) == [{"type": "x", "delta": "a\ufffdb"}]


NAMES = ("message", "function_call", "reasoning", "output_text", "refusal", "summary_text", "reasoning_text", "a", "b")
KEYS = (
    "type",
    "id",
    "call_id",
    "name",
    "text",
    "refusal",
    "arguments",
    "content",
    "summary",
    "output",
    "status",
    "error",
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 9) | st.floats() | st.sampled_from(NAMES) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=5),
    max_leaves=12,
)
NUMBERS = ("sequence_number", "output_index", "content_index", "summary_index")
WORDS = ("item_id", "delta", "text", "arguments", "refusal", "input", "error", "message", "code")
FIELDS = st.sampled_from((*NUMBERS, *WORDS, "item", "part", "response", "annotation"))
TYPES = st.sampled_from([*sorted(Assembler()._handlers), "response.unheard.of", "", "keepalive"])


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(TYPES, st.dictionaries(FIELDS, JSON, max_size=6)), max_size=12))
def test_any_events_end_in_exactly_one_finished(raw: list[tuple[str, dict[str, Any]]]) -> None:
    events = assembled(*({"type": kind, **fields} for kind, fields in raw))
    assert [isinstance(event, Finished) for event in events] == [False] * (len(events) - 1) + [True]
    indexes = [event.output_index for event in events if isinstance(event, ItemStarted)]
    assert len(indexes) == len(set(indexes))


def test_an_interrupted_message_is_kept_as_incomplete() -> None:
    events = assembled(
        {"type": "response.created", "response": {"id": "r", "model": "m"}},
        {"type": "response.output_text.delta", "output_index": 0, "item_id": "i", "delta": "Half"},
    )
    finished = events[-1]
    assert isinstance(finished, Finished)
    assert events[0] == ResponseStarted("r", "m")
    assert finished.error is not None
    assert finished.error.code == "stream_truncated"
    assert finished.error.partial == finished.output  # type: ignore[attr-defined]
    assert finished.output == (
        {
            "type": "message",
            "id": "i",
            "role": "assistant",
            "status": "incomplete",
            "content": [{"type": "output_text", "text": "Half", "annotations": []}],
        },
    )


def test_a_finished_item_outweighs_its_deltas_and_the_final_list_outweighs_both() -> None:
    def item(text: str) -> dict[str, Any]:
        return {"type": "message", "id": "i", "content": [{"type": "output_text", "text": text}]}

    start = [
        {"type": "response.output_item.added", "output_index": 0, "item": {"type": "message", "id": "i"}},
        {"type": "response.output_text.delta", "output_index": 0, "item_id": "i", "delta": "delta"},
        {"type": "response.output_text.done", "output_index": 0, "item_id": "i", "text": "part"},
    ]
    done = {"type": "response.output_item.done", "output_index": 0, "item": item("item")}

    def end(*items: dict[str, Any]) -> dict[str, Any]:
        return {"type": "response.completed", "response": {"output": list(items)}}

    for raw, expected in (
        (start[:2], "delta"),
        (start, "part"),
        ([*start, done], "item"),
        ([*start, done, end()], "item"),
        ([*start, done, end(item("final"))], "final"),
    ):
        finished = assembled(*raw)[-1]
        assert isinstance(finished, Finished)
        assert output_text(finished.output) == expected


def test_what_comes_after_the_final_event_is_ignored() -> None:
    end = {"type": "response.completed", "response": {"status": "completed", "output": []}}
    late = {"type": "response.output_text.delta", "delta": "late"}
    assert assembled(end, late, end) == assembled(end)


def test_an_event_that_repeats_a_finished_part_opens_no_new_item() -> None:
    item = {"type": "message", "id": "a", "content": [{"type": "output_text", "text": "x"}]}
    events = assembled(
        {"type": "response.output_item.done", "output_index": 0, "item": item},
        {"type": "response.output_text.done", "output_index": 0, "item_id": "b", "text": "x"},
        {"type": "response.completed", "response": {"output": [item]}},
    )
    assert [type(event) for event in events] == [ResponseStarted, ItemStarted, TextDelta, ItemDone, Finished]


def test_numbers_that_come_back_with_other_content_stop_the_dropping_of_repeats() -> None:
    deltas = [
        {"type": "response.output_text.delta", "sequence_number": 1, "delta": text} for text in ("a", "b", "b", "a")
    ]
    finished = assembled(*deltas)[-1]
    assert isinstance(finished, Finished)
    assert output_text(finished.output) == "abba"


def test_a_failed_response_without_words_takes_those_of_the_error_event() -> None:
    finished = assembled(
        {"type": "error", "error": {"code": "context_length_exceeded", "message": "too long"}},
        {"type": "response.failed", "response": {"status": "failed", "error": None}},
    )[-1]
    assert isinstance(finished, Finished)
    assert finished.error is not None
    assert (finished.error.code, finished.error.retryable) == ("context_length_exceeded", False)


def test_the_terminal_payload_is_kept_verbatim() -> None:
    end = {"type": "response.completed", "response": {"status": "completed", "output": [], "extra": {"kept": [1]}}}
    finished = assembled(json.loads(json.dumps(end)))[-1]
    assert isinstance(finished, Finished)
    assert finished.payload == end


def test_calls_without_indexes_are_told_apart_by_their_ids() -> None:
    def call(call_id: str, arguments: str) -> dict[str, Any]:
        return {"type": "function_call", "call_id": call_id, "name": "f", "arguments": arguments}

    finished = assembled(
        {"type": "response.output_item.added", "item": call("a", "")},
        {"type": "response.output_item.added", "item": call("b", "")},
        {"type": "response.function_call_arguments.delta", "item_id": "a", "delta": "[1"},
        {"type": "response.function_call_arguments.delta", "item_id": "b", "delta": "[2]"},
        {"type": "response.function_call_arguments.delta", "item_id": "a", "delta": "]"},
    )[-1]
    assert isinstance(finished, Finished)
    assert [(item["call_id"], item["arguments"]) for item in finished.output] == [("a", "[1]"), ("b", "[2]")]
