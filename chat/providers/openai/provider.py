"""Sends a request through the `openai` package and reads the answer as raw events.

The package's typed events and its stream helper fail on streams that real servers send, and cost several times the CPU;
its own retries repeat requests that were billed. So only its transport is used: authentication, connections and
timeouts. What a retry is worth is decided by the caller, from the error.

Where the endpoint's record says so (`Capabilities.resumes`) an answer is generated in the background of the server.
Then a connection that breaks is made again, and the stream goes on after the last event that was read; and a request
that names such a response (`Request.resumes`) follows it instead of asking again.
"""

import asyncio
import logging
import random
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, aclosing

import httpx2
import openai

from chat.errors import ProviderError
from chat.providers.base import Request, StreamEvent, Target
from chat.providers.openai import exchange
from chat.providers.openai.clients import ClientPool
from chat.providers.openai.connection import unsendable
from chat.providers.openai.reading import Reading, events_of
from chat.providers.openai.request import body_bytes

logger = logging.getLogger(__name__)

FRUITLESS_TRIES = 5
"""Connections in a row that bring nothing new before an answer is given up."""

MOST_TRIES = 30
FIRST_DELAY = 0.2
LONGEST_DELAY = 4.0


class OpenAIProvider:
    """The provider for servers that speak the Responses API; see `chat.providers.base` for the contract."""

    def __init__(self, *, max_clients: int = 32) -> None:
        self._pool = ClientPool(size=max_clients)

    async def aclose(self) -> None:
        await self._pool.aclose()

    def prepare(self, request: Request, target: Target) -> bytes:
        try:
            return body_bytes(request, target)
        except TypeError as error:
            raise unsendable(error, exchange.secrets_of(target)) from None

    async def stream(
        self, request: Request, target: Target, *, body: bytes | None = None
    ) -> AsyncGenerator[StreamEvent, None]:
        if body is None:
            body = self.prepare(request, target)
        resumes = target.capabilities.resumes
        reading = Reading(exchange.secrets_of(target), response_id=request.resumes or None, resumable=resumes)
        async with self._pool.client(target.base_url, target.api_key) as client:
            async with AsyncExitStack() as connection:
                opened = await _open(connection, client, request, target, body)
                if isinstance(opened, ProviderError):
                    raise opened
                async with aclosing(events_of(opened, reading)) as events:
                    async for event in events:
                        yield event
            if resumes and not reading.over:
                async with aclosing(_rest(client, reading, target)) as events:
                    async for event in events:
                        yield event
            for event in reading.end():
                yield event

    async def cancel(self, response_id: str, target: Target) -> bool:
        async with self._pool.client(target.base_url, target.api_key) as client:
            error = await exchange.cancel(client, target, response_id)
        if error is not None:
            logger.warning("A background response was not ended by its server: %s", error.code)
        return error is None


async def _open(
    connection: AsyncExitStack, client: openai.AsyncOpenAI, request: Request, target: Target, body: bytes
) -> httpx2.Response | ProviderError:
    """The response that the request names, or a new one where it names none or the server has forgotten it."""
    if request.resumes:
        opened = await exchange.take_up(connection, client, target, request.resumes, after=None)
        if not isinstance(opened, ProviderError) or opened.retryable:
            return opened
        logger.warning("A background response cannot be taken up and is asked for again: %s", opened.code)
    return await exchange.ask(connection, client, request, target, body)


async def _rest(client: openai.AsyncOpenAI, reading: Reading, target: Target) -> AsyncGenerator[StreamEvent, None]:
    """What is still to come of an answer whose connection was lost; ends where there is no more, or no hope."""
    fruitless = 0
    for _ in range(MOST_TRIES):
        place = reading.place
        if place is None or fruitless >= FRUITLESS_TRIES:
            return
        await asyncio.sleep(_delay(fruitless))
        async with AsyncExitStack() as connection:
            opened = await exchange.take_up(connection, client, target, place.response_id, after=place.reached)
            if isinstance(opened, ProviderError):
                if not opened.retryable:
                    return
                fruitless += 1
                continue
            reading.resume()
            async with aclosing(events_of(opened, reading)) as events:
                async for event in events:
                    yield event
        fruitless = fruitless + 1 if reading.place == place else 0


def _delay(fruitless: int) -> float:
    """Seconds before another connection: none at first, then growing, with full jitter."""
    bound = min(LONGEST_DELAY, FIRST_DELAY * 2.0**fruitless) if fruitless else 0.0
    return bound * (0.5 + random.random() / 2)  # noqa: S311 - nothing secret
