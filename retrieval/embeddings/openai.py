"""Embeds by a server that speaks OpenAI's embeddings API, through the `openai` package's transport.

Answers are read by us: the package would make a Python list of each vector. Its own retries are off: they
know neither our deadlines nor which refusals are worth another try.
"""

import asyncio
from collections.abc import Mapping, Sequence
from functools import cached_property
from urllib.parse import urlsplit

import httpx2
import numpy as np
import openai
import openai.resources.embeddings

from retrieval.embeddings.answers import read_vectors
from retrieval.embeddings.background import background
from retrieval.embeddings.base import EmbeddingTarget, Kind, Vectors
from retrieval.embeddings.batches import MAX_TEXTS, batches
from retrieval.embeddings.retrying import Patience, Refusal, patiently
from retrieval.errors import (
    EmbeddingDimensionError,
    EmbeddingError,
    EmbeddingInputError,
    EmbeddingKeyError,
    EmbeddingRefusedError,
    EmbeddingUnavailableError,
)

CONCURRENCY = 4
MAX_CONNECTIONS = 64
KEEP_ALIVE_SECONDS = 30.0
QUERY_SECONDS = 10.0
PATIENCE: Mapping[Kind, Patience] = {
    "query": Patience(attempts=2, first=0.2, longest=1.0),
    "document": Patience(attempts=6, first=0.5, longest=30.0),
}
_PASSING = frozenset({408, 409, 425, 429})
_MESSAGE_LENGTH = 300
_TOO_LONG = ("context length", "maximum context", "too long", "too many tokens", "input length", "maximum input")
_NO_KEY = "none"


