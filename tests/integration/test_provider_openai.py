"""The adapter against a real HTTP server: what is sent, how it fails, how it stops, what it leaves behind."""

import asyncio
import gc
import socket
import traceback
from collections.abc import AsyncIterator
from typing import Any

import pytest

from chat import errors
from chat.errors import ProviderError
from chat.providers.base import (
    ArgumentsDelta,
    Capabilities,
    Finished,
    ReasoningDelta,
    RefusalDelta,
    Request,
    StreamEvent,
    Target,
    TextDelta,
    function_calls,
    output_text,
    refusal,
)
from chat.providers.openai import OpenAIProvider
from tests.responses_server import ResponsesServer
from tests.upstream.recordings import OWN
from tests.waiting import PATIENCE, until

KEY = "sk-proj-0123456789abcdefghij"
REQUEST = Request(input=({"type": "message", "role": "user", "content": "Hello?"},), idempotency_key="step-1")


@pytest.fixture
async def provider() -> AsyncIterator[OpenAIProvider]:
    provider = OpenAIProvider()
    yield provider
    await provider.aclose()
    gc.collect()


@pytest.fixture
def target(upstream: ResponsesServer) -> Target:
    return Target(base_url=upstream.base_url, api_key=KEY, model="scripted")


def changed(target: Target, **fields: Any) -> Target:
    own = {name: getattr(target, name) for name in Target.__slots__}
    return Target(**{**own, **fields})


async def collect(provider: OpenAIProvider, target: Target, request: Request = REQUEST) -> list[StreamEvent]:
    return [event async for event in provider.stream(request, target)]


def patience(script: dict[str, Any]) -> float:
    """Seconds after which a server that hangs is given up; the others have time."""
    return 1.5 if script.get("fault") == "hang" else PATIENCE


async def finish(provider: OpenAIProvider, target: Target, request: Request = REQUEST) -> Finished:
    finished = (await collect(provider, target, request))[-1]
    assert isinstance(finished, Finished)
    return finished


async def refused(provider: OpenAIProvider, target: Target, request: Request = REQUEST) -> ProviderError:
    with pytest.raises(ProviderError) as caught:
        await collect(provider, target, request)
    return caught.value


async def test_text_comes_as_it_is_made(provider: OpenAIProvider, target: Target, upstream: ResponsesServer) -> None:
    upstream.script({"text": "one two three", "fault": "hang", "after": 2})
    stream = provider.stream(REQUEST, target)
    text = ""
    async for event in stream:
        if isinstance(event, TextDelta):
            text += event.text
        if text == "one two ":
            break
    assert text == "one two "
    assert upstream.requests[0].finished is None, "the server is not done"
    await stream.aclose()


async def test_tokens_that_come_fast_are_taken_up_together(
    provider: OpenAIProvider, target: Target, upstream: ResponsesServer
) -> None:
    said = " ".join(f"w{number}" for number in range(200))
    upstream.script({"text": said, "delay": 0.002})
    pieces = [event.text async for event in provider.stream(REQUEST, target) if isinstance(event, TextDelta)]
    assert "".join(pieces) == said
    # some twenty times a second, or in fewer pieces on a busy machine
    assert len(pieces) < 100


@pytest.mark.parametrize("delay", [0.0, 0.004])
async def test_what_was_sent_before_a_connection_broke_is_kept(
    provider: OpenAIProvider, target: Target, upstream: ResponsesServer, delay: float
) -> None:
    upstream.script({"fault": "drop", "after": 30, "text": "word " * 60, "delay": delay})
    events = await collect(provider, target)
    finished = events[-1]
    assert isinstance(finished, Finished)
    assert finished.status == "failed"
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == "word " * 30


