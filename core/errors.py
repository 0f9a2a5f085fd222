"""The root of every error that a person may get to see.

ParleyError
├── NotFoundError            (also: not yours; the two are told apart nowhere)
├── PermissionDeniedError    (you may see it, but not do this to it)
├── InvalidInputError        (what was sent cannot be taken)
├── ConflictError            (it is in a state where this cannot be done)
├── LimitError               (too much, too many or too often)
└── UnavailableError         (a server we need does not answer; try again)

Each room has a tree of its own below these (`chat/errors.py`, `retrieval/errors.py`, `tools/errors.py`).
"""

from typing import ClassVar


class ParleyError(Exception):
    """Something that can be said to a person in one sentence.

    `code` is stable and for programs, `message` is the sentence, `retryable` says whether the same call may
    succeed later without a change.
    """

    code: ClassVar[str] = "error"
    status: ClassVar[int] = 500
    retryable: bool = False

    def __init__(self, message: str, *, retryable: bool | None = None) -> None:
        super().__init__(message)
        self.message = message
        if retryable is not None:
            self.retryable = retryable


class NotFoundError(ParleyError):
    code = "not_found"
    status = 404


class PermissionDeniedError(ParleyError):
    code = "permission_denied"
    status = 403


class InvalidInputError(ParleyError):
    code = "invalid_input"
    status = 400


class ConflictError(ParleyError):
    code = "conflict"
    status = 409


class LimitError(ParleyError):
    code = "limit_exceeded"
    status = 429


class UnavailableError(ParleyError):
    code = "unavailable"
    status = 503
    retryable = True
