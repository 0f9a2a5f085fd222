"""What servers say of their failures, and what it means: class, whether to try again, and when."""

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from chat import errors
from chat.errors import ProviderError, Repair, clean_reason
from chat.providers.openai.delays import delay_from_headers, delay_from_text, parse_duration
from chat.providers.openai.failures import failure_in_stream, failure_of_status

KEY = "sk-proj-1234567890abcdef"


def answered(status: int, body: Any, **headers: str) -> ProviderError:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return failure_of_status(status, {name.replace("_", "-"): value for name, value in headers.items()}, content)


def error(code: str | None = None, message: str = "", kind: str | None = None) -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


@pytest.mark.parametrize(
    ("status", "body", "expected", "retryable"),
    [
        (429, error("rate_limit_exceeded"), errors.RateLimitedError, True),
        (429, error("slow_down"), errors.RateLimitedError, True),
        (429, b"", errors.RateLimitedError, True),
        (429, error("insufficient_quota"), errors.QuotaExhaustedError, False),
        (429, error(None, kind="insufficient_quota"), errors.QuotaExhaustedError, False),
        (429, error(None, "You exceeded your current quota, please check"), errors.QuotaExhaustedError, False),
        (429, error("credit_balance_exhausted"), errors.QuotaExhaustedError, False),
        (402, {"error": {"message": "Insufficient Balance"}}, errors.QuotaExhaustedError, False),
        (408, b"", errors.UpstreamTimeoutError, True),
        (409, b"", errors.UpstreamUnavailableError, True),
        (500, error("server_error"), errors.UpstreamUnavailableError, True),
        (500, error(None, "boom", "invalid_request_error"), errors.UpstreamUnavailableError, True),
        (502, b"<html><h1>Bad Gateway</h1></html>", errors.UpstreamUnavailableError, True),
        (503, error("server_is_overloaded"), errors.UpstreamUnavailableError, True),
        (504, b"upstream timed out", errors.UpstreamTimeoutError, True),
        (529, b"", errors.UpstreamUnavailableError, True),
        (400, error("conversation_locked"), errors.ConversationLockedError, True),
        (400, error("invalid_prompt"), errors.InvalidRequestError, False),
        (400, error("unknown_parameter", "Unknown parameter: 'x'."), errors.InvalidRequestError, False),
        (400, error("context_length_exceeded"), errors.ContextLengthError, False),
        (400, error(None, "This model's maximum context length is 8192 tokens"), errors.ContextLengthError, False),
        (400, error("invalid_prompt", "prompt is too long: 9000 tokens"), errors.ContextLengthError, False),
        (400, {"error": {"code": 400, "type": "exceed_context_size_error"}}, errors.ContextLengthError, False),
        (400, error("content_policy_violation"), errors.ContentFilteredError, False),
        (400, error("bio_policy"), errors.ContentFilteredError, False),
        (400, error("invalid_encrypted_content"), errors.EncryptedContentError, False),
        (400, error("previous_response_not_found"), errors.PreviousResponseMissingError, False),
        (404, error(None, "Item with id 'rs_1' not found. Items are not persisted"), errors.InvalidRequestError, False),
        (400, error("server_error_of_a_new_kind", kind="server_error"), errors.InvalidRequestError, False),
        (401, error("invalid_api_key"), errors.AuthenticationError, False),
        (401, error(None, "no key", "invalid_request_error"), errors.AuthenticationError, False),
        (403, b"", errors.AuthenticationError, False),
        (404, error("model_not_found"), errors.ModelNotFoundError, False),
        (404, {"detail": "Not Found"}, errors.ModelNotFoundError, False),
        (422, {"detail": [{"loc": ["body"], "msg": "bad"}]}, errors.InvalidRequestError, False),
        (400, {"code": "an invalid argument", "error": "bad field"}, errors.InvalidRequestError, False),
        (400, {"object": "error", "message": "nope", "code": 400}, errors.InvalidRequestError, False),
        (400, [error("context_length_exceeded")], errors.ContextLengthError, False),
        (418, b"\xff\xfe", errors.InvalidRequestError, False),
    ],
)  # fmt: skip
def test_an_answer_other_than_2xx(status: int, body: Any, expected: type[ProviderError], retryable: bool) -> None:
    failure = answered(status, body)
    assert type(failure) is expected
    assert failure.retryable is retryable
    assert failure.http_status == status


