"""Reads the bytes of an accepted response into stream events, up to and including the one `Finished`."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, suppress

import httpx2
import orjson

from chat.errors import NotResponsesServerError, ProviderError, UpstreamFault, UpstreamTimeoutError
from chat.providers.base import StreamEvent
from chat.providers.openai.assembler import Assembler
from chat.providers.openai.connection import BROKEN, reason, timed_out
from chat.providers.openai.gatherer import Events
from chat.providers.openai.sse import Frame, Splitter, decode, is_done

DRAIN_SECONDS = 0.2
"""How long the end of the bytes is awaited after the final event, so that the connection can be used again."""

AFTER_ERROR_SECONDS = 2.0
"""How long a final event is awaited after an `error` event: some servers send none and leave the connection open."""


async def events_of(response: httpx2.Response, secrets: tuple[str, ...]) -> AsyncGenerator[StreamEvent, None]:
    """The events of a response whose status was 2xx, whether it streams or came as one JSON document."""
    assembler = Assembler(secrets=secrets)
    is_document = "json" in response.headers.get("content-type", "")
    chunks = response.aiter_bytes()
    error: ProviderError | None = None
    said = ""
    async with aclosing(chunks):
        try:
            async for events in _document(chunks, assembler) if is_document else _stream(chunks, assembler):
                for event in events:
                    yield event
        except TimeoutError:
            said = "no final event after an error event"
        except BROKEN as broken:
            said = reason(broken, secrets)
            error = UpstreamTimeoutError(fault=UpstreamFault(message=said)) if timed_out(broken) else None
        for event in assembler.end(error=error, reason=said):
            yield event
        if not said:
            await _drain(chunks)


async def _stream(chunks: AsyncGenerator[bytes, None], assembler: Assembler) -> AsyncIterator[Events]:
    splitter = Splitter()
    while assembler.finished is None:
        chunk = await (anext(chunks, None) if assembler.error is None else _soon(chunks))
        frames = splitter.close() if chunk is None else splitter.feed(chunk)
        for frame in frames:
            if is_done(frame.data):
                return
            if events := _fed(frame, assembler):
                yield events
        if chunk is None:
            return


def _fed(frame: Frame, assembler: Assembler) -> Events:
    raw = decode(frame)
    if len(raw) == 1:
        return assembler.feed(raw[0])
    return [event for one in raw for event in assembler.feed(one)]


async def _soon(chunks: AsyncGenerator[bytes, None]) -> bytes | None:
    async with asyncio.timeout(AFTER_ERROR_SECONDS):
        return await anext(chunks, None)


async def _document(chunks: AsyncGenerator[bytes, None], assembler: Assembler) -> AsyncIterator[Events]:
    """A server that does not stream answers with the whole response at once; some only call their stream JSON."""
    body = b"".join([chunk async for chunk in chunks])
    if not body.lstrip().startswith(b"{"):
        splitter = Splitter()
        for frame in (*splitter.feed(body), *splitter.close()):
            yield [] if is_done(frame.data) else _fed(frame, assembler)
        return
    try:
        response = orjson.loads(body)
    except orjson.JSONDecodeError:
        response = {}
    if "output" in response or response.get("object") == "response":
        yield assembler.feed({"type": "response.completed", "response": response})
    elif response.keys() & {"error", "message", "detail"}:
        yield assembler.feed({"type": "error", **response})
    else:
        assembler.error = NotResponsesServerError()


async def _drain(chunks: AsyncGenerator[bytes, None]) -> None:
    with suppress(TimeoutError, *BROKEN):
        async with asyncio.timeout(DRAIN_SECONDS):
            async for _ in chunks:
                pass