async def test_calls_reasoning_and_refusals(
    provider: OpenAIProvider, target: Target, upstream: ResponsesServer
) -> None:
    calls = [{"name": "add", "arguments": {"a": 1}, "call_id": "c1"}, {"name": "now", "arguments": "", "call_id": "c2"}]
    upstream.script({"calls": calls, "reasoning": "Two tools.", "thoughts": "hm"}, {"refusal": "I will not."})
    events = await collect(provider, target)
    finished = events[-1]
    assert isinstance(finished, Finished)
    assert [(call.name, call.call_id, call.arguments) for call in function_calls(finished.output)] == [
        ("add", "c1", '{"a": 1}'),
        ("now", "c2", ""),
    ]
    assert (
        "".join(event.text for event in events if isinstance(event, ArgumentsDelta) and event.name == "add")
        == '{"a": 1}'
    )
    assert (
        "".join(event.text for event in events if isinstance(event, ReasoningDelta) and event.summary) == "Two tools."
    )
    events = await collect(provider, target)
    finished = events[-1]
    assert isinstance(finished, Finished)
    assert refusal(finished.output) == "I will not."
    assert "".join(event.text for event in events if isinstance(event, RefusalDelta)) == "I will not."


async def test_a_cut_off_call_is_marked(provider: OpenAIProvider, target: Target, upstream: ResponsesServer) -> None:
    upstream.script(
        {"calls": [{"name": "add", "arguments": {"a": 1}}], "incomplete": "max_output_tokens", "cut_call": True}
    )
    finished = await finish(provider, target)
    assert (finished.status, finished.incomplete_reason) == ("incomplete", "max_output_tokens")
    assert [call.complete for call in function_calls(finished.output)] == [False]


async def test_only_what_the_record_allows_is_sent(
    provider: OpenAIProvider, target: Target, upstream: ResponsesServer
) -> None:
    request = Request(
        input=({"type": "message", "id": "msg_1", "role": "user", "content": "x"},),
        instructions="Be brief.",
        metadata={"turn": "7"},
        prompt_cache_key="c1",
        idempotency_key="step-9",
    )
    await collect(provider, changed(target, capabilities=Capabilities({"metadata": True})), request)
    await collect(provider, changed(target, capabilities=Capabilities({"idempotency_key": False})), request)
    first, second = upstream.requests
    assert first.body == {
        "model": "scripted",
        "input": [{"type": "message", "role": "user", "content": "x"}],
        "instructions": "Be brief.",
        "metadata": {"turn": "7"},
        "store": False,
        "stream": True,
    }
    assert first.headers["idempotency-key"] == "step-9"
    assert first.headers["authorization"] == f"Bearer {KEY}"
    assert "idempotency-key" not in second.headers
    assert "metadata" not in second.body


async def test_the_environment_decides_nothing(
    provider: OpenAIProvider, target: Target, upstream: ResponsesServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-the-environment")
    monkeypatch.setenv("OPENAI_ORG_ID", "org-of-the-environment")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "project-of-the-environment")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    await collect(provider, changed(target, api_key="", headers={"api-key": "of-azure"}))
    headers = upstream.requests[0].headers
    assert "of-the-environment" not in str(headers)
    assert "authorization" not in headers
    assert headers["api-key"] == "of-azure"


@pytest.mark.parametrize(
    ("script", "expected", "delay"),
    [
        ({"status": 429, "headers": {"retry-after": "2"}, "body": {}}, errors.RateLimitedError, 2.0),
        ({"status": 429, "body": {"error": {"code": "insufficient_quota"}}}, errors.QuotaExhaustedError, None),
        ({"status": 503, "body": "overloaded"}, errors.UpstreamUnavailableError, None),
        ({"status": 400, "body": {"error": {"code": "conversation_locked"}}}, errors.ConversationLockedError, None),
        ({"status": 307, "headers": {"location": "http://127.0.0.1:9/"}}, errors.NotResponsesServerError, None),
        ({"body": "<html></html>", "headers": {"content-type": "text/html"}}, errors.NotResponsesServerError, None),
        ({"fault": "drop", "at_headers": True}, errors.UpstreamUnavailableError, None),
        ({"fault": "hang", "at_headers": True}, errors.UpstreamTimeoutError, None),
    ],
)  # fmt: skip
async def test_a_failure_before_the_stream_is_raised(
    provider: OpenAIProvider, target: Target, upstream: ResponsesServer,
    script: dict[str, Any], expected: type[ProviderError], delay: float | None,
) -> None:  # fmt: skip
    upstream.script(script)
    failure = await refused(provider, changed(target, read_timeout=patience(script)))
    assert type(failure) is expected
    assert failure.retry_after == delay
    assert failure.retryable is expected.retryable
    assert len(upstream.requests) == 1, "the package must not try again by itself"


