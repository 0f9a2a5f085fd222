"""Asks a server one small thing through the adapter, within a limit of time, and says how it went."""

import asyncio
import time
from collections.abc import Iterable, Mapping
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass, replace
from typing import Any

import httpx2

from chat.errors import (
    GenerationFailedError,
    InvalidRequestError,
    ModelNotFoundError,
    NotResponsesServerError,
    ProviderError,
    UpstreamTimeoutError,
)
from chat.providers.base import (
    Capabilities,
    Finished,
    Item,
    Request,
    Target,
    TextDelta,
    Usage,
    function_calls,
    output_text,
)
from chat.providers.capabilities import CAPABILITIES
from chat.providers.openai import exchange
from chat.providers.openai.clients import ClientPool
from chat.providers.openai.probing.findings import Finding, Outcome
from chat.providers.openai.provider import OpenAIProvider
from chat.providers.openai.reading import Place, Reading, events_of
from chat.providers.openai.request import body_bytes

REQUEST_SECONDS = 60.0
LONGEST_PAUSE = 10.0
MOST_TOKENS = 600
_REFUSALS = (InvalidRequestError, GenerationFailedError, ModelNotFoundError, NotResponsesServerError)
_NOTHING = dict.fromkeys(CAPABILITIES, False)


@dataclass(frozen=True, slots=True)
class Seen:
    """What came of a request: how it finished, or the error that it was answered with."""

    finished: Finished | None = None
    error: ProviderError | None = None
    streamed: str = ""
    seconds: float = 0.0

    @property
    def output(self) -> tuple[Item, ...]:
        return self.finished.output if self.finished else ()

    @property
    def text(self) -> str:
        return output_text(self.output)

    @property
    def calls(self) -> list[str]:
        return [call.name for call in function_calls(self.output)]

    @property
    def usage(self) -> Usage:
        return (self.finished.usage if self.finished else None) or Usage()

    @property
    def response_id(self) -> str | None:
        return self.finished.response_id if self.finished else None

    @property
    def accepted(self) -> bool:
        return self.error is None

    @property
    def refused(self) -> bool:
        return isinstance(self.error, _REFUSALS)

    def echoed(self, name: str) -> Any:
        """A field of the response as the server repeats it at the end; None where it does not."""
        payload = self.finished.payload if self.finished else None
        response = (payload or {}).get("response")
        return response.get(name) if isinstance(response, Mapping) else None

    def finding(self, name: str, works: bool, otherwise: str = "") -> Finding:
        """Supported or ignored as `works` says, or what the error says instead."""
        if self.error is not None:
            return self.failed(name)
        outcome = Outcome.SUPPORTED if works else Outcome.IGNORED
        return Finding(name, outcome, "" if works else otherwise, str(self), self.seconds)

    def failed(self, name: str) -> Finding:
        error = self.error or ProviderError()
        said = error.upstream_message or error.message
        outcome = Outcome.REFUSED if self.refused else Outcome.UNKNOWN
        return Finding(name, outcome, said, str(self), self.seconds)

    def __str__(self) -> str:
        if self.finished is None:
            return ""
        parts = [self.finished.status, f"{len(self.text)} characters"]
        parts += [f"calls {', '.join(self.calls)}"] if self.calls else []
        tokens = self.usage.output_tokens
        return ", ".join([*parts, "no usage" if tokens is None else f"{tokens} tokens"])


