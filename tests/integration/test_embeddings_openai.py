"""The embeddings adapter against a server over real HTTP: batches, formats, retries and what refusals become."""

import asyncio
import os
import signal
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from retrieval.embeddings import EmbeddingTarget
from retrieval.embeddings.background import background
from retrieval.embeddings.openai import CONCURRENCY, OpenAIEmbedder
from retrieval.errors import (
    EmbeddingDimensionError,
    EmbeddingError,
    EmbeddingInputError,
    EmbeddingInvalidError,
    EmbeddingKeyError,
    EmbeddingRefusedError,
    EmbeddingUnavailableError,
)
from tests.responses_server import ResponsesServer
from tests.waiting import until, wait_until

KEY = "sk-a-key-nobody-may-see"


@pytest.fixture(autouse=True)
def _connections_end_with_the_test() -> Iterator[None]:
    yield
    background().stop()


@pytest.fixture
def target(upstream: ResponsesServer) -> EmbeddingTarget:
    return EmbeddingTarget(provider="openai", model="embedder", base_url=upstream.base_url, api_key=KEY)


def refuse(status: int, message: str = "no", *, times: int = 1, **more: Any) -> list[dict[str, Any]]:
    error = {"message": message, **more.pop("error", {})}
    return [{"endpoint": "embeddings", "status": status, "body": {"error": error}, **more}] * times


def embed(target: EmbeddingTarget, *texts: str) -> Any:
    return OpenAIEmbedder(target).embed(texts or ("lamp",), kind="document")


def bodies(upstream: ResponsesServer) -> list[dict[str, Any]]:
    return [entry.body for entry in upstream.entries if entry.path == "/v1/embeddings"]


def test_many_texts_go_in_few_requests_and_come_back_in_order(
    upstream: ResponsesServer, target: EmbeddingTarget
) -> None:
    texts = [f"word{n} tower" for n in range(1400)]
    vectors = embed(target, *texts)
    assert vectors.shape == (1400, 256)
    assert vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert len(bodies(upstream)) == 6
    assert {body["encoding_format"] for body in bodies(upstream)} == {"base64"}
    alone = embed(target, texts[777])
    assert np.allclose(vectors[777], alone[0], atol=1e-6)
    assert not np.allclose(vectors[776], alone[0], atol=1e-2)


async def test_no_more_than_four_requests_at_once(upstream: ResponsesServer, target: EmbeddingTarget) -> None:
    upstream.script({"endpoint": "embeddings", "fault": "hang", "at_headers": True, "always": True})
    texts = [f"text {n}" for n in range(256 * 10)]
    waiting = asyncio.create_task(OpenAIEmbedder(target).aembed(texts, kind="document"))
    await until(lambda: len(upstream.entries) >= CONCURRENCY)
    await asyncio.sleep(0.3)  # for one more, where it is not bounded
    assert len(upstream.entries) == CONCURRENCY
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_queries_do_not_hold_up_the_loop(upstream: ResponsesServer, target: EmbeddingTarget) -> None:
    embedder = OpenAIEmbedder(target)
    both = await asyncio.gather(*(embedder.aembed([text], kind="query") for text in ("lamp", "tower")))
    assert [vectors.shape for vectors in both] == [(1, 256), (1, 256)]


def test_the_connection_is_kept_for_the_next_call(upstream: ResponsesServer, target: EmbeddingTarget) -> None:
    embedder = OpenAIEmbedder(target)
    embedder.embed(["lamp"], kind="query")
    asyncio.run(embedder.aembed(["lamp"], kind="query"))
    asyncio.run(embedder.aembed(["lamp"], kind="query"))
    assert len({entry.peer for entry in upstream.entries}) == 1


def test_no_texts_need_no_request(upstream: ResponsesServer, target: EmbeddingTarget) -> None:
    assert OpenAIEmbedder(replace(target, dimensions=256)).embed([], kind="document").shape == (0, 256)
    assert bodies(upstream) == []


def test_the_key_goes_along_and_the_environment_does_not(
    upstream: ResponsesServer, target: EmbeddingTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_ORG_ID", "org-hush")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-other")
    embed(replace(target, headers=(("x-team", "light"),)))
    embed(replace(target, api_key=""))
    keyed, keyless = (entry.headers for entry in upstream.entries)
    assert keyed["authorization"] == f"Bearer {KEY}"
    assert keyed["x-team"] == "light"
    assert "authorization" not in keyless
    assert not any("org-hush" in str(headers) for headers in (keyed, keyless))


def test_dimensions_are_asked_for_only_where_wanted(upstream: ResponsesServer, target: EmbeddingTarget) -> None:
    embed(replace(target, dimensions=256))
    assert embed(replace(target, dimensions=64, shorten=True)).shape == (1, 64)
    assert [body.get("dimensions") for body in bodies(upstream)] == [None, 64]


def test_vectors_of_another_length_are_refused(target: EmbeddingTarget) -> None:
    with pytest.raises(EmbeddingDimensionError, match="256 numbers instead of 384") as caught:
        embed(replace(target, dimensions=384))
    assert not caught.value.retryable


def test_a_server_without_base64_is_asked_once_more(upstream: ResponsesServer, target: EmbeddingTarget) -> None:
    upstream.script(*refuse(422, "encoding_format: base64 is not supported"))
    embedder = OpenAIEmbedder(target)
    embedder.embed(["lamp"], kind="document")
    embedder.embed(["lamp"], kind="document")
    assert [body["encoding_format"] for body in bodies(upstream)] == ["base64", "float", "float"]


