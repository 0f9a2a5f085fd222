"""What can break below HTTP, and what each of it means."""

import ssl
from collections.abc import Iterator

import aiohttp
import anyio
import httpx2

from chat.errors import (
    InvalidRequestError,
    NotResponsesServerError,
    ProviderError,
    UpstreamFault,
    UpstreamTimeoutError,
    UpstreamUnavailableError,
    clean_reason,
)
from chat.providers.openai.failures import scrub
from chat.providers.openai.sse import FrameTooLargeError

BROKEN = (
    httpx2.RequestError,
    httpx2.InvalidURL,
    aiohttp.ClientError,
    anyio.EndOfStream,
    ssl.SSLError,
    OSError,
    FrameTooLargeError,
)
"""All that the transport raises when a connection cannot be made or breaks; aiohttp's own where it maps none."""


def connection_failure(error: BaseException, secrets: tuple[str, ...]) -> ProviderError:
    """The error of a request that got no answer."""
    causes = list(_causes(error))
    fault = UpstreamFault(message=reason(causes[-1], secrets))
    if any(isinstance(cause, httpx2.InvalidURL | httpx2.UnsupportedProtocol) for cause in causes):
        return NotResponsesServerError("The address of the model server is not a valid http address.", fault=fault)
    return UpstreamTimeoutError(fault=fault) if timed_out(error) else UpstreamUnavailableError(fault=fault)


def unsendable(error: Exception, secrets: tuple[str, ...]) -> ProviderError:
    """The error of a request that cannot be written as JSON or HTTP, such as a key with a line end in it."""
    return InvalidRequestError(
        "The request to the model server cannot be sent.", fault=UpstreamFault(message=reason(error, secrets))
    )


def timed_out(error: BaseException) -> bool:
    """Whether time ran out. The transport calls a server that hung up a connect timeout, so the root decides."""
    return any(isinstance(cause, TimeoutError | httpx2.ReadTimeout | httpx2.PoolTimeout) for cause in _causes(error))


def reason(error: BaseException, secrets: tuple[str, ...]) -> str:
    return clean_reason(scrub(f"{type(error).__name__}: {error}", secrets))


def _causes(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__