class OpenAIEmbedder:
    """An embedder for one target; threads and event loops may share it: its connections live in the
    background loop.
    """

    def __init__(self, target: EmbeddingTarget) -> None:
        self._target = target
        self._connected: tuple[asyncio.AbstractEventLoop, openai.AsyncOpenAI] | None = None
        # What the server turned out not to take; found out once.
        self._base64 = True
        self._max_texts = MAX_TEXTS
        # Why it asked to be left alone, and until when (the loop's clock).
        self._busy: tuple[EmbeddingUnavailableError, float] | None = None

    def embed(self, texts: Sequence[str], *, kind: Kind) -> Vectors:
        future = background().submit(self._embed(texts, kind))
        try:
            return future.result()
        finally:
            future.cancel()

    async def aembed(self, texts: Sequence[str], *, kind: Kind) -> Vectors:
        return await asyncio.wrap_future(background().submit(self._embed(texts, kind)))

    async def _embed(self, texts: Sequence[str], kind: Kind) -> Vectors:
        if not texts:
            return np.zeros((0, self._target.dimensions or 0), dtype=np.float32)
        limit = asyncio.Semaphore(CONCURRENCY)

        async def one(span: range) -> Vectors:
            async with limit:
                return await self._embed_batch(texts[span.start : span.stop], kind)

        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(one(span)) for span in batches(texts, max_texts=self._max_texts)]
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from None
        return self._checked([task.result() for task in tasks])

    def _checked(self, parts: list[Vectors]) -> Vectors:
        expected = self._target.dimensions or parts[0].shape[1]
        if others := {part.shape[1] for part in parts} - {expected}:
            raise EmbeddingDimensionError(
                f"The model {self._target.model} gives vectors of {max(others)} numbers instead of {expected}."
            )
        return np.concatenate(parts)

    async def _embed_batch(self, texts: Sequence[str], kind: Kind) -> Vectors:
        try:
            return await patiently(lambda: self._attempt(texts, kind), PATIENCE[kind])
        except _BatchTooLargeError as error:
            if len(texts) == 1:
                raise EmbeddingInputError(error.message) from error
            half = len(texts) // 2
            if error.says_batch:
                self._max_texts = min(self._max_texts, half)
            parts = [await self._embed_batch(part, kind) for part in (texts[:half], texts[half:])]
            return np.concatenate(parts)

    async def _attempt(self, texts: Sequence[str], kind: Kind) -> Vectors:
        """A request, unless the server has just asked another one of documents to come back later."""
        now = asyncio.get_running_loop().time()
        if kind == "document" and self._busy is not None and self._busy[1] > now:
            error, until = self._busy
            raise Refusal(error, until - now)
        try:
            return await self._request(texts, kind)
        except Refusal as refusal:
            # longer ones are for those who ask: they come back another time
            if refusal.after and refusal.after <= PATIENCE[kind].longest:
                self._busy = refusal.error, asyncio.get_running_loop().time() + refusal.after
            raise

    async def _request(self, texts: Sequence[str], kind: Kind) -> Vectors:
        encoded = self._base64
        try:
            response = await self._client().embeddings.with_raw_response.create(
                model=self._target.model,
                input=list(texts),
                encoding_format="base64" if encoded else "float",
                dimensions=self._asked_dimensions,
                extra_headers=self._headers,
                timeout=self._timeout(kind),
            )
        except openai.APIStatusError as error:
            if encoded and error.status_code in {400, 422} and "encoding_format" in _said(error):
                self._base64 = False
                return await self._request(texts, kind)
            raise self._failure(error) from error
        except (openai.APIConnectionError, httpx2.HTTPError) as error:
            raise Refusal(EmbeddingUnavailableError("The embeddings server does not answer.")) from error
        return read_vectors(response.content, len(texts))

    def _failure(self, error: openai.APIStatusError) -> EmbeddingError | Refusal:
        status, said = error.status_code, self._without_secrets(_said(error))
        model = self._target.model
        if status in {401, 403}:
            return EmbeddingKeyError("The embeddings server does not accept the key.")
        if error.code == "insufficient_quota":
            return EmbeddingUnavailableError("The embeddings account has no credit left.", retryable=False)
        if status in _PASSING or status >= 500:
            busy = EmbeddingUnavailableError(f"The embeddings server is busy or broken ({status}).")
            return Refusal(busy, _retry_after(error))
        if any(words in said.lower() for words in _TOO_LONG):
            return EmbeddingInputError(f"A text is too long for the embedding model {model}: {said}")
        if status == 413 or "batch" in said.lower():
            return _BatchTooLargeError(f"The embeddings server refuses a text for its size: {said}", "batch" in said)
        if 300 <= status < 400 or status == 404:
            return EmbeddingRefusedError(f"The embeddings server knows no model {model}, or its address is wrong.")
        return EmbeddingRefusedError(f"The embeddings server refuses the request ({status}): {said}")

    def _without_secrets(self, said: str) -> str:
        for secret in (self._target.api_key, *(value for _, value in self._target.headers)):
            said = said.replace(secret, "…") if len(secret) >= 8 else said
        return " ".join(said.split())[:_MESSAGE_LENGTH]

    def _timeout(self, kind: Kind) -> httpx2.Timeout:
        read, connect = self._target.read_timeout, self._target.connect_timeout
        return httpx2.Timeout(min(read, QUERY_SECONDS) if kind == "query" else read, connect=connect)

    @cached_property
    def _asked_dimensions(self) -> int | openai.Omit:
        wanted = self._target.dimensions if self._target.shorten else None
        return wanted if wanted is not None else openai.Omit()

    @cached_property
    def _headers(self) -> dict[str, str | openai.Omit]:
        headers: dict[str, str | openai.Omit] = {}
        if not self._target.api_key:
            headers["Authorization"] = openai.Omit()
        if urlsplit(self._target.base_url).hostname != "api.openai.com":
            # The package takes these from the environment and would tell them to any server.
            headers |= {"OpenAI-Organization": openai.Omit(), "OpenAI-Project": openai.Omit()}
        return headers | dict(self._target.headers)

    def _client(self) -> openai.AsyncOpenAI:
        loop = asyncio.get_running_loop()
        if self._connected is None or self._connected[0] is not loop:
            self._connected = (loop, self._connect())
            background().close_at_exit(self._connected[1].close)
        return self._connected[1]

    def _connect(self) -> openai.AsyncOpenAI:
        return openai.AsyncOpenAI(
            base_url=self._target.base_url,
            api_key=self._target.api_key or _NO_KEY,
            max_retries=0,
            http_client=openai.DefaultAioHttpClient(
                follow_redirects=False,
                limits=httpx2.Limits(max_connections=MAX_CONNECTIONS, keepalive_expiry=KEEP_ALIVE_SECONDS),
            ),
        )


class _BatchTooLargeError(EmbeddingRefusedError):
    """Fewer texts at once may be taken; `says_batch` where it is their number and not one of them."""

    def __init__(self, message: str, says_batch: bool) -> None:
        super().__init__(message)
        self.says_batch = says_batch


def _said(error: openai.APIStatusError) -> str:
    body = error.body
    message = body.get("message") or body.get("error") if isinstance(body, Mapping) else None
    return str(message or error.response.text)


def _retry_after(error: openai.APIStatusError) -> float | None:
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            return max(0.0, float(error.response.headers.get(name, "")) * unit)
        except ValueError:
            continue
    return None
