"""Conversations: made by the first message or the first file, always under the id that the browser chose."""

import uuid

from django.db import transaction

from chat.models import Conversation
from chat.selectors.assistants import usable_version
from core import statements
from core.errors import NotFoundError
from core.models import User
from retrieval import services as documents
from retrieval.models import Upload, VectorStore
from retrieval.services import Announced, UploadResult
from retrieval.services.uploads import Readable

_LOCK = statements.select(Conversation) + " WHERE id = %(id)s FOR NO KEY UPDATE"

_CREATE = """
INSERT INTO chat_conversation (id, user_id, assistant_id, title, title_source, uses_memory, last_turn_at, created_at)
VALUES (%(id)s, %(user)s, %(assistant)s, '', 'first_words', %(uses_memory)s, now(), now())
ON CONFLICT DO NOTHING
"""


def lock_conversation(
    *, user: User, conversation_id: uuid.UUID, assistant_id: uuid.UUID | None, uses_memory: bool = True
) -> Conversation:
    """Return the conversation, locked for this transaction; made where it does not exist yet.

    A foreign or deleted one answers like a missing one. Of two first sends at once one makes it and both get it.
    """
    found = _locked(conversation_id)
    if found is None:
        _create(user, conversation_id, assistant_id, uses_memory=uses_memory)
        found = _locked(conversation_id)
    if found is None or found.user_id != user.pk or found.deleted_at is not None:
        raise NotFoundError("There is no such conversation.")
    return found


def _locked(conversation: uuid.UUID) -> Conversation | None:
    row = statements.row(_LOCK, {"id": conversation})
    return statements.instance(Conversation, row) if row else None


def _create(user: User, conversation_id: uuid.UUID, assistant_id: uuid.UUID | None, *, uses_memory: bool) -> None:
    if assistant_id is None:
        raise NotFoundError("There is no such conversation.")
    if usable_version(user, assistant_id) is None:
        raise NotFoundError("There is no such assistant.")
    values = {"id": conversation_id, "user": user.pk, "assistant": assistant_id, "uses_memory": uses_memory}
    statements.execute(_CREATE, values)


def use_memory(*, user: User, conversation_id: uuid.UUID, uses: bool) -> None:
    """Let a conversation read and write facts, or do neither, from its next turn on."""
    own = Conversation.objects.live().filter(id=conversation_id, user=user)
    if not own.update(uses_memory=uses):
        raise NotFoundError("There is no such conversation.")


def upload_to_conversation(
    *, user: User, conversation_id: uuid.UUID, assistant_id: uuid.UUID | None, name: str, content: Readable
) -> UploadResult:
    """Put a file into the conversation's own store, which only its turns search. Raises what `upload` raises."""
    store = _store_of(user, conversation_id, assistant_id)
    return documents.upload(user=user, store=store, name=name, content=content)


def begin_conversation_upload(
    *, user: User, conversation_id: uuid.UUID, assistant_id: uuid.UUID | None, file: Announced
) -> Upload:
    """Begin an upload in parts into the conversation's own store. Raises what `begin_upload` raises."""
    store = _store_of(user, conversation_id, assistant_id)
    return documents.begin_upload(user=user, store=store, file=file)


@transaction.atomic
def _store_of(user: User, conversation_id: uuid.UUID, assistant_id: uuid.UUID | None) -> VectorStore:
    """The store of a conversation, made with its first file."""
    conversation = lock_conversation(user=user, conversation_id=conversation_id, assistant_id=assistant_id)
    if conversation.store is None:
        conversation.store = documents.create_conversation_store(user=user, name=f"Conversation {conversation.pk}")
        conversation.save(update_fields=["store"])
    return conversation.store
