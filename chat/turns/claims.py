"""Taking turns: queued ones whose time has come, and those that nobody runs. The database decides who wins.

Nobody runs a turn whose owner is dead, nor one that its living owner has no task for: the task ended without bringing
it into a final state, because PostgreSQL was away or the claim's answer was lost.
"""

import uuid
from collections.abc import Collection

from django.conf import settings
from django.db import IntegrityError

from chat.models import Turn
from chat.turns.job import Claimed
from core import statements
from core.heartbeat import ALIVE

# Seconds that a turn which was stored as one of this process may be on its way to the runner.
GRACE = 2

# A queued turn may start when its parent is final, nothing runs in its conversation, and its files are read (or are
# not worth waiting for any longer).
_CANDIDATES = """
SELECT turn.id FROM chat_turn turn
WHERE turn.status = 'queued'
  AND NOT EXISTS (
    SELECT FROM chat_turn running WHERE running.conversation_id = turn.conversation_id
      AND running.status IN ('in_progress', 'requires_action'))
  AND NOT EXISTS (
    SELECT FROM chat_turn parent WHERE parent.id = turn.parent_id
      AND parent.status NOT IN ('completed', 'incomplete', 'failed', 'cancelled'))
  AND NOT EXISTS (
    SELECT FROM chat_attachment attachment JOIN retrieval_document document ON document.id = attachment.document_id
    WHERE attachment.item_id = turn.input_item_id AND document.state NOT IN ('ready', 'failed')
      AND turn.created_at > now() - %(wait)s::interval)
UNION ALL
SELECT turn.id FROM chat_turn turn
WHERE turn.status = 'in_progress' AND turn.id <> ALL(%(running)s)
  AND (turn.owner = %(owner)s AND coalesce(turn.started_at < now() - %(grace)s::interval, true) OR NOT EXISTS (
    SELECT FROM core_process owner WHERE owner.id = turn.owner AND owner.seen_at > now() - %(alive)s::interval))
LIMIT %(limit)s
"""

_TAKE = """
UPDATE chat_turn SET status = 'in_progress', owner = %(owner)s, epoch = epoch + 1,
    started_at = coalesce(started_at, now())
WHERE id = (
    SELECT id FROM chat_turn WHERE id = %(turn)s AND (status = 'queued' OR (status = 'in_progress' AND (
        chat_turn.owner = %(owner)s OR NOT EXISTS (
            SELECT FROM core_process process
            WHERE process.id = chat_turn.owner AND process.seen_at > now() - %(alive)s::interval))))
    FOR UPDATE SKIP LOCKED)
RETURNING epoch, conversation_id, (SELECT user_id FROM chat_conversation WHERE id = conversation_id)
"""


def claim_turns(owner: uuid.UUID, *, running: Collection[uuid.UUID], limit: int) -> list[Claimed]:
    """Take up to `limit` turns for the process `owner`, which runs `running`. Each taking raises the turn's epoch.

    Only one call for an owner at a time: what it took before has to be among `running`.
    """
    times = {
        "wait": f"{settings.FILES_WAIT_SECONDS} seconds",
        "alive": f"{ALIVE.total_seconds()} seconds",
        "grace": f"{GRACE} seconds",
    }
    candidates = statements.rows(_CANDIDATES, {**times, "owner": owner, "running": list(running), "limit": limit})
    return [claimed for (turn,) in candidates if (claimed := _take(turn, owner, times["alive"]))]


def _take(turn: uuid.UUID, owner: uuid.UUID, alive: str) -> Claimed | None:
    try:
        row = statements.row(_TAKE, {"turn": turn, "owner": owner, "alive": alive})
    except IntegrityError:
        return None  # another turn of the conversation was taken at the same moment: one runs at a time
    return Claimed(turn, *row) if row else None


def stopped(owner: uuid.UUID) -> set[uuid.UUID]:
    """Return the turns of this process that somebody asked to stop."""
    rows = Turn.objects.filter(owner=owner, status=Turn.Status.IN_PROGRESS, stop_requested_at__isnull=False)
    return set(rows.values_list("id", flat=True))
