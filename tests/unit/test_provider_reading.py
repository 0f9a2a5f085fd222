"""Bodies that are no event stream, or a strange one: documents, pages, lines of JSON, errors in other clothes."""

import gzip
import json
from typing import Any

import pytest

from chat.providers.base import Finished, TextDelta, function_calls, output_text
from chat.providers.openai.reading import Reading
from chat.providers.openai.sse import MAX_FRAME_BYTES, FrameTooLargeError

MESSAGE = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Hi"}]}
RESPONSE = {"id": "r", "object": "response", "status": "completed", "output": [MESSAGE]}
DELTA = {"type": "response.output_text.delta", "delta": "Hi"}


def read(body: bytes, size: int = 7) -> tuple[str, Finished]:
    """The streamed text and the end, the body cut into pieces of `size`."""
    reading = Reading()
    events = [made for at in range(0, len(body), size) for made in reading.feed(body[at : at + size])]
    events += [*reading.close(), *reading.end()]
    finished = events[-1]
    assert isinstance(finished, Finished)
    return "".join(event.text for event in events if isinstance(event, TextDelta)), finished


def dumped(value: Any) -> bytes:
    return json.dumps(value).encode()


@pytest.mark.parametrize(
    "body",
    [
        dumped(RESPONSE),
        b"\xef\xbb\xbf\r\n " + dumped(RESPONSE),
        dumped({"type": "response.completed", "response": RESPONSE}),
        dumped([DELTA, {"type": "response.completed", "response": RESPONSE}]),
        b"\n".join(dumped(event) for event in (DELTA, {"type": "response.completed", "response": RESPONSE})),
        json.dumps(RESPONSE, indent=2).encode(),
    ],
)
@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_an_answer_that_does_not_stream_is_read_by_what_it_is(body: bytes, size: int) -> None:
    streamed, finished = read(body, size)
    assert (streamed, finished.status, output_text(finished.output)) == ("Hi", "completed", "Hi")


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ({"error": {"code": "rate_limit_exceeded", "message": "slow"}}, "rate_limited"),
        ({"error": "slow", "code": "rate_limit_exceeded"}, "rate_limited"),
        ({"type": "invalid_request_error", "message": "bad"}, "invalid_upstream_request"),
        ({"detail": "maximum context length"}, "context_length_exceeded"),
        ({"object": "chat.completion", "choices": []}, "not_responses_server"),
        ([], "stream_truncated"),
    ],
)
def test_an_error_in_a_document_is_an_error(said: Any, code: str) -> None:
    _, finished = read(dumped(said))
    assert finished.status == "failed"
    assert finished.error is not None
    assert finished.error.code == code


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"<!doctype html><title>502</title>", "not_responses_server"),
        (b"", "stream_truncated"),
        (b"\n\n\n", "stream_truncated"),
        (b"upstream connect error", "stream_truncated"),
        (dumped(RESPONSE)[:-5], "stream_truncated"),
        (dumped({**RESPONSE, "status": "in_progress", "output": []}), "stream_truncated"),
        (dumped({**RESPONSE, "status": "queued"}), "stream_truncated"),
        (gzip.compress(dumped(RESPONSE)), "stream_truncated"),
    ],
)
def test_what_is_no_answer_fails_with_its_reason(body: bytes, code: str) -> None:
    _, finished = read(body)
    assert finished.error is not None
    assert finished.error.code == code


@pytest.mark.parametrize(
    "frame",
    [
        b'data: {"error":{"code":"slow_down"}}',
        b'data: {"object":"error","message":"too many requests","code":429}',
        b'event: error\ndata: {"type":"too_many_requests","message":"slow"}',
        b'event: error\ndata: {"error":{"type":"rate_limit_error"}}',
        b'data: {"type":"response.error","error":{"code":"rate_limit_exceeded"}}',
        b'data: {"type":"error","code":"429","message":"slow"}',
    ],
)
def test_an_error_event_in_any_form_is_one(frame: bytes) -> None:
    text, finished = read(b"data: " + dumped(DELTA) + b"\n\n" + frame + b"\n\n")
    assert (text, output_text(finished.output)) == ("Hi", "Hi")
    assert finished.error is not None
    assert finished.error.code == "rate_limited"


def test_an_end_marker_in_the_frame_of_the_last_event_ends_the_stream() -> None:
    reading = Reading()
    reading.feed(b"data: " + dumped({"type": "response.completed", "response": RESPONSE}) + b"\ndata: [DONE]\n\n")
    assert reading.over


def test_line_ends_within_texts_are_read() -> None:
    body = b'data: {"type":"response.output_text.delta","delta":"a\tb"}\n\ndata: {"type":"response.completed"}\n\n'
    assert read(body)[0] == "a\tb"


def test_arguments_given_as_an_object_become_their_text() -> None:
    call = {"type": "function_call", "call_id": "c", "name": "f", "arguments": {"a": 1}}
    _, finished = read(dumped({**RESPONSE, "output": [call]}))
    assert [one.arguments for one in function_calls(finished.output)] == ['{"a":1}']


def test_a_body_without_end_is_given_up() -> None:
    reading = Reading()
    piece = b"{" + b" " * (8 * 1024 * 1024)
    for _ in range(MAX_FRAME_BYTES // len(piece)):
        reading.feed(piece)
    with pytest.raises(FrameTooLargeError):
        reading.feed(piece)


def test_pieces_of_one_text_that_come_together_are_one_event() -> None:
    def frame(index: int, text: str) -> bytes:
        event = {"type": "response.output_text.delta", "output_index": index, "content_index": 0, "delta": text}
        return b"data: " + dumped(event) + b"\n\n"

    reading = Reading()
    assert not reading.speaks
    made = reading.feed(frame(0, "a") + frame(0, "b") + frame(1, "c") + frame(1, "d") + frame(0, "e"))
    texts = [(event.output_index, event.text) for event in made if isinstance(event, TextDelta)]
    assert texts == [(0, "ab"), (1, "cd"), (0, "e")]
    assert reading.speaks
