"""Turns what a server says of a failure into one of our errors, and decides there whether it may be tried again.

The rules are those of the Responses API: a rate limit passes, a used up quota does not; a locked conversation passes
although it comes as 400; a failure may arrive with a status, in an `error` event or in a failed response, nested or
flat, with a code, with a number, with a type only, or as a bare sentence.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from chat.errors import (
    AuthenticationError,
    ContentFilteredError,
    ContextLengthError,
    ConversationLockedError,
    EncryptedContentError,
    GenerationFailedError,
    InvalidRequestError,
    ModelNotFoundError,
    PreviousResponseMissingError,
    ProviderError,
    QuotaExhaustedError,
    RateLimitedError,
    UpstreamFault,
    UpstreamTimeoutError,
    UpstreamUnavailableError,
    clean_reason,
)
from chat.providers.openai.delays import delay_from_headers, delay_from_text
from chat.providers.openai.lengths import counted_in, limit_in

_BY_CODE: Mapping[str, type[ProviderError]] = {
    "rate_limit_exceeded": RateLimitedError,
    "rate_limit_error": RateLimitedError,
    "slow_down": RateLimitedError,
    "too_many_requests": RateLimitedError,
    "insufficient_quota": QuotaExhaustedError,
    "credit_balance_exhausted": QuotaExhaustedError,
    "billing_hard_limit_reached": QuotaExhaustedError,
    "billing_not_active": QuotaExhaustedError,
    "spend_limit_exceeded": QuotaExhaustedError,
    "spending_limit_reached": QuotaExhaustedError,
    "insufficient_balance": QuotaExhaustedError,
    "invalid_api_key": AuthenticationError,
    "authentication_error": AuthenticationError,
    "permission_denied": AuthenticationError,
    "permission_error": AuthenticationError,
    "model_not_found": ModelNotFoundError,
    "deploymentnotfound": ModelNotFoundError,
    "server_error": UpstreamUnavailableError,
    "internal_error": UpstreamUnavailableError,
    "internal_server_error": UpstreamUnavailableError,
    "internalservererror": UpstreamUnavailableError,
    "api_error": UpstreamUnavailableError,
    "server_is_overloaded": UpstreamUnavailableError,
    "overloaded_error": UpstreamUnavailableError,
    "engine_overloaded": UpstreamUnavailableError,
    "service_unavailable": UpstreamUnavailableError,
    "vector_store_timeout": UpstreamUnavailableError,
    "timeout": UpstreamTimeoutError,
    "request_timeout": UpstreamTimeoutError,
    "conversation_locked": ConversationLockedError,
    "context_length_exceeded": ContextLengthError,
    "exceed_context_size_error": ContextLengthError,
    "invalid_encrypted_content": EncryptedContentError,
    "previous_response_not_found": PreviousResponseMissingError,
    "content_filter": ContentFilteredError,
    "invalid_prompt": InvalidRequestError,
    "data_residency_mismatch": InvalidRequestError,
    "invalid_request": InvalidRequestError,
    "invalid_request_error": InvalidRequestError,
}
_BY_STATUS: Mapping[int, type[ProviderError]] = {
    401: AuthenticationError,
    402: QuotaExhaustedError,
    403: AuthenticationError,
    404: ModelNotFoundError,
    408: UpstreamTimeoutError,
    409: UpstreamUnavailableError,
    413: ContextLengthError,
    429: RateLimitedError,
    504: UpstreamTimeoutError,
}
_BY_WORDS: tuple[tuple[re.Pattern[str], type[ProviderError]], ...] = (
    (
        re.compile(r"exceeded your current quota|insufficient (?:balance|credits?|funds)|spend(?:ing)? limit", re.I),
        QuotaExhaustedError,
    ),
    (
        re.compile(
            r"maximum (?:context|prompt|input) length|context (?:window|size|length)|prompt is too long"
            r"|token count .{0,30}exceeds",
            re.I,
        ),
        ContextLengthError,
    ),
    (re.compile(r"rate limit", re.I), RateLimitedError),
    (re.compile(r"\bitem\b.*\bnot (?:found|persisted)", re.I), InvalidRequestError),
)
_FINAL = (QuotaExhaustedError, AuthenticationError)
_KEY = re.compile(r"\b(?:sk|rk|pk|xai|gsk|sess)-[\w*.-]{4,}|(?<=Bearer )\S{6,}", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _Said:
    """A failure in the server's words, whatever form they came in."""

    code: str = ""
    type: str = ""
    message: str = ""
    status: int | None = None
    counted: int | None = None
    limit: int | None = None


