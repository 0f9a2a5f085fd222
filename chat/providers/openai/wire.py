"""The bytes of an answer, taken from the connection some twenty times a second instead of for each token.

A server writes each token by itself. Taking each up by itself costs more than all that is done with it afterwards, and
the page is not told more often anyway (`chat.rendering.blocks`). So once there is text, the connection is left alone
for a moment after each reading. What comes meanwhile waits in the kernel: read ahead, it would be lost to a connection
that breaks, since aiohttp drops what it holds when it raises.
"""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any, cast

import aiohttp
import httpx2

GATHER_SECONDS = 0.048
"""A little longer than the page's interval, so that what was gathered need not wait for the page's turn."""


class Wire:
    """The body of one response. While `gathers` is set, its bytes come in larger pieces, somewhat later."""

    def __init__(self, response: httpx2.Response) -> None:
        self.gathers = False
        self._response = response

    def chunks(self) -> AsyncGenerator[bytes, None]:
        """The bytes as they come."""
        if self._response.headers.get("content-encoding", "identity").strip().lower() in ("", "identity"):
            return self._plain(_answer(self._response))
        return self._response.aiter_bytes()

    async def _plain(self, answer: aiohttp.ClientResponse) -> AsyncGenerator[bytes, None]:
        """Past four generators of the packages between, which cost as much as the reading itself."""
        while chunk := await answer.content.readany():
            yield chunk
            if self.gathers:
                await _leave_alone(answer)


async def _leave_alone(answer: aiohttp.ClientResponse) -> None:
    """Let bytes gather in the kernel for a moment; not where all have been read."""
    connection = answer.connection
    transport = connection.transport if connection is not None else None
    if transport is None or transport.is_closing():
        return
    # aiohttp's own kind of transport has no type for reading
    reading = cast(asyncio.ReadTransport, transport)
    reading.pause_reading()
    try:
        await asyncio.sleep(GATHER_SECONDS)
    finally:
        if not reading.is_closing():
            reading.resume_reading()


def _answer(response: httpx2.Response) -> aiohttp.ClientResponse:
    """What the `openai` package's transport made its response of; the package has no other name for it."""
    stream: Any = response.stream
    answer = stream._stream._aiohttp_response
    if not isinstance(answer, aiohttp.ClientResponse):
        raise TypeError("the package reads with another client than aiohttp's")
    return answer