@pytest.mark.parametrize(
    ("script", "code", "text"),
    [
        ({"fault": "error_nested", "after": 2}, "upstream_unavailable", "one two "),
        ({"fault": "error_flat", "after": 2}, "upstream_unavailable", "one two "),
        ({"fault": "error_untyped", "after": 1}, "upstream_unavailable", "one "),
        ({"fault": "error_and_failed", "after": 1, "error": {"code": "insufficient_quota"}}, "quota_exhausted", "one "),
        ({"fault": "failed", "after": 0, "error": {"code": "invalid_prompt"}}, "invalid_upstream_request", ""),
        ({"fault": "drop", "after": 2}, "stream_truncated", "one two "),
        ({"fault": "drop", "after": -1}, "stream_truncated", ""),
        ({"fault": "eof", "after": 3}, "stream_truncated", "one two three"),
        ({"fault": "hang", "after": 1}, "upstream_timeout", "one "),
    ],
)  # fmt: skip
async def test_a_failure_within_the_stream_keeps_what_came(
    provider: OpenAIProvider, target: Target, upstream: ResponsesServer, script: dict[str, Any], code: str, text: str
) -> None:
    upstream.script({"text": "one two three", **script})
    events = await collect(provider, changed(target, read_timeout=patience(script)))
    finished = events[-1]
    assert isinstance(finished, Finished)
    assert finished.status == "failed"
    assert finished.error is not None
    assert finished.error.code == code
    assert output_text(finished.output) == text
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == text
    if isinstance(finished.error, errors.StreamTruncatedError):
        assert finished.error.partial == finished.output


async def test_an_error_event_is_not_waited_for_by_the_read_timeout(
    provider: OpenAIProvider, target: Target, upstream: ResponsesServer, tmp_path: Any
) -> None:
    recording = tmp_path / "error.sse"
    recording.write_text('data: {"type":"error","code":"server_error","message":"m"}\n\n')
    upstream.script({"recording": str(recording), "fault": "hang"})
    async with asyncio.timeout(PATIENCE):
        finished = await finish(provider, changed(target, read_timeout=10 * PATIENCE))
    assert finished.error is not None
    assert finished.error.code == "upstream_unavailable"


async def test_a_server_that_does_not_stream_is_understood(
    provider: OpenAIProvider, target: Target, upstream: ResponsesServer
) -> None:
    item = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "At once."}]}
    upstream.script(
        {"body": {"object": "response", "id": "r", "status": "completed", "output": [item]}},
        {"body": {"error": {"code": "server_error", "message": "m"}}},
        {"body": {"unheard": "of"}},
    )
    events = await collect(provider, target)
    assert [event.text for event in events if isinstance(event, TextDelta)] == ["At once."]
    assert isinstance(events[-1], Finished)
    assert events[-1].output == (item,)
    codes = [(await finish(provider, target)).error for _ in range(2)]
    assert [error.code for error in codes if error] == ["upstream_unavailable", "not_responses_server"]


async def test_a_stream_that_calls_itself_json_is_read_as_a_stream(
    provider: OpenAIProvider, target: Target, upstream: ResponsesServer
) -> None:
    stream = 'event: response.completed\ndata: {"response": {"output": []}}\n\ndata: [DONE]\n\n'
    upstream.script({"body": stream, "headers": {"content-type": "application/json"}})
    assert (await finish(provider, target)).status == "completed"


@pytest.mark.parametrize("key", ["sk-wrong", KEY + "\n", "schlüssel-mit-umlaut", "\ud83d-half-an-emoji"])
async def test_no_key_stands_in_an_error(
    provider: OpenAIProvider, target: Target, upstream: ResponsesServer, key: str
) -> None:
    if key != "sk-wrong":
        upstream.script({"status": 400, "body": {"error": {"message": f"You sent {key!r} and {key}"}}})
    failure = await refused(provider, changed(target, api_key=key, headers={"x-secret": "header-secret-1"}))
    assert not failure.retryable
    printed = "".join(traceback.format_exception(failure)) + repr(failure) + repr(failure.fault) + failure.message
    for secret in (key, key.strip(), "header-secret-1"):
        assert secret not in printed
    assert failure.__cause__ is None
    assert failure.__context__ is None
    assert KEY not in repr(target)


