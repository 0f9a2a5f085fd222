"""The calls of a turn as rows: the audit of each, and the one output that each gets.

A call is written down as running before its tool starts, and closed with the output that the model will get before
that output becomes an item. So whoever takes the turn over knows of each call whether it was begun, whether it ended,
and what it gave.
"""

import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import transaction

from chat.context.passages import NumberedPassage
from chat.models import Item, Turn
from chat.providers.items import FunctionCall, open_calls
from chat.turns.item_rows import append_items
from chat.turns.job import Claimed
from chat.turns.ownership import Place, owned
from tools import audit
from tools.audit import Called, Ended
from tools.base import AnyTool, Policy
from tools.errors import CallNotRunError, EffectUnknownError, ToolError, ToolFailedError
from tools.models import ToolCall
from tools.registry import installed


@dataclass(frozen=True, slots=True)
class Output:
    """The one output of a call, and the row of its audit."""

    call_id: str
    text: str
    row: uuid.UUID

    @property
    def item(self) -> dict[str, Any]:
        return {"type": "function_call_output", "call_id": self.call_id, "output": self.text}


def called(claimed: Claimed, call: FunctionCall) -> Called:
    return Called(claimed.user, claimed.conversation, claimed.turn, call.call_id, call.name, call.arguments)


def begin_call(claimed: Claimed, call: FunctionCall, tool: AnyTool) -> None:
    """Commit that this tool is about to run; raises LostTurnError when the turn was taken over."""
    with transaction.atomic():
        owned(claimed)
        audit.open_row(called(claimed, call), tool)


def end_call(
    claimed: Claimed, call: FunctionCall, ended: Ended, *, policy: Policy, passages: Collection[NumberedPassage]
) -> Output:
    """Commit how a call ended, with the passages that its output numbers."""
    with transaction.atomic():
        owned(claimed)
        row = audit.close_row(called(claimed, call), ended, policy=policy)
        turn = Turn.objects.only("passages").get(id=claimed.turn)
        known = {reference["number"] for reference in turn.passages}
        if fresh := [passage.reference() for passage in passages if passage.number not in known]:
            turn.passages = [*turn.passages, *fresh]
            turn.save(update_fields=["passages"])
    return Output(call.call_id, ended.output, row)


def save_outputs(claimed: Claimed, outputs: Sequence[Output]) -> None:
    """Store the outputs of calls as items, in this order; each is the one output of its call."""
    with transaction.atomic():
        _append(owned(claimed).place, outputs)


def _append(place: Place, outputs: Sequence[Output]) -> None:
    rows = {output.call_id: output.row for output in outputs}
    append_items(place, None, [output.item for output in outputs], passages=(), tool_calls=rows)


def close_open_calls(claimed: Claimed, place: Place) -> None:
    """Give every call of a locked turn that ends without an answer its output: no call is left without one.

    A tool that runs at this moment is told of as such; it is cancelled by whoever ran it.
    """
    rows = Item.objects.filter(turn=place.turn, type__in=("function_call", "function_call_output"))
    calls = open_calls(rows.order_by("position").values_list("payload", flat=True))
    if not calls:
        return
    known = audit.rows_of(place.turn, [call.call_id for call in calls])
    _append(place, [_closed(claimed, call, known.get(call.call_id)) for call in calls])


def _closed(claimed: Claimed, call: FunctionCall, row: ToolCall | None) -> Output:
    if row is not None and row.finished_at is not None:
        return Output(call.call_id, audit.stored_output(row), row.id)
    error: ToolError = CallNotRunError(f"{call.name} was not run: the answer ended before.")
    if row is not None:
        tool = installed().get(row.tool)
        stopped = f"{call.name} was stopped: the answer ended while it ran."
        error = ToolFailedError(stopped) if tool is not None and tool.repeatable else EffectUnknownError(stopped)
    ended = audit.failed(error)
    return Output(call.call_id, ended.output, audit.close_row(called(claimed, call), ended))
