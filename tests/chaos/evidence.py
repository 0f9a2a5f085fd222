"""The points of a turn's way, and where a turn is: told from rows, from the upstream's journal and from what tabs got.

A kill counts for a point only where the process was stopped first and all of these said so then.
"""

from collections.abc import Sequence
from enum import StrEnum

from chat.models import Response, Turn
from core.models import Process
from tests.chaos.stage import Asked, Stage
from tests.chaos.tools import LOOK
from tools.models import ToolCall


class Point(StrEnum):
    """The names are those of the reliability goals."""

    BEFORE_THE_ACK = "before the ack"
    NOT_QUEUED = "row committed, not queued"
    QUEUED = "queued, not started"
    NO_EVENT = "request sent, no event"
    MID_TEXT = "mid text"
    IN_TOOL = "in a tool run"
    IN_REPEATABLE_TOOL = "in a repeatable tool run"
    TOOL_DONE = "tool done, not stored"
    TOOL_STORED = "stored, before the next call"
    NOT_COMMITTED = "provider done, not committed"
    NOT_PUSHED = "committed, not pushed"
    REPLAY = "during replay"
    SNAPSHOT = "while a snapshot is sent"


def turn_row(turn: str) -> Turn:
    return Turn.objects.get(id=turn)


def owner_pid(turn: str) -> int | None:
    """The process that runs the turn now."""
    owner = Turn.objects.filter(id=turn, status=Turn.Status.IN_PROGRESS).values_list("owner", flat=True).first()
    return Process.objects.filter(id=owner).values_list("pid", flat=True).first() if owner else None


def where_it_is(stage: Stage, asked: Asked, waiting: Sequence[str] = ()) -> str:
    """Return the point that a message has come to, or what else is known of it.

    `waiting` are the statements that the process waits for a lock with: they show that it has taken up what no row
    tells of.
    """
    turn = Turn.objects.filter(client_id=asked.client_id).first()
    acknowledged = asked.client_id in asked.tab.page.created
    if turn is None:
        taken_up = any("chat_conversation" in statement for statement in waiting)
        return Point.BEFORE_THE_ACK if taken_up and not acknowledged else "not taken up"
    if turn.is_final:
        return "pushed" if str(turn.id) in asked.tab.page.final else Point.NOT_PUSHED
    last = turn.responses.order_by("step", "attempt").last()
    if last is None:
        # a turn that need not wait is stored as one of its process; nothing has been done for it all the same
        begun = Point.QUEUED if turn.status == Turn.Status.QUEUED else "claimed, not asked"
        return begun if acknowledged else Point.NOT_QUEUED
    if last.status == Response.Status.IN_PROGRESS:
        return _while_asked(stage, asked, turn)
    if turn.items.filter(type="function_call").exists():
        return _between_steps(stage, asked, turn)
    return "answer saved, turn not ended"


def _while_asked(stage: Stage, asked: Asked, turn: Turn) -> str:
    entries = stage.entries(asked.text)
    if len(entries) < turn.responses.count():
        return "written down, not sent"
    newest = entries[-1]
    if newest.finished is not None:
        return Point.NOT_COMMITTED
    if not newest.deltas:
        return Point.NO_EVENT if newest.first_byte is None else "begun, no text"
    return Point.MID_TEXT if asked.tab.page.text(str(turn.id)) else "text sent, none shown"


def _between_steps(stage: Stage, asked: Asked, turn: Turn) -> str:
    if turn.items.filter(type="function_call_output").exists():
        return Point.TOOL_STORED
    call = ToolCall.objects.filter(turn=turn.id).first()
    runs = stage.workshop.runs[asked.text] if stage.workshop else []
    if call is None or not runs:
        return "call not begun"
    if call.status != ToolCall.Status.RUNNING:
        return "call ended, output not saved"
    if runs[-1].finished is not None:
        return Point.TOOL_DONE
    return Point.IN_REPEATABLE_TOOL if call.tool == LOOK.name else Point.IN_TOOL
