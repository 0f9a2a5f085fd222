"""What every way of starting a turn has in common: finding its place in the tree, storing it, leading the branch to it.

For use inside a transaction that holds the conversation's lock (`locked_turn`, `lock_conversation`).
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import orjson
from django.conf import settings
from django.db import transaction

from chat.models import Attachment, Conversation, Item, Turn
from chat.selectors.assistants import usable_version
from chat.services.conversations import lock_conversation
from chat.turns import process
from chat.turns.job import Claimed
from core import statements
from core.errors import InvalidInputError, LimitError, NotFoundError
from core.models import User
from retrieval.models import Document

# Messages that may wait in one conversation.
MAX_QUEUED = 10
TITLE_CHARS = 60


@dataclass(frozen=True, slots=True)
class Place:
    """Where in the tree a turn goes: behind `parent`, so many turns below the root."""

    parent: uuid.UUID | None
    depth: int

    @classmethod
    def beside(cls, turn: Turn) -> "Place":
        return cls(turn.parent_id, turn.depth)


@dataclass(frozen=True, slots=True)
class Started:
    """A turn that is stored; `created` is false when it was sent before."""

    turn: Turn
    created: bool


def get_turn(*, user: User, turn_id: uuid.UUID) -> Turn:
    """Return a turn of this person's conversations; a foreign or withdrawn one is as missing."""
    rows = Turn.objects.filter(conversation__user=user, conversation__deleted_at=None, withdrawn_at=None)
    turn = rows.filter(id=turn_id).first()
    if turn is None:
        raise NotFoundError("There is no such message.")
    return turn


def locked_turn(*, user: User, turn_id: uuid.UUID) -> tuple[Turn, Conversation]:
    """Lock the conversation of a turn, and return the turn as it is then."""
    found = get_turn(user=user, turn_id=turn_id)
    conversation = lock_conversation(user=user, conversation_id=found.conversation_id, assistant_id=None)
    return get_turn(user=user, turn_id=turn_id), conversation


_SENT = "SELECT id FROM chat_turn WHERE conversation_id = %(conversation)s AND client_id = %(client)s"


def sent_before(conversation: Conversation, client_id: uuid.UUID) -> Started | None:
    row = statements.row(_SENT, {"conversation": conversation.id, "client": client_id})
    return Started(Turn.objects.get(id=row[0]), created=False) if row else None


def checked_text(text: str, *, files: int) -> str:
    """Return the words of a message; raises InvalidInputError for one that cannot be taken."""
    text = text.replace("\x00", "").strip()
    if not text:
        raise InvalidInputError("Write a message first.")
    if len(text) > settings.MESSAGE_MAX_CHARS:
        limit = settings.MESSAGE_MAX_CHARS
        raise InvalidInputError(
            f"The message has {len(text):,} characters; {limit:,} fit. Attach it as a file instead."
        )
    if files > settings.MESSAGE_MAX_FILES:
        raise InvalidInputError(f"A message can carry {settings.MESSAGE_MAX_FILES} files at most.")
    return text


def documents_of(conversation: Conversation, files: Sequence[uuid.UUID]) -> list[Document]:
    """Return the documents of the conversation that a message names; raises NotFoundError where one is missing."""
    wanted = list(dict.fromkeys(files))
    if not wanted:
        return []
    rows = Document.objects.live().filter(id__in=wanted, store=conversation.store_id).in_bulk()
    if len(rows) < len(wanted):
        raise NotFoundError("A file of this message is not there any more. Remove it and send again.")
    return [rows[document] for document in wanted]


def are_being_read(documents: Sequence[Document]) -> bool:
    return not all(document.is_final for document in documents)


_OPEN = """
SELECT count(*), count(*) FILTER (WHERE status = 'queued') FROM chat_turn
WHERE conversation_id = %(conversation)s AND status IN ('queued', 'in_progress', 'requires_action')
"""

