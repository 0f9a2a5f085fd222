"""Reads the bytes of one answer into stream events, over as many connections as it comes in.

A stream is read as such whatever the server calls it, and so is a document: what the first byte shows decides.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import Any

import httpx2
import orjson

from chat.errors import NotResponsesServerError, ProviderError, UpstreamFault, UpstreamTimeoutError
from chat.providers.base import RefusalDelta, StreamEvent, TextDelta
from chat.providers.openai.assembler import Assembler
from chat.providers.openai.connection import BROKEN, reason, timed_out
from chat.providers.openai.gatherer import Events
from chat.providers.openai.sse import MAX_FRAME_BYTES, Frame, FrameTooLargeError, Splitter, decode, is_done
from chat.providers.openai.wire import Wire

DRAIN_SECONDS = 0.2
"""How long the end of the bytes is awaited after the final event, so that the connection can be used again."""

AFTER_ERROR_SECONDS = 2.0
"""How long a final event is awaited after an `error` event: some servers send none and leave the connection open."""

_NOTHING_YET = b"\xef\xbb\xbf \t\r\n"
_NO_STREAM = b"{[<"


@dataclass(frozen=True, slots=True)
class Place:
    """How far an answer has been read: what its server calls it, and the number of the last event."""

    response_id: str
    reached: int


class Reading:
    """Bytes to events. `over` says that no more bytes are wanted: the final event or an end marker has come; `speaks`,
    that text has come."""

    def __init__(
        self, secrets: tuple[str, ...] = (), *, response_id: str | None = None, resumable: bool = False
    ) -> None:
        self.assembler = Assembler(secrets=secrets, response_id=response_id, resumable=resumable)
        self.over = False
        self.speaks = False
        self._secrets = secrets
        self._lost: tuple[ProviderError | None, str] = (None, "")
        self._begin()

    def _begin(self) -> None:
        self._splitter: Splitter | None = None
        self._is_document = False
        self._whole = bytearray()

    @property
    def place(self) -> Place | None:
        """Where an unfinished answer can be taken up again; None where it cannot, or has failed by itself."""
        response_id, reached = self.assembler.response_id, self.assembler.reached
        failed = self.assembler.error is not None
        if self.over or failed or response_id is None or reached is None:
            return None
        return Place(response_id, reached)

    def resume(self) -> None:
        """What is fed from now on comes from another connection."""
        self._begin()
        self._lost = (None, "")
        self.assembler.resume()

    def feed(self, chunk: bytes) -> Events:
        """The events that these bytes bring. Raises `FrameTooLargeError`."""
        if self._splitter is None:
            self._whole += chunk
            if len(self._whole) > MAX_FRAME_BYTES:
                raise FrameTooLargeError
            if self._is_document or not (head := self._whole.lstrip(_NOTHING_YET)):
                return []
            if head[:1] in _NO_STREAM:
                self._is_document = True
                return []
            self._splitter, chunk = Splitter(), bytes(self._whole)
        return self._framed(self._splitter, chunk)

    def _framed(self, splitter: Splitter, chunk: bytes | None) -> Events:
        """The events of the frames that became whole; None for the end of the bytes."""
        made: Events = []
        for frame in splitter.close() if chunk is None else splitter.feed(chunk):
            raw = decode(frame)
            made += self.assembler.feed(raw[0]) if len(raw) == 1 else self._all(raw)
            if self.assembler.finished is not None or is_done(frame.data):
                self.over = True
                break
        self.speaks = self.speaks or any(isinstance(event, TextDelta | RefusalDelta) for event in made)
        return _joined(made)

    def close(self) -> Events:
        """The events that the end of the bytes brings: of a last frame, or of a document."""
        if self._splitter is not None:
            return self._framed(self._splitter, None)
        made = self._document(bytes(self._whole).strip(_NOTHING_YET))
        self.over = self.over or self.assembler.finished is not None
        return made

    def lost(self, error: BaseException) -> None:
        """The connection broke; `end` will tell of it unless the answer is taken up again."""
        said = reason(error, self._secrets)
        self._lost = (UpstreamTimeoutError(fault=UpstreamFault(message=said)) if timed_out(error) else None, said)

    def end(self) -> Events:
        """The one `Finished` of an answer that brought none; nothing where it did."""
        error, said = self._lost
        return self.assembler.end(error=error, reason=said)

    def _document(self, body: bytes) -> Events:
        """A server that does not stream answers with the whole response at once, or with all events in a row."""
        if not body:
            return []
        if body.startswith(b"<"):
            self.assembler.error = NotResponsesServerError()
            return []
        try:
            given: Any = orjson.loads(body)
        except orjson.JSONDecodeError:
            given = [event for line in body.splitlines() for event in decode(Frame("", line))]
        return self._all(given) if isinstance(given, list) else self._response(given)

    def _response(self, given: dict[str, Any]) -> Events:
        if "output" in given or given.get("object") == "response":
            return self.assembler.feed_document(given)
        if str(given.get("type")).startswith("response."):
            return self.assembler.feed(given)
        if given.keys() & {"error", "message", "detail"}:
            return self.assembler.feed({"type": "error", "error": given})
        self.assembler.error = NotResponsesServerError()
        return []

    def _all(self, raw: list[Any]) -> Events:
        return [made for event in raw if isinstance(event, dict) for made in self.assembler.feed(event)]


def _joined(events: Events) -> Events:
    """Pieces of text that came together, as one: what each event costs from here on is the same for any length."""
    if len(events) < 2:
        return events
    joined: Events = []
    for event in events:
        last = joined[-1] if joined else None
        if isinstance(event, TextDelta) and isinstance(last, TextDelta) and _place(event) == _place(last):
            joined[-1] = TextDelta(last.output_index, last.content_index, last.text + event.text)
        else:
            joined.append(event)
    return joined


def _place(delta: TextDelta) -> tuple[int, int]:
    return delta.output_index, delta.content_index


async def events_of(response: httpx2.Response, reading: Reading) -> AsyncGenerator[StreamEvent, None]:
    """The events of one connection whose status was 2xx. What breaks it is told to `reading`, never raised."""
    wire = Wire(response)
    chunks = wire.chunks()
    speaks = False
    async with aclosing(chunks):
        try:
            async for chunk in chunks:
                for event in reading.feed(chunk):
                    yield event
                if reading.over or reading.assembler.error is not None:
                    break
                # the first words are shown as they come, and so is what tells how to show them
                wire.gathers, speaks = speaks, reading.speaks
            else:
                for event in reading.close():
                    yield event
                return
            wire.gathers = False
            while not reading.over:
                late = await _soon(chunks)
                for event in reading.close() if late is None else reading.feed(late):
                    yield event
                reading.over = reading.over or late is None
        except BROKEN as broken:
            reading.lost(broken)
            return
        await _drain(chunks)


async def _soon(chunks: AsyncGenerator[bytes, None]) -> bytes | None:
    """The next bytes after an error event; None at their end, and where nothing more comes."""
    with suppress(TimeoutError):
        async with asyncio.timeout(AFTER_ERROR_SECONDS):
            return await anext(chunks, None)
    return None


async def _drain(chunks: AsyncGenerator[bytes, None]) -> None:
    with suppress(TimeoutError, *BROKEN):
        async with asyncio.timeout(DRAIN_SECONDS):
            async for _ in chunks:
                pass