def test_a_server_with_smaller_batches(upstream: ResponsesServer, target: EmbeddingTarget) -> None:
    upstream.script(*refuse(413, "batch size 256 > maximum allowed batch size 64", times=3))
    embedder = OpenAIEmbedder(target)
    texts = [f"text {n}" for n in range(256)]
    vectors = embedder.embed(texts, kind="document")
    assert np.allclose(vectors[200], embed(target, texts[200])[0], atol=1e-6)
    upstream.reset()
    embedder.embed(texts, kind="document")
    assert max(len(body["input"]) for body in bodies(upstream)) <= 64


@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503])
def test_what_passes_is_tried_again(upstream: ResponsesServer, target: EmbeddingTarget, status: int) -> None:
    upstream.script(*refuse(status, times=2))
    assert embed(target).shape == (1, 256)
    assert len(bodies(upstream)) == 3


def test_a_server_that_says_when_is_heard(upstream: ResponsesServer, target: EmbeddingTarget) -> None:
    upstream.script(*refuse(429, headers={"retry-after": "1.2"}))
    started = time.monotonic()
    embed(target)
    assert time.monotonic() - started >= 1.2


def test_what_it_says_to_one_is_heard_by_all(upstream: ResponsesServer, target: EmbeddingTarget) -> None:
    embedder = OpenAIEmbedder(target)
    upstream.script(*refuse(429, headers={"retry-after": "3"}))
    with ThreadPoolExecutor(2) as callers:
        first = callers.submit(embedder.embed, ["lamp"], kind="document")
        wait_until(lambda: bool(upstream.entries and upstream.entries[0].finished))
        second = callers.submit(embedder.embed, ["tower"], kind="document")
        assert first.result(60).shape == second.result(60).shape
    refused, *others = upstream.entries
    assert min(entry.received for entry in others) - refused.received >= 2.9


def test_a_query_is_not_kept_waiting(upstream: ResponsesServer, target: EmbeddingTarget) -> None:
    upstream.script(*refuse(429, headers={"retry-after": "60"}, times=6))
    started = time.monotonic()
    with pytest.raises(EmbeddingUnavailableError) as caught:
        OpenAIEmbedder(target).embed(["lamp"], kind="query")
    assert caught.value.retryable
    assert time.monotonic() - started < 60


@pytest.mark.parametrize(
    ("status", "message", "more", "error", "retryable"),
    [
        (401, f"Incorrect API key provided: {KEY}", {}, EmbeddingKeyError, False),
        (403, "forbidden", {}, EmbeddingKeyError, False),
        (404, "no such model", {}, EmbeddingRefusedError, False),
        (307, "moved", {"headers": {"location": "http://127.0.0.1:9/"}}, EmbeddingRefusedError, False),
        (400, f"bad input, {KEY}", {}, EmbeddingRefusedError, False),
        (400, "This model's maximum context length is 8192 tokens", {}, EmbeddingInputError, False),
        (413, "Input validation error: `inputs` must have less than 512 tokens", {}, EmbeddingInputError, False),
        (429, "quota", {"error": {"code": "insufficient_quota"}}, EmbeddingUnavailableError, False),
    ],
)
def test_refusals(
    upstream: ResponsesServer,
    target: EmbeddingTarget,
    status: int,
    message: str,
    more: dict[str, Any],
    error: type[EmbeddingError],
    retryable: bool,
) -> None:
    upstream.script(*refuse(status, message, **more))
    with pytest.raises(error) as caught:
        embed(target)
    assert type(caught.value) is error
    assert caught.value.retryable is retryable
    assert KEY not in caught.value.message
    assert len(bodies(upstream)) == 1


def test_one_refused_batch_fails_the_call_once(upstream: ResponsesServer, target: EmbeddingTarget) -> None:
    upstream.script(*refuse(400, "bad", times=4))
    with pytest.raises(EmbeddingRefusedError):
        embed(target, *(f"text {n}" for n in range(1000)))


def test_an_answer_that_is_no_answer(upstream: ResponsesServer, target: EmbeddingTarget) -> None:
    # for every request: one that the test before gave up may still arrive, and must not use the answer up
    upstream.script({"endpoint": "embeddings", "status": 201, "body": {"data": []}, "always": True})
    with pytest.raises(EmbeddingInvalidError):
        embed(target)


def test_nobody_is_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    absent = EmbeddingTarget(provider="openai", model="m", base_url=f"http://127.0.0.1:{port}/v1")
    with pytest.raises(EmbeddingUnavailableError, match="does not answer"):
        OpenAIEmbedder(absent).embed(["lamp"], kind="query")


def test_a_server_that_never_answers(upstream: ResponsesServer, target: EmbeddingTarget) -> None:
    upstream.script({"endpoint": "embeddings", "fault": "hang", "at_headers": True, "always": True})
    started = time.monotonic()
    with pytest.raises(EmbeddingUnavailableError):
        OpenAIEmbedder(replace(target, read_timeout=0.3)).embed(["lamp"], kind="query")
    assert time.monotonic() - started < target.read_timeout


async def test_a_cancelled_query_leaves_the_server(upstream: ResponsesServer, target: EmbeddingTarget) -> None:
    upstream.script({"endpoint": "embeddings", "fault": "hang", "at_headers": True, "always": True})
    waiting = asyncio.create_task(OpenAIEmbedder(target).aembed(["lamp"], kind="query"))
    await until(lambda: upstream.entries)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await until(lambda: upstream.entries[0].disconnected)
    assert len(upstream.entries) == 1


def test_a_forked_child_has_connections_of_its_own(target: EmbeddingTarget) -> None:
    embedder = OpenAIEmbedder(target)
    embedder.embed(["lamp"], kind="document")
    child = os.fork()
    if child == 0:
        signal.alarm(60)
        os._exit(0 if embedder.embed(["lamp"], kind="document").shape == (1, 256) else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert embedder.embed(["lamp"], kind="document").shape == (1, 256)
