"""The errors of the chat room.

ChatError
├── TurnError                        (a turn could not be answered for a reason of our own side)
│   ├── InputTooLongError            (the newest message does not fit into the model)
│   ├── TurnDeadlineError            (took longer than a turn may)                            retryable
│   ├── TooManyStepsError            (asked for more steps than a turn may have)
│   ├── TooManyTokensError           (its steps used more tokens than a turn may)
│   ├── TurnAbandonedError           (its processes ended time and again)                     retryable
│   └── InternalError                (a fault of Parley)                                      retryable
├── UnknownProviderError             (an endpoint names a provider that is not installed)
├── LostTurnError                    (another process has taken the turn over)
└── ProviderError                    (a model server did not give what was asked for)
    ├── UpstreamUnavailableError     (does not answer, is overloaded, failed inside)          retryable
    ├── UpstreamTimeoutError         (went silent, or could not be reached in time)           retryable
    ├── RateLimitedError             (too many requests or tokens for now)                    retryable
    ├── StreamTruncatedError         (the answer stopped in the middle; carries what came)    retryable
    ├── ConversationLockedError      (another response of the same conversation is running)   retryable
    ├── QuotaExhaustedError          (credit or spending limit used up)
    ├── AuthenticationError          (the key is refused)
    ├── ModelNotFoundError           (no such model or path)
    ├── NotResponsesServerError      (answers, but not in the Responses protocol)
    ├── ContentFilteredError         (refused by a policy of the server)
    ├── GenerationFailedError        (failed for a reason with a name we do not know)
    └── InvalidRequestError          (the request itself is not accepted)
        ├── ContextLengthError            (too long for the model)                        after repair
        ├── EncryptedContentError         (sealed reasoning of another model or account)      after repair
        └── PreviousResponseMissingError  (the server has forgotten the earlier response)     after repair

Whether a failure may be tried again is decided where the error is made and is data on it: `retryable`,
`retry_after` (seconds, where the server named a delay) and `repair` (what to change before another try).
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar

from core.errors import ParleyError

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")


def clean_reason(text: str, *, limit: int = 500) -> str:
    """Foreign text made fit to be stored and shown: one line, no control characters, at most `limit` characters."""
    line = " ".join(_CONTROL.sub(" ", text).split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


class ChatError(ParleyError):
    """The root of what goes wrong in conversations, turns and providers."""

    code = "chat_error"


class UnknownProviderError(ChatError):
    code = "unknown_provider"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"There is no provider “{clean_reason(name, limit=50)}”. An administrator has to choose another."
        )


class Repair(StrEnum):
    """What must change in a request before it is sent again."""

    STRIP_REASONING = "strip_reasoning"
    SHORTEN = "shorten"
    REPLAY_HISTORY = "replay_history"


@dataclass(frozen=True, slots=True)
class UpstreamFault:
    """What the server itself said, cleaned of secrets and control characters; for operators, not for the page.

    `retry_after` is in seconds; `http_status` is None when the failure came inside a stream that began with 200.
    """

    http_status: int | None = None
    code: str = ""
    message: str = ""
    retry_after: float | None = None


class ProviderError(ChatError):
    """A model server did not give what was asked for.

    Two errors are equal when they say the same, so that events that carry one can be compared as values.
    """

    code = "provider_error"
    status = 502
    sentence: ClassVar[str] = "The model server could not answer."
    repair: ClassVar[Repair | None] = None

    def __init__(
        self,
        message: str | None = None,
        *,
        retryable: bool | None = None,
        fault: UpstreamFault | None = None,
    ) -> None:
        super().__init__(message or self.sentence, retryable=retryable)
        self.fault = fault or UpstreamFault()

    @property
    def retry_after(self) -> float | None:
        return self.fault.retry_after

    @property
    def http_status(self) -> int | None:
        return self.fault.http_status

    @property
    def upstream_message(self) -> str:
        return self.fault.message

    def _said(self) -> tuple[object, ...]:
        return (type(self), self.message, self.retryable, self.fault)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ProviderError) and self._said() == other._said()

    def __hash__(self) -> int:
        return hash(self._said())


class UpstreamUnavailableError(ProviderError):
    code = "upstream_unavailable"
    status = 503
    retryable = True
    sentence = "The model server does not answer or is overloaded. Try again in a moment."


class UpstreamTimeoutError(ProviderError):
    code = "upstream_timeout"
    status = 504
    retryable = True
    sentence = "The model server took too long to answer. Try again in a moment."


class RateLimitedError(ProviderError):
    code = "rate_limited"
    status = 429
    retryable = True
    sentence = "The model server takes no more requests right now. Try again in a moment."


class StreamTruncatedError(ProviderError):
    """The stream ended without a final event; `partial` holds the Responses items as far as they came."""

    code = "stream_truncated"
    retryable = True
    sentence = "The connection to the model server broke off in the middle of the answer."

    def __init__(
        self,
        message: str | None = None,
        *,
        retryable: bool | None = None,
        fault: UpstreamFault | None = None,
        partial: tuple[dict[str, Any], ...] = (),
    ) -> None:
        super().__init__(message, retryable=retryable, fault=fault)
        self.partial = partial


class ConversationLockedError(ProviderError):
    code = "conversation_locked"
    status = 409
    retryable = True
    sentence = "The model server is still busy with this conversation. Try again in a few seconds."


class QuotaExhaustedError(ProviderError):
    code = "quota_exhausted"
    status = 402
    sentence = "The credit at the model server is used up. An administrator has to look at the account."


class AuthenticationError(ProviderError):
    code = "key_refused"
    sentence = "The key is refused by the model server. An administrator has to check it."


class ModelNotFoundError(ProviderError):
    code = "model_not_found"
    sentence = "The model server does not know this model or address. An administrator has to check both."


class NotResponsesServerError(ProviderError):
    code = "not_responses_server"
    sentence = "The server at this address does not speak the Responses API. An administrator has to check the address."


class ContentFilteredError(ProviderError):
    code = "content_filtered"
    status = 422
    sentence = "The model server refused this request because of its content policy."


class GenerationFailedError(ProviderError):
    code = "generation_failed"
    sentence = "The model server could not finish this answer."


class InvalidRequestError(ProviderError):
    code = "invalid_upstream_request"
    sentence = "The model server does not accept this request."


class ContextLengthError(InvalidRequestError):
    """By the server's count: the request had `counted` tokens, its model takes `limit`; None where it does not say."""

    code = "context_length_exceeded"
    status = 413
    repair = Repair.SHORTEN
    sentence = "This conversation is too long for the model."

    def __init__(
        self,
        message: str | None = None,
        *,
        retryable: bool | None = None,
        fault: UpstreamFault | None = None,
        counted: int | None = None,
        limit: int | None = None,
    ) -> None:
        super().__init__(message, retryable=retryable, fault=fault)
        self.counted = counted
        self.limit = limit


class EncryptedContentError(InvalidRequestError):
    code = "invalid_encrypted_content"
    repair = Repair.STRIP_REASONING
    sentence = "The model server cannot read the stored reasoning of another model."


class PreviousResponseMissingError(InvalidRequestError):
    code = "previous_response_not_found"
    repair = Repair.REPLAY_HISTORY
    sentence = "The model server no longer knows the earlier part of this conversation."


class TurnError(ChatError):
    """A turn could not be answered for a reason of our own side."""

    code = "turn_failed"


class InputTooLongError(TurnError):
    code = "input_too_long"
    status = 413


class TurnDeadlineError(TurnError):
    code = "turn_deadline"
    retryable = True


class TooManyStepsError(TurnError):
    code = "too_many_steps"


class TooManyTokensError(TurnError):
    code = "too_many_tokens"


class TurnAbandonedError(TurnError):
    """Its processes ended time and again while they answered."""

    code = "turn_abandoned"
    retryable = True


class InternalError(TurnError):
    """Something in Parley went wrong; the log has the details."""

    code = "internal_error"
    retryable = True


class LostTurnError(ChatError):
    """Another process has taken this turn over; what this one still has to say is dropped."""

    code = "turn_lost"