@pytest.mark.parametrize(
    ("raw", "expected", "retryable"),
    [
        ({"code": "server_error", "message": "x"}, errors.UpstreamUnavailableError, True),
        ({"code": "rate_limit_exceeded"}, errors.RateLimitedError, True),
        ({"code": "vector_store_timeout"}, errors.UpstreamUnavailableError, True),
        ({"code": "insufficient_quota"}, errors.QuotaExhaustedError, False),
        ({"code": "invalid_prompt"}, errors.InvalidRequestError, False),
        ({"code": "context_length_exceeded"}, errors.ContextLengthError, False),
        ({"code": "misalignment_policy_violation"}, errors.ContentFilteredError, False),
        ({"code": "image_too_small"}, errors.GenerationFailedError, False),
        ({"type": "too_many_requests"}, errors.RateLimitedError, True),
        ({"type": "error", "code": None, "message": "x"}, errors.UpstreamUnavailableError, True),
        ({"error": {"type": "InternalServerError", "code": 500}}, errors.UpstreamUnavailableError, True),
        ({"error": {"type": "BadRequestError", "code": "400"}}, errors.InvalidRequestError, False),
        ({"error": {"code": 429, "message": "Provider returned error"}}, errors.RateLimitedError, True),
        (None, errors.UpstreamUnavailableError, True),
        ("it broke", errors.UpstreamUnavailableError, True),
    ],
)
def test_a_failure_inside_a_stream_of_status_200(raw: Any, expected: type[ProviderError], retryable: bool) -> None:
    failure = failure_in_stream(raw)
    assert type(failure) is expected
    assert failure.retryable is retryable
    assert failure.http_status is None


def test_the_servers_wish_about_retries_is_followed_but_not_for_an_empty_account() -> None:
    assert answered(500, b"", x_should_retry="false").retryable is False
    assert answered(400, error("odd"), x_should_retry="true").retryable is True
    assert answered(429, error("insufficient_quota"), x_should_retry="true").retryable is False


def test_repairs_are_named() -> None:
    assert answered(400, error("invalid_encrypted_content")).repair is Repair.STRIP_REASONING
    assert answered(400, error("previous_response_not_found")).repair is Repair.REPLAY_HISTORY
    assert answered(500, b"").repair is None


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        ({"retry-after": "9"}, 9.0),
        ({"retry-after": "0"}, 0.0),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "soon"}, None),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "6m0s"}, 360.0),
        ({"x-ratelimit-remaining-tokens": "5", "x-ratelimit-reset-tokens": "6m0s"}, None),
        ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "-1"}, None),
        ({}, None),
    ],
)
def test_delays_in_headers(headers: dict[str, str], seconds: float | None) -> None:
    assert delay_from_headers(headers) == seconds


def test_a_delay_may_be_a_date() -> None:
    until = delay_from_headers({"retry-after": format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)})
    assert until is not None
    assert 27 < until <= 30
    assert delay_from_headers({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}) == 0.0


@pytest.mark.parametrize(
    ("words", "seconds"),
    [
        ("Limit 30000, Used 22999, Requested 12528. Please try again in 11.054s. Visit", 11.054),
        ("Please try again in 120ms.", 0.12),
        ("Please try again in 6m0s.", 360.0),
        ("Please retry after 20 seconds.", 20.0),
        ("Try again in 1 minute 5 seconds", 65.0),
        ("Please retry after 3 attempts", None),
        ("Try again later.", None),
        ("", None),
    ],
)
def test_delays_in_words(words: str, seconds: float | None) -> None:
    assert delay_from_text(words) == pytest.approx(seconds) if seconds else delay_from_text(words) is None


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("1h2m3s", 3723.0), ("7.66s", 7.66), ("12", 12.0), ("0s", None), ("-1", None), ("1x", None), ("", None)],
)
def test_durations(text: str, seconds: float | None) -> None:
    assert parse_duration(text) == seconds


def test_keys_stand_in_no_error() -> None:
    own = "c0ffee-of-a-server-with-keys-of-its-own"
    words = f"Incorrect API key provided: {KEY} or {own}. Also Bearer other-secret-token, sk-ab****wxyz."
    body = json.dumps(error("invalid_request", words)).encode()
    failure = failure_of_status(400, {}, body, secrets=(own,))
    said = f"{failure.message} {failure.fault!r} {failure!r}"
    for secret in (KEY, own, "other-secret-token", "sk-ab", "wxyz"):
        assert secret not in said


def test_foreign_words_are_cleaned_before_they_are_kept() -> None:
    failure = answered(400, error("odd\x00", "a\x00b\n\x1b[31mc " + "x" * 1000))
    assert "\x00" not in failure.upstream_message + failure.fault.code + failure.message
    assert failure.upstream_message.startswith("a b [31mc")
    assert len(failure.upstream_message) == 500
    assert clean_reason("half \ud83d") == "half"


def test_equal_failures_are_equal_values() -> None:
    assert answered(500, b"") == answered(500, b"")
    assert answered(500, b"") != answered(502, b"")
    assert len({answered(500, b""), answered(500, b"")}) == 1
