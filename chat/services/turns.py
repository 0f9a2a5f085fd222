"""What people do with turns: ask, ask again, let an answer go on, stop.

Each is one transaction; nothing is acknowledged before it is in. What they do with their messages afterwards is in
`chat.services.messages`.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from django.db import transaction
from django.utils import timezone

from chat.models import Conversation, Turn
from chat.selectors.answers import answer_parts, answer_text, can_continue
from chat.selectors.shown import shown_turns
from chat.services.conversations import lock_conversation
from chat.services.starting import (
    Place,
    Started,
    are_being_read,
    checked_text,
    create_turn,
    documents_of,
    get_turn,
    lead_to,
    locked_turn,
    sent_before,
    store_message,
)
from core import statements
from core.errors import ConflictError, NotFoundError
from core.models import User


@dataclass(frozen=True, slots=True)
class Message:
    """What a person sends. `client_id` and `conversation` are made by the browser, so that it may send again.

    `follows` says whether `parent` was named: without it the turn goes behind the active one. `uses_memory` is for a
    conversation that the message begins.
    """

    conversation: uuid.UUID
    client_id: uuid.UUID
    text: str
    assistant: uuid.UUID | None = None
    files: Sequence[uuid.UUID] = ()
    parent: uuid.UUID | None = None
    follows: bool = False
    uses_memory: bool = True


def start_turn(*, user: User, message: Message) -> Started:
    """Store a message and queue its answer. Sent again with the same ids, it is the same turn.

    Raises InvalidInputError for a message that cannot be taken, NotFoundError for a conversation, assistant, parent or
    file that is not this person's to use, LimitError when too many messages wait.
    """
    text = checked_text(message.text, files=len(message.files))
    with transaction.atomic():
        conversation = lock_conversation(
            user=user,
            conversation_id=message.conversation,
            assistant_id=message.assistant,
            uses_memory=message.uses_memory,
        )
        if known := sent_before(conversation, message.client_id):
            return known
        place = _place(conversation, message)
        documents = documents_of(conversation, message.files)
        turn = create_turn(user, conversation, place, client_id=message.client_id, waits=are_being_read(documents))
        store_message(turn, text, documents)
        lead_to(conversation, turn, title=text)
    return Started(turn, created=True)


def retry_turn(*, user: User, turn_id: uuid.UUID, client_id: uuid.UUID) -> Started:
    """Answer the same message again, as a sibling that shares the message. Raises ConflictError while it runs."""
    with transaction.atomic():
        asked, conversation = locked_turn(user=user, turn_id=turn_id)
        if known := sent_before(conversation, client_id):
            return known
        if not asked.is_final:
            raise ConflictError("This message is being answered. Stop the answer first.")
        turn = create_turn(
            user, conversation, Place.beside(asked), client_id=client_id, input_item_id=asked.input_item_id
        )
        lead_to(conversation, turn)
    return Started(turn, created=True)


def continue_turn(*, user: User, turn_id: uuid.UUID, client_id: uuid.UUID) -> Started:
    """Let an answer that stopped before its end go on, as a sibling that begins with it (docs/adr/0013).

    An answer goes on once: asked for again, also by another tab, it is the same turn. Raises ConflictError while it is
    being written, and where there is nothing to go on with.
    """
    with transaction.atomic():
        asked, conversation = locked_turn(user=user, turn_id=turn_id)
        if known := sent_before(conversation, client_id):
            return known
        if going_on := asked.continuations.filter(withdrawn_at=None).first():
            return Started(going_on, created=False)
        if not asked.is_final:
            raise ConflictError("This answer is still being written.")
        shown = shown_turns([asked.id])[0]
        if not can_continue(shown, answer_text(answer_parts(asked.id, whole=True))):
            raise ConflictError("This answer has nothing to go on with. Ask for another one instead.")
        turn = create_turn(
            user,
            conversation,
            Place.beside(asked),
            client_id=client_id,
            continues=asked,
            input_item_id=asked.input_item_id,
            # it is the same answer: of the same version, with the same facts, citing the same passages by number
            version_id=asked.version_id,
            passages=asked.passages,
            facts=asked.facts,
        )
        lead_to(conversation, turn)
    return Started(turn, created=True)


def stop_turn(*, user: User, turn_id: uuid.UUID) -> Turn:
    """Ask a running turn to end, or end a waiting one at once. A final turn stays as it is."""
    with transaction.atomic():
        get_turn(user=user, turn_id=turn_id)
        turn = Turn.objects.select_for_update().get(id=turn_id)
        now = timezone.now()
        if turn.status == Turn.Status.IN_PROGRESS:
            turn.stop_requested_at = turn.stop_requested_at or now
            turn.save(update_fields=["stop_requested_at"])
        elif not turn.is_final:
            turn.status, turn.stop_requested_at, turn.finished_at = Turn.Status.CANCELLED, now, now
            turn.save(update_fields=["status", "stop_requested_at", "finished_at"])
    return turn


# Up to the first turn that was not withdrawn.
_ABOVE = """
WITH RECURSIVE above (id, parent_id, depth, withdrawn_at) AS (
    SELECT id, parent_id, depth, withdrawn_at FROM chat_turn
    WHERE conversation_id = %(conversation)s AND id = %(parent)s
    UNION ALL
    SELECT parent.id, parent.parent_id, parent.depth, parent.withdrawn_at
    FROM chat_turn parent JOIN above ON parent.id = above.parent_id WHERE above.withdrawn_at IS NOT NULL
)
SELECT id, depth, withdrawn_at IS NOT NULL FROM above ORDER BY depth LIMIT 1
"""


def _place(conversation: Conversation, message: Message) -> Place:
    """Behind the turn that the message follows; one that was withdrawn on the way is followed by what it followed."""
    wanted = message.parent if message.follows else conversation.active_turn_id
    if wanted is None:
        return Place(None, 0)
    row = statements.row(_ABOVE, {"conversation": conversation.id, "parent": wanted})
    if row is None:
        raise NotFoundError("The message that this one follows is not there.")
    parent, depth, withdrawn = row
    return Place(None, 0) if withdrawn else Place(parent, depth + 1)
