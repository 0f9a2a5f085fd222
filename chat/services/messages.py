"""What people do with messages that they have sent: change one, take back one that still waits.

Each is one transaction. Nothing is deleted: an edited message keeps its branch, a withdrawn one its row.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from django.db import connection, transaction
from django.utils import timezone

from chat.models import Turn
from chat.selectors.branches import newest_leaf
from chat.services.starting import (
    Place,
    Started,
    are_being_read,
    checked_text,
    create_turn,
    documents_of,
    lead_to,
    locked_turn,
    sent_before,
    store_message,
)
from core.errors import ConflictError
from core.models import User
from retrieval.models import Document

# What followed the turn follows what the turn had followed, one step nearer to the root.
_CLOSE_THE_GAP = """
WITH RECURSIVE below (id) AS (
    SELECT id FROM chat_turn WHERE parent_id = %(turn)s
    UNION ALL
    SELECT child.id FROM chat_turn child JOIN below ON child.parent_id = below.id
)
UPDATE chat_turn SET depth = depth - 1,
    parent_id = CASE WHEN parent_id = %(turn)s THEN %(parent)s::uuid ELSE parent_id END
WHERE id IN (SELECT id FROM below)
"""


@dataclass(frozen=True, slots=True)
class Edit:
    """Other words for a message. `files` None keeps its documents, as far as they are still there."""

    client_id: uuid.UUID
    text: str
    files: Sequence[uuid.UUID] | None = None


def edit_turn(*, user: User, turn_id: uuid.UUID, edit: Edit) -> Started:
    """Ask in other words, as a sibling of the turn that is edited; the branch of that turn stays.

    Sent again with the same `client_id` it is the same turn. Raises what `start_turn` raises, and ConflictError while
    that message waits or is being answered.
    """
    text = checked_text(edit.text, files=len(edit.files or ()))
    with transaction.atomic():
        asked, conversation = locked_turn(user=user, turn_id=turn_id)
        if known := sent_before(conversation, edit.client_id):
            return known
        if asked.status == Turn.Status.QUEUED:
            raise ConflictError("This message still waits for its answer. Withdraw it instead.")
        if not asked.is_final:
            raise ConflictError("This message is being answered. Stop the answer first.")
        documents = _documents(asked) if edit.files is None else documents_of(conversation, edit.files)
        turn = create_turn(
            user, conversation, Place.beside(asked), client_id=edit.client_id, waits=are_being_read(documents)
        )
        store_message(turn, text, documents)
        lead_to(conversation, turn, title=text)
    return Started(turn, created=True)


def withdraw_turn(*, user: User, turn_id: uuid.UUID) -> Turn:
    """Take a waiting turn out of its branch: what waits behind it goes behind what it followed.

    Withdrawn again it stays as it is. Raises ConflictError for a turn that is being answered or has ended.
    """
    with transaction.atomic():
        if done := _withdrawn(user, turn_id):
            return done
        asked, conversation = locked_turn(user=user, turn_id=turn_id)
        if asked.is_final:
            raise ConflictError("This message is not waiting any more.")
        # locked means that a process takes it at this moment
        rows = Turn.objects.select_for_update(skip_locked=True)
        turn = rows.filter(id=turn_id, status=Turn.Status.QUEUED).first()
        if turn is None:
            raise ConflictError("This message is being answered already. Stop the answer instead.")
        now = timezone.now()
        turn.status, turn.finished_at, turn.withdrawn_at = Turn.Status.CANCELLED, now, now
        turn.save(update_fields=["status", "finished_at", "withdrawn_at"])
        with connection.cursor() as cursor:
            cursor.execute(_CLOSE_THE_GAP, {"turn": turn.id, "parent": turn.parent_id})
        if conversation.active_turn_id == turn.id:
            conversation.active_turn_id = newest_leaf(conversation.id, turn.parent_id)
            conversation.save(update_fields=["active_turn"])
    return turn


def _withdrawn(user: User, turn_id: uuid.UUID) -> Turn | None:
    rows = Turn.objects.filter(conversation__user=user, conversation__deleted_at=None, withdrawn_at__isnull=False)
    return rows.filter(id=turn_id).first()


def _documents(turn: Turn) -> list[Document]:
    rows = Document.objects.live().filter(attachments__item=turn.input_item_id)
    return list(rows.order_by("attachments__position"))