_STORE_TURN = """
INSERT INTO chat_turn (id, conversation_id, parent_id, depth, continues_id, client_id, version_id, input_item_id,
    status, owner, epoch, passages, facts, error_code, error_message, error_retryable, created_at, started_at)
VALUES (%(id)s, %(conversation_id)s, %(parent_id)s, %(depth)s, %(continues_id)s, %(client_id)s, %(version_id)s,
    %(input_item_id)s, %(status)s, %(owner)s, %(epoch)s, %(passages)s::jsonb, %(facts)s::jsonb, '', '', false,
    clock_timestamp(),
    CASE WHEN %(owner)s::uuid IS NOT NULL THEN clock_timestamp() END)
RETURNING created_at, started_at
"""
_COLUMNS = ("id", "conversation_id", "parent_id", "depth", "continues_id", "client_id", "version_id", "input_item_id")


def create_turn(
    user: User, conversation: Conversation, place: Place, *, client_id: uuid.UUID, waits: bool = False, **fields: Any
) -> Turn:
    """Store a turn of the assistant's published version; `fields` are further fields of its row.

    It belongs to this process from the start where it runs turns and nothing has to come first; else it is queued.
    `waits` says that the message's files are still being read.
    """
    row = statements.row(_OPEN, {"conversation": conversation.id})
    going_on, queued = row or (0, 0)
    if queued >= MAX_QUEUED:
        raise LimitError("Too many messages wait for an answer already.")
    version = usable_version(user, conversation.assistant_id)
    if version is None:
        raise NotFoundError("This assistant is not available any more.")
    owner = None if going_on or waits else process.owner()
    values = {
        "version_id": version,
        # a new message's row follows in the same transaction; the reference is checked at its end
        "input_item_id": uuid.uuid4(),
        **fields,
    }
    turn = Turn(
        conversation=conversation,
        parent_id=place.parent,
        depth=place.depth,
        client_id=client_id,
        status=Turn.Status.IN_PROGRESS if owner else Turn.Status.QUEUED,
        owner=owner,
        epoch=1 if owner else 0,
        **values,
    )
    _store(turn)
    if owner:
        transaction.on_commit(partial(process.begin, Claimed(turn.id, turn.epoch, conversation.id, user.pk)))
    return turn


def _store(turn: Turn) -> None:
    values = {name: getattr(turn, name) for name in _COLUMNS}
    values |= {"status": str(turn.status), "owner": turn.owner, "epoch": turn.epoch}
    values["passages"] = orjson.dumps(turn.passages).decode()
    values["facts"] = None if turn.facts is None else orjson.dumps(turn.facts).decode()
    row = statements.row(_STORE_TURN, values)
    if row is not None:
        turn.created_at, turn.started_at = row
    turn._state.adding = False


_STORE_MESSAGE = """
INSERT INTO chat_item (id, conversation_id, turn_id, position, type, role, status, call_id, text, payload, created_at)
VALUES (%(id)s, %(conversation)s, %(turn)s, 0, 'message', 'user', 'completed', '', %(text)s, %(payload)s::jsonb, now())
"""


def store_message(turn: Turn, text: str, documents: Sequence[Document]) -> None:
    """Store what the person wrote as the item that a new turn answers."""
    payload = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}
    values = {
        "id": turn.input_item_id,
        "conversation": turn.conversation_id,
        "turn": turn.id,
        "text": text,
        "payload": orjson.dumps(payload).decode(),
    }
    statements.execute(_STORE_MESSAGE, values)
    if documents:
        item = Item(id=turn.input_item_id)
        Attachment.objects.bulk_create(
            Attachment(item=item, document=document, name=document.name, position=position)
            for position, document in enumerate(documents)
        )


_LEAD = """
UPDATE chat_conversation SET active_turn_id = %(turn)s, last_turn_at = clock_timestamp(), title = %(title)s
WHERE id = %(conversation)s
"""


def lead_to(conversation: Conversation, turn: Turn, *, title: str = "") -> None:
    """Make the branch that ends in `turn` the active one; the first words become the title where there is none."""
    conversation.active_turn = turn
    conversation.title = conversation.title or first_words(title)
    statements.execute(_LEAD, {"conversation": conversation.id, "turn": turn.id, "title": conversation.title})


def first_words(text: str) -> str:
    """Return a title: the beginning of a message, cut at a word."""
    line = " ".join(text.split())
    if len(line) <= TITLE_CHARS:
        return line
    return line[: TITLE_CHARS + 1].rsplit(" ", 1)[0][:TITLE_CHARS].rstrip(" ,.;:") + "…"
