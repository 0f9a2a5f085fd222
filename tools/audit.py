"""The rows of tool calls: one per call, written before the tool starts and closed when it has ended.

The caller holds the transaction, and has made sure that the turn is still its own.
"""

import hashlib
import uuid
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import orjson
from django.utils import timezone

from core.text import without_nuls
from tools.base import AnyTool, Policy
from tools.errors import EffectUnknownError, ToolDeniedError, ToolError
from tools.models import ToolCall

Status = ToolCall.Status

MAX_TOOL_NAME = 100


@dataclass(frozen=True, slots=True)
class Called:
    """One call as the model made it; `arguments` is its text, JSON or not."""

    user: uuid.UUID
    conversation: uuid.UUID
    turn: uuid.UUID
    call_id: str
    tool: str
    arguments: str

    @property
    def idempotency_key(self) -> str:
        """The same for every run of this call, and for no other call."""
        return hashlib.sha256(f"{self.turn}:{self.call_id}".encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Ended:
    """How a call ended; `output` is the text that the model gets, `error` the reason where there is no result."""

    status: Status
    output: str
    error: str = ""


def succeeded(output: str) -> Ended:
    return Ended(Status.SUCCEEDED, output)


def failed(error: ToolError) -> Ended:
    """A call without a result, and the output that tells the model why."""
    statuses: dict[type[ToolError], Status] = {
        ToolDeniedError: Status.DENIED,
        EffectUnknownError: Status.UNKNOWN,
    }
    output = orjson.dumps({"error": {"code": error.code, "message": error.message}}).decode()
    return Ended(statuses.get(type(error), Status.FAILED), output, error.message)


def open_row(called: Called, tool: AnyTool) -> None:
    """Write down that a tool is about to run; where it is run again, that it begins now."""
    rows = ToolCall.objects.filter(turn=called.turn, call_id=called.call_id, status=Status.RUNNING)
    if not rows.update(started_at=timezone.now()):
        ToolCall.objects.create(
            **_identity(called), tool_version=tool.version, status=Status.RUNNING, started_at=timezone.now()
        )


def close_row(called: Called, ended: Ended, *, policy: Policy = Policy.AUTO) -> uuid.UUID:
    """Write down how a call ended, whether it was begun or not, and return its row's id."""
    values: dict[str, Any] = {
        "status": ended.status,
        "result": {"output": without_nuls(ended.output)},
        "error": without_nuls(ended.error),
        "finished_at": timezone.now(),
    }
    row = ToolCall.objects.filter(turn=called.turn, call_id=called.call_id).only("id").first()
    if row is None:
        return ToolCall.objects.create(**_identity(called), policy=policy, **values).id
    ToolCall.objects.filter(id=row.id).update(**values)
    return row.id


def rows_of(turn: uuid.UUID, call_ids: Collection[str]) -> dict[str, ToolCall]:
    """Return what is written about these calls, by call id."""
    return {row.call_id: row for row in ToolCall.objects.filter(turn=turn, call_id__in=call_ids)}


def stored_output(row: ToolCall) -> str:
    """The output that a finished call gave."""
    return str((row.result or {}).get("output", ""))


def _identity(called: Called) -> dict[str, Any]:
    return {
        "user_id": called.user,
        "conversation": called.conversation,
        "turn": called.turn,
        "call_id": called.call_id,
        "tool": without_nuls(called.tool)[:MAX_TOOL_NAME],
        "arguments": _arguments(called.arguments),
        "idempotency_key": called.idempotency_key,
    }


def _arguments(raw: str) -> dict[str, Any]:
    """The arguments as JSON where they are an object, else their text under `raw`."""
    try:
        parsed = orjson.loads(raw or "{}")
    except orjson.JSONDecodeError:
        parsed = None
    return without_nuls(parsed if isinstance(parsed, dict) else {"raw": raw})  # type: ignore[no-any-return]
