"""The tool calls of an answer, one line each: what was called, with what, and what came of it."""

import json
from collections.abc import Iterable

from chat.rendering.shapes import CallView
from tools.audit import stored_output
from tools.models import ToolCall

Status = ToolCall.Status

# Characters of arguments and of an output that a page carries.
SHOWN_CHARS = 4_000

_WORDS = {
    Status.SUCCEEDED: "",
    Status.FAILED: "failed",
    Status.DENIED: "not allowed",
    Status.EXPIRED: "expired",
    Status.UNKNOWN: "it is unknown whether it ran",
}


def call_views(calls: Iterable[ToolCall]) -> tuple[CallView, ...]:
    return tuple(map(_view, calls))


def _view(call: ToolCall) -> CallView:
    return CallView(
        name=call.tool,
        outcome=_WORDS.get(Status(call.status), ""),
        seconds=_seconds(call),
        arguments=_short(json.dumps(call.arguments, indent=2, ensure_ascii=False)) if call.arguments else "",
        output=_short(_readable(stored_output(call))),
    )


def _seconds(call: ToolCall) -> float | None:
    """How long it ran; None where it was not run, or where nobody knows."""
    if call.started_at is None or call.finished_at is None or call.status == Status.UNKNOWN:
        return None
    return (call.finished_at - call.started_at).total_seconds()


def _readable(output: str) -> str:
    try:
        return json.dumps(json.loads(output), indent=2, ensure_ascii=False)
    except ValueError:
        return output  # it was cut


def _short(text: str) -> str:
    return text if len(text) <= SHOWN_CHARS else f"{text[:SHOWN_CHARS]}…"
