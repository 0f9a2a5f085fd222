"""What can go wrong with a call of a tool. Each becomes the call's output: its sentence is written for the model.

ToolError
├── UnknownToolError        (the assistant has no tool of this name)
├── ToolDeniedError         (the assistant's version forbids it)
├── InvalidArgumentsError   (no JSON, or not what the tool's schema asks for)
├── CallNotRunError         (never started: cut off, one too many, or the answer ended first)
├── ToolTimeoutError        (did not end within its time)                                      retryable
├── ToolFailedError         (the tool itself says why it cannot do this)
├── ToolCrashedError        (a fault in the tool; the log has the details)
├── InvalidResultError      (the tool gave what its own description does not allow)
└── EffectUnknownError      (its process ended while it ran: whether it ran is not known)
"""

from typing import ClassVar

from core.errors import ParleyError


class ToolError(ParleyError):
    """A call without a result; `code` and `message` are what the model gets instead."""

    code: ClassVar[str] = "tool_error"


class UnknownToolError(ToolError):
    code = "unknown_tool"


class ToolDeniedError(ToolError):
    code = "tool_denied"


class InvalidArgumentsError(ToolError):
    code = "invalid_arguments"


class CallNotRunError(ToolError):
    code = "not_run"


class ToolTimeoutError(ToolError):
    code = "tool_timeout"
    retryable = True


class ToolFailedError(ToolError):
    """Raised by a tool; the message tells the model what to mend."""

    code = "tool_failed"


class ToolCrashedError(ToolError):
    code = "tool_crashed"


class InvalidResultError(ToolError):
    code = "invalid_result"


class EffectUnknownError(ToolError):
    code = "effect_unknown"
