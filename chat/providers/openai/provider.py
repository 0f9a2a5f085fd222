"""Sends a request through the `openai` package and reads the answer as raw events.

The package's typed events and its stream helper fail on streams that real servers send, and cost several times the CPU;
its own retries repeat requests that were billed. So only its transport is used: authentication, connections and
timeouts. What a retry is worth is decided by the caller, from the error.
"""

from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack, aclosing

import httpx2
import openai

from chat.errors import NotResponsesServerError, ProviderError, UpstreamFault
from chat.providers.base import Request, StreamEvent, Target
from chat.providers.capabilities import is_full_server
from chat.providers.openai.clients import ClientPool
from chat.providers.openai.connection import BROKEN, connection_failure, unsendable
from chat.providers.openai.failures import failure_of_status
from chat.providers.openai.reading import events_of
from chat.providers.openai.request import build_body


class OpenAIProvider:
    """The provider for servers that speak the Responses API; see `chat.providers.base` for the contract."""

    def __init__(self, *, max_clients: int = 32) -> None:
        self._pool = ClientPool(size=max_clients)

    async def aclose(self) -> None:
        await self._pool.aclose()

    async def stream(self, request: Request, target: Target) -> AsyncGenerator[StreamEvent, None]:
        async with AsyncExitStack() as stack:
            client = await stack.enter_async_context(self._pool.client(target.base_url, target.api_key))
            opened = await _open(stack, client, request, target)
            if isinstance(opened, ProviderError):
                raise opened
            async with aclosing(events_of(opened, _secrets(target))) as events:
                async for event in events:
                    yield event


async def _open(
    stack: AsyncExitStack, client: openai.AsyncOpenAI, request: Request, target: Target
) -> httpx2.Response | ProviderError:
    """The accepted response, or the error: returned, so that it is raised without the request in its chain."""
    try:
        response = await stack.enter_async_context(
            client.responses.with_streaming_response.create(
                stream=True,
                extra_body=build_body(request, target),
                extra_headers=_headers(request, target),
                timeout=httpx2.Timeout(
                    target.read_timeout, connect=target.connect_timeout, pool=target.connect_timeout
                ),
            )
        )
    except openai.APIStatusError as error:
        return _status_failure(error, _secrets(target))
    except (openai.APIConnectionError, *BROKEN) as error:
        return connection_failure(error, _secrets(target))
    except (TypeError, ValueError) as error:
        return unsendable(error, _secrets(target))
    if "html" in response.headers.get("content-type", ""):
        return NotResponsesServerError(fault=UpstreamFault(http_status=response.status_code))
    return response.http_response


def _status_failure(error: openai.APIStatusError, secrets: tuple[str, ...]) -> ProviderError:
    response = error.response
    if 300 <= response.status_code < 400:
        return NotResponsesServerError(fault=UpstreamFault(http_status=response.status_code))
    headers = {name.lower(): value for name, value in response.headers.items()}
    return failure_of_status(response.status_code, headers, response.content, secrets=secrets)


def _headers(request: Request, target: Target) -> Mapping[str, str | openai.Omit]:
    """An empty key sends no Authorization; account names of the environment go to the servers they belong to only."""
    headers: dict[str, str | openai.Omit] = {"Accept": "text/event-stream", "Accept-Encoding": "identity"}
    if not target.api_key:
        headers["Authorization"] = openai.Omit()
    if not is_full_server(target.base_url):
        headers["OpenAI-Organization"] = openai.Omit()
        headers["OpenAI-Project"] = openai.Omit()
    if request.idempotency_key and target.capabilities.allows("idempotency_key"):
        headers["Idempotency-Key"] = request.idempotency_key
    return {**headers, **target.headers}


def _secrets(target: Target) -> tuple[str, ...]:
    return tuple(value for value in (target.api_key, *target.headers.values()) if len(value) >= 8)