async def test_an_echoed_key_is_cut_out(provider: OpenAIProvider, target: Target, upstream: ResponsesServer) -> None:
    upstream.script({"status": 400, "body": {"error": {"message": f"Do not send {KEY} here"}}})
    failure = await refused(provider, target)
    assert failure.upstream_message == "Do not send [key] here"
    upstream.script({"fault": "error_flat", "error": {"code": "odd", "message": f"{KEY}!"}, "text": "x"})
    finished = await finish(provider, target)
    assert finished.error is not None
    assert finished.error.upstream_message == "[key]!"


@pytest.mark.parametrize("url", ["127.0.0.1:9/v1", "http://", "ftp://127.0.0.1/v1", "", "http://127.0.0.1:99999/v1"])
async def test_an_address_that_is_none_is_said_to_be_so(provider: OpenAIProvider, target: Target, url: str) -> None:
    failure = await refused(provider, changed(target, base_url=url))
    assert not failure.retryable
    assert failure.code == "not_responses_server"


async def test_a_closed_port_and_a_silent_host(provider: OpenAIProvider, target: Target) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        closed = await refused(provider, changed(target, base_url=f"http://127.0.0.1:{port}/v1"))
        assert type(closed) is errors.UpstreamUnavailableError
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        port = silent.getsockname()[1]
        waited = await refused(provider, changed(target, base_url=f"http://127.0.0.1:{port}/v1", read_timeout=0.2))
        assert type(waited) is errors.UpstreamTimeoutError


async def test_closing_the_stream_closes_the_connection(
    provider: OpenAIProvider, target: Target, upstream: ResponsesServer
) -> None:
    upstream.script({"text": "word " * 100_000, "delay": 0.01})
    stream = provider.stream(REQUEST, target)
    async for event in stream:
        if isinstance(event, TextDelta):
            break
    await stream.aclose()
    await until(lambda: upstream.requests[0].disconnected)


@pytest.mark.parametrize(
    "script", [{"fault": "hang", "at_headers": True}, {"fault": "hang", "after": 1, "text": "a b"}]
)
async def test_cancelling_a_waiting_turn_closes_the_connection(
    provider: OpenAIProvider, target: Target, upstream: ResponsesServer, script: dict[str, Any]
) -> None:
    upstream.script(script)
    task = asyncio.create_task(collect(provider, target))
    await until(lambda: upstream.requests)
    await asyncio.sleep(0.1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(lambda: upstream.requests[0].disconnected)


async def test_a_finished_stream_leaves_its_connection_to_the_next(
    provider: OpenAIProvider, target: Target, upstream: ResponsesServer
) -> None:
    late_end = {"recording": str(OWN / "calls-open-at-once.sse"), "chunk_delay": 0.03, "always": True}
    upstream.script(late_end)
    for _ in range(3):
        await collect(provider, target)
    assert len({entry.peer for entry in upstream.requests}) == 1


async def test_many_streams_run_at_once(provider: OpenAIProvider, target: Target, upstream: ResponsesServer) -> None:
    upstream.script({"text": "a b c", "hold": "answers", "always": True})
    running = [asyncio.create_task(finish(provider, target)) for _ in range(150)]
    # no stream may wait for the connection of another
    await until(lambda: len(upstream.requests) == len(running))
    upstream.let_go("answers")
    assert {output_text(result.output) for result in await asyncio.gather(*running)} == {"a b c"}


async def test_clients_are_bounded_and_never_closed_under_a_stream(upstream: ResponsesServer, target: Target) -> None:
    provider = OpenAIProvider(max_clients=2)
    upstream.script({"text": "slow answer", "delay": 0.3, "when_text": "slow"})
    slow = Request(input=({"role": "user", "content": "slow"},))
    running = asyncio.create_task(finish(provider, target, slow))
    await until(lambda: upstream.requests)
    for number in range(6):
        await collect(provider, changed(target, api_key=f"sk-key-number-{number}"))
    assert output_text((await running).output) == "slow answer"
    assert sum(len(clients) for clients in provider._pool._loops.values()) <= 2
    await provider.aclose()
    gc.collect()


async def test_numbers_and_surrogates_that_cannot_be_sent(provider: OpenAIProvider, target: Target) -> None:
    failure = await refused(provider, target, Request(input=({"role": "user", "content": {1, 2}},)))
    assert failure.code == "invalid_upstream_request"
    assert not failure.retryable
