"""What people do with turns: ask, ask again, stop. Each is one transaction; nothing is acknowledged before it is in."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from chat.models import Assistant, Attachment, Conversation, Item, Turn
from chat.services.conversations import lock_conversation
from core.errors import ConflictError, InvalidInputError, LimitError, NotFoundError
from core.models import User
from retrieval.models import Document

# Messages that may wait in one conversation.
MAX_QUEUED = 10
TITLE_CHARS = 60


@dataclass(frozen=True, slots=True)
class Message:
    """What a person sends. `client_id` and `conversation` are made by the browser, so that it may send again.

    `follows` says whether `parent` was named: without it the turn goes behind the active one.
    """

    conversation: uuid.UUID
    client_id: uuid.UUID
    text: str
    assistant: uuid.UUID | None = None
    files: Sequence[uuid.UUID] = ()
    parent: uuid.UUID | None = None
    follows: bool = False


@dataclass(frozen=True, slots=True)
class Started:
    """A turn that is stored; `created` is false when it was sent before."""

    turn: Turn
    created: bool


def start_turn(*, user: User, message: Message) -> Started:
    """Store a message and queue its answer. Sent again with the same ids, it is the same turn.

    Raises InvalidInputError for a message that cannot be taken, NotFoundError for a conversation, assistant, parent or
    file that is not this person's to use, LimitError when too many messages wait.
    """
    text = _checked_text(message)
    with transaction.atomic():
        conversation = lock_conversation(
            user=user, conversation_id=message.conversation, assistant_id=message.assistant
        )
        known = Turn.objects.filter(conversation=conversation, client_id=message.client_id).first()
        if known is not None:
            return Started(known, created=False)
        parent = _parent(conversation, message)
        documents = _documents(conversation, message.files)
        turn = _create_turn(user, conversation, parent=parent, client_id=message.client_id)
        item = Item.objects.create(
            id=turn.input_item_id,
            conversation=conversation,
            turn=turn,
            position=0,
            type="message",
            role=Item.Role.USER,
            status="completed",
            text=text,
            payload={"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]},
        )
        Attachment.objects.bulk_create(
            Attachment(item=item, document=document, name=document.name, position=position)
            for position, document in enumerate(documents)
        )
        _activate(conversation, turn, text)
    return Started(turn, created=True)


def retry_turn(*, user: User, turn_id: uuid.UUID, client_id: uuid.UUID) -> Started:
    """Answer the same message again, as a sibling that shares the message. Raises ConflictError while it runs."""
    with transaction.atomic():
        asked = get_turn(user=user, turn_id=turn_id)
        conversation = lock_conversation(user=user, conversation_id=asked.conversation_id, assistant_id=None)
        known = Turn.objects.filter(conversation=conversation, client_id=client_id).first()
        if known is not None:
            return Started(known, created=False)
        asked.refresh_from_db()
        if not asked.is_final:
            raise ConflictError("This message is being answered. Stop the answer first.")
        turn = _create_turn(user, conversation, parent=asked.parent, client_id=client_id, item=asked.input_item_id)
        _activate(conversation, turn, "")
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


def get_turn(*, user: User, turn_id: uuid.UUID) -> Turn:
    """Return a turn of this person's conversations; a foreign one is as missing."""
    turn = Turn.objects.filter(id=turn_id, conversation__user=user, conversation__deleted_at=None).first()
    if turn is None:
        raise NotFoundError("There is no such message.")
    return turn


def _checked_text(message: Message) -> str:
    text = message.text.replace("\x00", "").strip()
    if not text:
        raise InvalidInputError("Write a message first.")
    if len(text) > settings.MESSAGE_MAX_CHARS:
        limit = settings.MESSAGE_MAX_CHARS
        raise InvalidInputError(
            f"The message has {len(text):,} characters; {limit:,} fit. Attach it as a file instead."
        )
    if len(message.files) > settings.MESSAGE_MAX_FILES:
        raise InvalidInputError(f"A message can carry {settings.MESSAGE_MAX_FILES} files at most.")
    return text


def _parent(conversation: Conversation, message: Message) -> Turn | None:
    if not message.follows:
        return conversation.active_turn
    if message.parent is None:
        return None
    parent = Turn.objects.filter(conversation=conversation, id=message.parent).first()
    if parent is None:
        raise NotFoundError("The message that this one follows is not there.")
    return parent


def _documents(conversation: Conversation, files: Sequence[uuid.UUID]) -> list[Document]:
    wanted = list(dict.fromkeys(files))
    if not wanted:
        return []
    rows = Document.objects.live().filter(id__in=wanted, store=conversation.store_id).in_bulk()
    if len(rows) < len(wanted):
        raise NotFoundError("A file of this message is not there any more. Remove it and send again.")
    return [rows[document] for document in wanted]


def _create_turn(
    user: User, conversation: Conversation, *, parent: Turn | None, client_id: uuid.UUID, item: uuid.UUID | None = None
) -> Turn:
    queued = Turn.objects.filter(conversation=conversation, status=Turn.Status.QUEUED).count()
    if queued >= MAX_QUEUED:
        raise LimitError("Too many messages wait for an answer already.")
    assistant = (
        Assistant.objects.visible_to(user)
        .filter(id=conversation.assistant_id, archived_at=None, published_version__isnull=False)
        .first()
    )
    if assistant is None or assistant.published_version_id is None:
        raise NotFoundError("This assistant is not available any more.")
    # the message's row follows in the same transaction; the reference is checked at its end
    return Turn.objects.create(
        conversation=conversation,
        parent=parent,
        depth=parent.depth + 1 if parent else 0,
        client_id=client_id,
        version_id=assistant.published_version_id,
        input_item_id=item or uuid.uuid4(),
    )


def _activate(conversation: Conversation, turn: Turn, text: str) -> None:
    conversation.active_turn = turn
    conversation.last_turn_at = timezone.now()
    if not conversation.title:
        conversation.title = first_words(text)
    conversation.save(update_fields=["active_turn", "last_turn_at", "title"])


def first_words(text: str) -> str:
    """Return a title: the beginning of a message, cut at a word."""
    line = " ".join(text.split())
    if len(line) <= TITLE_CHARS:
        return line
    return line[: TITLE_CHARS + 1].rsplit(" ", 1)[0][:TITLE_CHARS].rstrip(" ,.;:") + "…"