class Asking:
    """A server under probing. `flaws` gathers answers that broke the contract of providers."""

    def __init__(self, target: Target, *, request_seconds: float = REQUEST_SECONDS) -> None:
        self.flaws: list[str] = []
        self._target = replace(target, read_timeout=min(target.read_timeout, request_seconds))
        self._seconds = request_seconds
        self._provider = OpenAIProvider()
        self._pool = ClientPool(size=1)

    async def aclose(self) -> None:
        await self._provider.aclose()
        await self._pool.aclose()

    def knowing(self, *names: str) -> Target:
        """The target with a record of exactly these capabilities, so that nothing else is sent."""
        return replace(self._target, capabilities=Capabilities({**_NOTHING, **dict.fromkeys(names, True)}))

    async def ask(
        self, text: str, *names: str, parts: Iterable[Mapping[str, Any]] = (), fields: Mapping[str, Any] | None = None
    ) -> Seen:
        """Send a message, with the fields of a `Request` that are to be tried."""
        request = _request(text, parts, fields or {})
        seen = await self._once(request, names)
        if seen.error is not None and seen.error.retryable and not isinstance(seen.error, UpstreamTimeoutError):
            await asyncio.sleep(min(LONGEST_PAUSE, seen.error.retry_after or 1.0))
            seen = await self._once(request, names)
        self._check(seen, names)
        return seen

    async def _once(self, request: Request, names: tuple[str, ...]) -> Seen:
        began = time.monotonic()
        streamed: list[str] = []
        finished: Finished | None = None
        error: ProviderError | None = None
        try:
            async with (
                asyncio.timeout(self._seconds),
                aclosing(self._provider.stream(request, self.knowing(*names))) as events,
            ):
                async for event in events:
                    if isinstance(event, TextDelta):
                        streamed.append(event.text)
                    elif isinstance(event, Finished):
                        finished = event
        except ProviderError as failure:
            error = failure
        except TimeoutError:
            error = UpstreamTimeoutError()
        error = error or (finished.error if finished else None)
        return Seen(finished, error, "".join(streamed), _since(began))

    def _check(self, seen: Seen, names: tuple[str, ...]) -> None:
        of = ", ".join(names) or "plain text"
        if seen.finished is None or seen.finished.status == "failed":
            return
        if seen.streamed != seen.text:
            self.flaws.append(f"{of}: the streamed text is not the final one")
        if any(not call.call_id or not call.name for call in function_calls(seen.output)):
            self.flaws.append(f"{of}: a call without name or id")

    async def is_kept(self, response_id: str) -> ProviderError | None:
        """Ask for a response by its id: None where the server has it."""
        return await self._accepted(exchange.fetch, response_id)

    async def counts(self, body: Mapping[str, Any]) -> ProviderError | None:
        """Have the tokens of an input counted: None where the server does it."""
        return await self._accepted(exchange.count, {"model": self._target.model, **body})

    async def _accepted(self, call: Any, subject: Any) -> ProviderError | None:
        async with self._pool.client(self._target.base_url, self._target.api_key) as client, AsyncExitStack() as stack:
            answered: httpx2.Response | ProviderError = await call(stack, client, self._target, subject)
        return answered if isinstance(answered, ProviderError) else None

    async def broken_off(self, text: str, *names: str) -> tuple[Seen, Seen | None]:
        """Leave an answer at its first text and follow it from there: how it began, and how it went on."""
        request, target = _request(text, (), {}), self.knowing(*names)
        reading = Reading(exchange.secrets_of(target))
        began = time.monotonic()
        try:
            async with asyncio.timeout(self._seconds), self._pool.client(target.base_url, target.api_key) as client:
                async with AsyncExitStack() as stack:
                    opened = await exchange.ask(stack, client, request, target, body_bytes(request, target))
                    first = await _until_text(reading, opened, began)
                response_id, reached = reading.assembler.response_id, reading.assembler.reached
                if first.error is not None or response_id is None or reached is None:
                    return first, None
                # a fast answer may have come whole with its first bytes
                return first, await _followed(client, target, Place(response_id, reached // 2))
        except TimeoutError:
            return Seen(error=UpstreamTimeoutError(), seconds=_since(began)), None


async def _until_text(reading: Reading, opened: httpx2.Response | ProviderError, began: float) -> Seen:
    if isinstance(opened, ProviderError):
        return Seen(error=opened, seconds=_since(began))
    finished = None
    async with aclosing(events_of(opened, reading)) as events:
        async for event in events:
            if isinstance(event, TextDelta):
                break
            finished = event if isinstance(event, Finished) else finished
    return Seen(finished, finished.error if finished else None, seconds=_since(began))


async def _followed(client: Any, target: Target, place: Place) -> Seen:
    reading = Reading(exchange.secrets_of(target), response_id=place.response_id)
    began = time.monotonic()
    async with AsyncExitStack() as stack:
        opened = await exchange.take_up(stack, client, target, place.response_id, after=place.reached)
        if isinstance(opened, ProviderError):
            return Seen(error=opened, seconds=_since(began))
        async with aclosing(events_of(opened, reading)) as events:
            came = [event async for event in events]
    finished = next(event for event in reversed([*came, *reading.end()]) if isinstance(event, Finished))
    return Seen(finished, finished.error, seconds=_since(began))


def _request(text: str, parts: Iterable[Mapping[str, Any]], fields: Mapping[str, Any]) -> Request:
    content = [{"type": "input_text", "text": text}, *(dict(part) for part in parts)]
    parameters = {"max_output_tokens": MOST_TOKENS, **fields.get("parameters", {})}
    message: Item = {"type": "message", "role": "user", "content": content}
    return Request(input=(message,), **{**fields, "parameters": parameters})


def _since(began: float) -> float:
    return time.monotonic() - began