def failure_of_status(
    status: int, headers: Mapping[str, str], body: bytes, *, secrets: tuple[str, ...] = ()
) -> ProviderError:
    """The error of an answer that is not 2xx. Header names are lower case; `secrets` are cut out of all text."""
    said = _read(_parsed(body))
    error = _error(said, status, delay_from_headers(headers), secrets)
    wish = headers.get("x-should-retry")
    if wish == "false" or (wish == "true" and not isinstance(error, _FINAL)):
        error.retryable = wish == "true"
    return error


def failure_in_stream(raw: Any, *, secrets: tuple[str, ...] = ()) -> ProviderError:
    """The error of an `error` event or of a failed response, which came after a status of 200."""
    said = _read(raw)
    return _error(said, None, None, secrets)


def scrub(text: str, secrets: tuple[str, ...]) -> str:
    """The text without keys: those given, and whatever looks like one."""
    for secret in secrets:
        if len(secret) >= 4:
            text = text.replace(secret, "[key]")
    return _KEY.sub("[key]", text)


def _error(said: _Said, status: int | None, delay: float | None, secrets: tuple[str, ...]) -> ProviderError:
    kind = _kind(said, status if status is not None else said.status)
    message = clean_reason(scrub(said.message, secrets))
    fault = UpstreamFault(
        http_status=status,
        code=clean_reason(scrub(said.code or said.type, secrets), limit=100),
        message=message,
        retry_after=delay if delay is not None else delay_from_text(said.message),
    )
    if kind is InvalidRequestError and message:
        return InvalidRequestError(
            f"{InvalidRequestError.sentence} It says: {clean_reason(message, limit=300)}", fault=fault
        )
    if kind is ContextLengthError:
        return ContextLengthError(fault=fault, counted=said.counted, limit=said.limit)
    return kind(fault=fault)


def _kind(said: _Said, status: int | None) -> type[ProviderError]:
    """The class of a failure: by its code, else by its words, else by its type, else by its status."""
    named = _by_code(said.code)
    if named is not None and named is not InvalidRequestError:
        return named
    refused = status is None or 400 <= status < 500
    if refused and (worded := next((kind for words, kind in _BY_WORDS if words.search(said.message)), None)):
        return worded
    typed = named or _by_code(said.type)
    if typed is not None and _type_fits(typed, status):
        return typed
    if status is not None:
        return _BY_STATUS.get(status) or (UpstreamUnavailableError if status >= 500 else InvalidRequestError)
    return GenerationFailedError if said.code or said.type else UpstreamUnavailableError


def _by_code(code: str) -> type[ProviderError] | None:
    name = code.lower()
    if name.endswith(("_policy", "_policy_violation")):
        return ContentFilteredError
    return _BY_CODE.get(name)


def _type_fits(kind: type[ProviderError], status: int | None) -> bool:
    """Whether a class that only the error's `type` names may overrule the status, mostly the more exact one."""
    if status is None:
        return True
    if issubclass(kind, UpstreamUnavailableError | UpstreamTimeoutError):
        return status >= 500
    return status not in _BY_STATUS and status < 500 if kind is InvalidRequestError else True


def _parsed(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return body.decode("utf-8", "replace")


def _read(raw: Any) -> _Said:
    """Reads `{error: {...}}`, `{error: "…", code}`, `{detail}`, a flat error, a list of one, a sentence, or nothing."""
    if isinstance(raw, list) and raw:
        raw = raw[0]
    if isinstance(raw, str):
        text = "" if raw.lstrip().startswith("<") else raw
        return _Said(message=text, counted=counted_in(text, {}), limit=limit_in(text, {}))
    if not isinstance(raw, Mapping):
        return _Said()
    nested = raw.get("error")
    if isinstance(nested, Mapping):
        return _read(nested)
    message = nested or raw.get("message") or raw.get("detail") or ""
    if not isinstance(message, str):
        message = orjson.dumps(message).decode()
    code = raw.get("code")
    kind = raw.get("type")
    number = int(code) if isinstance(code, int) or (isinstance(code, str) and code.isdigit()) else None
    return _Said(
        code=code if isinstance(code, str) and number is None else "",
        type=kind if isinstance(kind, str) and kind != "error" else "",
        message=message,
        status=number if number is not None and 400 <= number < 600 else None,
        counted=counted_in(message, raw),
        limit=limit_in(message, raw),
    )
