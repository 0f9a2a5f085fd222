"""Recorded streams of real and odd servers, sent over HTTP in odd pieces through the whole adapter."""

import pytest

from chat.providers.base import (
    Finished,
    ItemDone,
    ItemStarted,
    ReasoningDelta,
    Request,
    ResponseStarted,
    StreamEvent,
    Target,
    TextDelta,
    function_calls,
    output_text,
    refusal,
)
from chat.providers.openai import OpenAIProvider
from tests.responses_server import ResponsesServer
from tests.upstream.recordings import OWN, Recording, own_recordings, shared_recordings

PIECES = (1, 3, 7, 1000, 0)
"""Bytes sent at a time; 0 is all at once."""

LONG = 12_000
"""Streams longer than this, in bytes, are not sent byte by byte: the splitting of bytes has a law of its own."""


async def played(server: ResponsesServer, recording: Recording, piece: int) -> list[StreamEvent]:
    server.script({"recording": str(recording.path), "chunk": piece})
    provider = OpenAIProvider()
    target = Target(base_url=server.base_url, api_key="sk-recordings", model="recorded")
    request = Request(input=({"type": "message", "role": "user", "content": "Go."},))
    try:
        return [event async for event in provider.stream(request, target)]
    finally:
        await provider.aclose()


def check(events: list[StreamEvent], recording: Recording) -> None:
    finished = events[-1]
    assert isinstance(finished, Finished)
    assert sum(isinstance(event, Finished) for event in events) == 1
    check_outcome(finished, recording)
    check_output(finished, recording)
    check_events(events, finished, recording)


def check_outcome(finished: Finished, recording: Recording) -> None:
    assert finished.status == recording.status
    assert finished.incomplete_reason == recording.incomplete_reason
    assert (finished.error is not None) == (recording.status == "failed")
    if finished.error is not None and recording.failure is not None:
        assert finished.error.code == recording.failure
    if finished.error is not None and recording.error is not None:
        assert finished.error.retryable is recording.error["retryable"]
        assert finished.error.retry_after == recording.error["retry_after"]
    if recording.usage is None:
        assert finished.usage is None
    else:
        assert {name: getattr(finished.usage, name) for name in recording.usage} == recording.usage
    if recording.identity is not None:
        assert (finished.response_id, finished.model) == recording.identity


def check_output(finished: Finished, recording: Recording) -> None:
    assert output_text(finished.output) == recording.text
    assert refusal(finished.output) == recording.refusal
    calls = function_calls(finished.output)
    assert [(call.name, call.call_id) for call in calls] == [(call.name, call.call_id) for call in recording.calls]
    for call, expected in zip(calls, recording.calls, strict=True):
        assert call.arguments.replace(": ", ":").replace(", ", ",") == (expected.arguments or "").replace(
            ": ", ":"
        ).replace(", ", ",")
        assert expected.complete is None or call.complete is expected.complete
    if recording.items is not None:
        assert tuple(item["type"] for item in finished.output) == recording.items
    if recording.annotations is not None:
        assert annotations(finished) == recording.annotations


def check_events(events: list[StreamEvent], finished: Finished, recording: Recording) -> None:
    streamed = "".join(event.text for event in events if isinstance(event, TextDelta))
    assert streamed == (recording.text if recording.streamed is None else recording.streamed)
    assert [type(event) for event in events].count(ResponseStarted) <= 1
    if len(events) > 1:
        assert isinstance(events[0], ResponseStarted)
    started = [event.output_index for event in events if isinstance(event, ItemStarted)]
    assert len(started) == len(set(started))
    if finished.status != "failed":
        assert sorted(event.output_index for event in events if isinstance(event, ItemDone)) == sorted(started)
    if recording.reasoning is not None and (recording.reasoning or recording.path.parent == OWN):
        shown = "".join(event.text for event in events if isinstance(event, ReasoningDelta))
        assert recording.reasoning in shown


def annotations(finished: Finished) -> tuple[object, ...]:
    return tuple(
        annotation
        for item in finished.output
        if item["type"] == "message"
        for part in item["content"]
        for annotation in part.get("annotations") or ()
    )


@pytest.mark.parametrize("recording", own_recordings(), ids=lambda recording: recording.name)
async def test_own_recording_gives_what_its_manifest_says(upstream: ResponsesServer, recording: Recording) -> None:
    for piece in PIECES:
        check(await played(upstream, recording, piece), recording)


def test_every_own_recording_is_in_the_manifest() -> None:
    assert {recording.path.name for recording in own_recordings()} == {path.name for path in OWN.glob("*.sse")}


@pytest.mark.shared
@pytest.mark.parametrize("recording", shared_recordings(), ids=lambda recording: recording.name)
async def test_shared_recording_gives_what_its_manifest_says(upstream: ResponsesServer, recording: Recording) -> None:
    long = recording.path.stat().st_size > LONG
    for piece in PIECES[1:] if long else PIECES:
        check(await played(upstream, recording, piece), recording)
