"""The requests that the adapter sends, through the transport of the `openai` package, with their errors as ours.

Each returns the error instead of raising it, so that it can be raised without the request, and its key, in its chain.
"""

from collections.abc import AsyncIterable, AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any

import httpx2
import openai

from chat.errors import NotResponsesServerError, ProviderError, UpstreamFault
from chat.providers.base import Request, Target
from chat.providers.capabilities import is_full_server
from chat.providers.openai.connection import BROKEN, connection_failure, unsendable
from chat.providers.openai.failures import failure_of_status

CANCEL_SECONDS = 5.0
# Of a body, written at a time: only those with pictures have more.
PIECE_BYTES = 256 * 1024


async def ask(
    stack: AsyncExitStack, client: openai.AsyncOpenAI, request: Request, target: Target, body: bytes
) -> httpx2.Response | ProviderError:
    """Ask for an answer with these very bytes: the accepted response, which `stack` closes."""
    headers = dict(_headers(target))
    if request.idempotency_key and target.capabilities.allows("idempotency_key"):
        headers["Idempotency-Key"] = request.idempotency_key
    return await _answered(stack, _sent(client, body, headers, target), target)


async def take_up(
    stack: AsyncExitStack, client: openai.AsyncOpenAI, target: Target, response_id: str, *, after: int | None
) -> httpx2.Response | ProviderError:
    """Follow a background response again: after the event of this number, or from its first."""
    following = client.responses.with_streaming_response.retrieve(
        response_id,
        stream=True,
        starting_after=openai.omit if after is None else after,
        extra_headers=_headers(target),
        timeout=_timeout(target),
    )
    return await _answered(stack, following, target)


async def cancel(client: openai.AsyncOpenAI, target: Target, response_id: str) -> ProviderError | None:
    """End a background response; the error where the server did not."""
    async with AsyncExitStack() as stack:
        ending = client.responses.with_streaming_response.cancel(
            response_id, extra_headers=_headers(target), timeout=CANCEL_SECONDS
        )
        answered = await _answered(stack, ending, target)
    return answered if isinstance(answered, ProviderError) else None


async def fetch(
    stack: AsyncExitStack, client: openai.AsyncOpenAI, target: Target, response_id: str
) -> httpx2.Response | ProviderError:
    """Ask for a stored response as a document."""
    fetching = client.responses.with_streaming_response.retrieve(
        response_id, extra_headers=_headers(target), timeout=_timeout(target)
    )
    return await _answered(stack, fetching, target)


async def count(
    stack: AsyncExitStack, client: openai.AsyncOpenAI, target: Target, body: Mapping[str, Any]
) -> httpx2.Response | ProviderError:
    """Have the server count the tokens of an input."""
    counting = client.responses.input_tokens.with_streaming_response.count(
        extra_body=body, extra_headers=_headers(target), timeout=_timeout(target)
    )
    return await _answered(stack, counting, target)


class _Pieces:
    """A body that is written piece by piece, so that the event loop does other things between them."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for start in range(0, len(self._body), PIECE_BYTES):
            yield self._body[start : start + PIECE_BYTES]


@asynccontextmanager
async def _sent(
    client: openai.AsyncOpenAI, body: bytes, headers: Mapping[str, str | openai.Omit], target: Target
) -> AsyncIterator[httpx2.Response]:
    """Post bytes as they are. The package's own method for it takes a mapping, and writes it down itself."""
    streams: bool = True
    content: bytes | AsyncIterable[bytes] = body
    if len(body) > PIECE_BYTES:
        content, headers = _Pieces(body), {**headers, "Content-Length": str(len(body))}
    response = await client.post(
        "/responses",
        cast_to=httpx2.Response,
        content=content,
        options={"headers": headers, "timeout": _timeout(target), "security": {"bearer_auth": True}},
        stream=streams,
    )
    if not isinstance(response, httpx2.Response):
        raise TypeError("the package read the answer itself")
    try:
        yield response
    finally:
        await response.aclose()


async def _answered(
    stack: AsyncExitStack,
    sending: AbstractAsyncContextManager[openai.AsyncAPIResponse[Any] | httpx2.Response],
    target: Target,
) -> httpx2.Response | ProviderError:
    try:
        entered = await stack.enter_async_context(sending)
    except openai.APIStatusError as error:
        return _status_failure(error, secrets_of(target))
    except (openai.APIConnectionError, *BROKEN) as error:
        return connection_failure(error, secrets_of(target))
    except (TypeError, ValueError) as error:
        return unsendable(error, secrets_of(target))
    response = entered if isinstance(entered, httpx2.Response) else entered.http_response
    if "html" in response.headers.get("content-type", ""):
        return NotResponsesServerError(fault=UpstreamFault(http_status=response.status_code))
    return response


def _status_failure(error: openai.APIStatusError, secrets: tuple[str, ...]) -> ProviderError:
    response = error.response
    if 300 <= response.status_code < 400:
        return NotResponsesServerError(fault=UpstreamFault(http_status=response.status_code))
    headers = {name.lower(): value for name, value in response.headers.items()}
    return failure_of_status(response.status_code, headers, response.content, secrets=secrets)


def _timeout(target: Target) -> httpx2.Timeout:
    return httpx2.Timeout(target.read_timeout, connect=target.connect_timeout, pool=target.connect_timeout)


def _headers(target: Target) -> Mapping[str, str | openai.Omit]:
    """An empty key sends no Authorization; account names of the environment go to the servers they belong to only."""
    headers: dict[str, str | openai.Omit] = {"Accept": "text/event-stream", "Accept-Encoding": "identity"}
    if not target.api_key:
        headers["Authorization"] = openai.Omit()
    if not is_full_server(target.base_url):
        headers["OpenAI-Organization"] = openai.Omit()
        headers["OpenAI-Project"] = openai.Omit()
    return {**headers, **target.headers}


def secrets_of(target: Target) -> tuple[str, ...]:
    """What must not stand in any error: the key, and long values of extra headers."""
    return tuple(value for value in (target.api_key, *target.headers.values()) if len(value) >= 8)
