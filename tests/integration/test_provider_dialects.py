"""The dialects of `tests.upstream.dialects` over HTTP: in odd pieces, compressed, and under any content type."""

import gzip
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from chat.providers.base import Finished, Request, Target, TextDelta, output_text
from chat.providers.openai import OpenAIProvider
from tests.responses_server import ResponsesServer
from tests.upstream.dialects import Answer, Dialect, answers, dialects
from tests.upstream.telling import told

REQUEST = Request(input=({"type": "message", "role": "user", "content": "Hello?"},))
TYPES = ("text/event-stream", "text/event-stream; charset=utf-8", "application/json", "text/plain", "")


@settings(
    max_examples=30,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    answers(),
    dialects(),
    st.sampled_from([1, 7, 997, 65536]),
    st.sampled_from(TYPES),
    st.booleans(),
)
async def test_an_answer_is_the_same_over_http(
    upstream: ResponsesServer,
    tmp_path: Path,
    answer: Answer,
    dialect: Dialect,
    size: int,
    content_type: str,
    compressed: bool,
) -> None:
    assume(answer.status in ("completed", "incomplete"))
    body = told(answer, dialect)
    file = tmp_path / "stream.sse"
    file.write_bytes(gzip.compress(body) if compressed else body)
    headers = {"content-type": content_type or "application/octet-stream"}
    headers |= {"content-encoding": "gzip"} if compressed else {}
    upstream.script({"recording": str(file), "chunk": max(size, len(body) // 200), "headers": headers})
    provider = OpenAIProvider()
    try:
        target = Target(base_url=upstream.base_url, api_key="sk-test", model="m")
        events = [event async for event in provider.stream(REQUEST, target)]
    finally:
        await provider.aclose()
    finished = events[-1]
    assert isinstance(finished, Finished)
    assert finished.status == answer.status
    assert output_text(finished.output) == output_text(answer.items)
    if not dialect.interleaved:
        assert "".join(event.text for event in events if isinstance(event, TextDelta)) == output_text(answer.items)


@pytest.mark.parametrize("lost", [1, 40])
async def test_a_compressed_stream_that_breaks_keeps_what_came(
    upstream: ResponsesServer, tmp_path: Path, lost: int
) -> None:
    deltas = "".join(f'data: {{"type":"response.output_text.delta","delta":"{number} "}}\n\n' for number in range(2000))
    file = tmp_path / "stream.sse"
    file.write_bytes(gzip.compress(deltas.encode())[:-lost])
    upstream.script({"recording": str(file), "chunk": 100, "headers": {"content-encoding": "gzip"}})
    provider = OpenAIProvider()
    target = Target(base_url=upstream.base_url, api_key="sk-test", model="m")
    events = [event async for event in provider.stream(REQUEST, target)]
    await provider.aclose()
    finished = events[-1]
    assert isinstance(finished, Finished)
    assert finished.error is not None
    assert finished.error.code == "stream_truncated"
    assert output_text(finished.output).startswith("0 1 2 3 ")
