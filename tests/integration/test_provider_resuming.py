"""Responses that their server generates in its background: followed again after a lost connection, and ended."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from chat.errors import ProviderError
from chat.providers.base import (
    Capabilities,
    Finished,
    Request,
    ResponseStarted,
    StreamEvent,
    Target,
    TextDelta,
    output_text,
)
from chat.providers.openai import OpenAIProvider
from tests.responses_server import ResponsesServer
from tests.waiting import PATIENCE

REQUEST = Request(input=({"type": "message", "role": "user", "content": "Hello?"},), idempotency_key="step-1")
RESUMES = Capabilities(dict.fromkeys(("resume", "store", "background", "starting_after"), True))
WORDS = "one two three four five six seven eight"


@pytest.fixture
async def provider() -> AsyncIterator[OpenAIProvider]:
    provider = OpenAIProvider()
    yield provider
    await provider.aclose()


def target(
    upstream: ResponsesServer, capabilities: Capabilities = RESUMES, *, read_timeout: float = PATIENCE
) -> Target:
    return Target(
        base_url=upstream.base_url,
        api_key="sk-test",
        model="scripted",
        capabilities=capabilities,
        read_timeout=read_timeout,
    )


async def collect(provider: OpenAIProvider, where: Target, request: Request = REQUEST) -> list[StreamEvent]:
    return [event async for event in provider.stream(request, where)]


def ending(events: list[StreamEvent]) -> Finished:
    assert [isinstance(event, Finished) for event in events] == [False] * (len(events) - 1) + [True]
    finished = events[-1]
    assert isinstance(finished, Finished)
    return finished


def streamed(events: list[StreamEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta))


def followed(upstream: ResponsesServer) -> list[dict[str, Any]]:
    return [dict(entry.query) for entry in upstream.entries if entry.method == "GET"]


@pytest.mark.parametrize("fault", ["drop", "eof", "hang"])
@pytest.mark.parametrize("after", [0, 3, 7])
async def test_a_lost_stream_goes_on_where_it_was(
    provider: OpenAIProvider, upstream: ResponsesServer, fault: str, after: int
) -> None:
    upstream.script({"text": WORDS, "delay": 0.01, "fault": fault, "after": after})
    events = await collect(provider, target(upstream, read_timeout=2 if fault == "hang" else PATIENCE))
    assert ending(events).status == "completed"
    assert streamed(events) == output_text(ending(events).output) == WORDS
    assert ending(events).usage is not None
    assert [isinstance(event, ResponseStarted) for event in events].count(True) == 1
    asked = upstream.requests[0].body
    assert (asked["background"], asked["store"]) == (True, True)
    # created, queued, in_progress, item and part come before the deltas, which are numbered from 5
    assert [query["starting_after"] for query in followed(upstream)] == [str(4 + after)]
    assert len(upstream.requests) == 1, "nothing is asked for twice"


async def test_a_stream_that_is_lost_time_and_again_loses_and_repeats_nothing(
    provider: OpenAIProvider, upstream: ResponsesServer
) -> None:
    upstream.script({"text": WORDS, "fault": "drop", "after": 1})
    upstream.script(*[{"endpoint": "retrieve", "fault": "drop", "after": 1} for _ in range(6)])
    events = await collect(provider, target(upstream))
    assert ending(events).status == "completed"
    assert streamed(events) == WORDS
    assert len(followed(upstream)) == 7


async def test_a_server_that_begins_again_is_not_heard_twice(
    provider: OpenAIProvider, upstream: ResponsesServer
) -> None:
    upstream.script({"text": WORDS, "fault": "drop", "after": 4}, {"endpoint": "retrieve", "from_start": True})
    events = await collect(provider, target(upstream))
    assert ending(events).status == "completed"
    assert streamed(events) == WORDS


async def test_a_server_that_answers_with_the_whole_response_completes_the_text(
    provider: OpenAIProvider, upstream: ResponsesServer
) -> None:
    item = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": WORDS}]}
    whole = {"id": "resp_x", "object": "response", "status": "completed", "output": [item]}
    running = {"id": "resp_x", "object": "response", "status": "in_progress", "output": []}
    upstream.script({"text": WORDS, "fault": "drop", "after": 4})
    upstream.script({"endpoint": "retrieve", "body": running}, {"endpoint": "retrieve", "body": whole})
    events = await collect(provider, target(upstream))
    assert ending(events).status == "completed"
    assert streamed(events) == WORDS


async def test_a_busy_server_is_asked_again_and_one_that_forgot_is_not(
    provider: OpenAIProvider, upstream: ResponsesServer
) -> None:
    upstream.script({"text": WORDS, "fault": "drop", "after": 2}, {"endpoint": "retrieve", "status": 503})
    assert ending(await collect(provider, target(upstream))).status == "completed"
    upstream.reset()
    upstream.script({"text": WORDS, "fault": "drop", "after": 2})
    upstream.script({"endpoint": "retrieve", "status": 404, "always": True})
    finished = ending(await collect(provider, target(upstream)))
    assert finished.error is not None
    assert finished.error.code == "stream_truncated"
    assert output_text(finished.output) == "one two "
    assert len(followed(upstream)) == 1


async def test_tries_that_bring_nothing_have_an_end(provider: OpenAIProvider, upstream: ResponsesServer) -> None:
    upstream.script({"text": WORDS, "fault": "drop", "after": 2})
    upstream.script({"endpoint": "retrieve", "fault": "eof", "always": True})
    async with asyncio.timeout(PATIENCE):
        finished = ending(await collect(provider, target(upstream)))
    assert finished.status == "failed"
    assert len(followed(upstream)) == 5


@pytest.mark.parametrize("missing", ["resume", "store", "background", "starting_after"])
async def test_without_the_record_nothing_is_kept_and_nothing_followed(
    provider: OpenAIProvider, upstream: ResponsesServer, missing: str
) -> None:
    upstream.script({"text": WORDS, "fault": "drop", "after": 2})
    events = await collect(provider, target(upstream, RESUMES.learned(missing, None)))
    assert ending(events).status == "failed"
    assert followed(upstream) == []
    assert "background" not in upstream.requests[0].body
    assert upstream.requests[0].body["store"] is False
    started = events[0]
    assert isinstance(started, ResponseStarted)
    assert not started.resumable


async def test_a_response_of_a_process_that_ended_is_followed_from_its_beginning(
    provider: OpenAIProvider, upstream: ResponsesServer
) -> None:
    upstream.script({"text": WORDS, "delay": 0.02})
    stream = provider.stream(REQUEST, target(upstream))
    started = await anext(stream)
    assert isinstance(started, ResponseStarted)
    assert started.resumable
    await stream.aclose()
    taken = Request(input=REQUEST.input, resumes=started.id or "")
    events = await collect(provider, target(upstream), taken)
    assert ending(events).response_id == started.id
    assert streamed(events) == WORDS
    assert len(upstream.requests) == 1


async def test_a_forgotten_response_is_asked_for_again_and_a_busy_server_says_so(
    provider: OpenAIProvider, upstream: ResponsesServer
) -> None:
    taken = Request(input=REQUEST.input, resumes="resp_forgotten")
    upstream.script({"text": WORDS})
    assert streamed(await collect(provider, target(upstream), taken)) == WORDS
    upstream.script({"endpoint": "retrieve", "status": 503})
    with pytest.raises(ProviderError) as caught:
        await collect(provider, target(upstream), taken)
    assert caught.value.retryable
    assert len(upstream.requests) == 1


async def test_a_background_response_ends_when_it_is_told_to(
    provider: OpenAIProvider, upstream: ResponsesServer
) -> None:
    upstream.script({"text": "word " * 20_000, "delay": 0.02})
    stream = provider.stream(REQUEST, target(upstream))
    started = await anext(stream)
    assert isinstance(started, ResponseStarted)
    await stream.aclose()
    assert await provider.cancel(started.id or "", target(upstream))
    assert upstream.entries[-1].path == f"/v1/responses/{started.id}/cancel"
    assert upstream.upstream.response(started.id or "")["status"] == "cancelled"
    assert not await provider.cancel("resp_unheard_of", target(upstream))
