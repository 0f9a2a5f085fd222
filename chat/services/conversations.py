"""Conversations: made by the first message or the first file, always under the id that the browser chose."""

import uuid

from django.db import transaction

from chat.models import Assistant, Conversation
from core.errors import InvalidInputError, NotFoundError
from core.models import User
from retrieval import services as documents
from retrieval.services import UploadResult
from retrieval.services.uploads import Readable


def lock_conversation(*, user: User, conversation_id: uuid.UUID, assistant_id: uuid.UUID | None) -> Conversation:
    """Return the conversation, locked for this transaction; made where it does not exist yet.

    A foreign or deleted one answers like a missing one. Of two first sends at once one makes it and both get it.
    """
    rows = Conversation.objects.select_for_update(of=("self",))
    found = rows.filter(id=conversation_id).first()
    if found is None:
        _create(user, conversation_id, assistant_id)
        found = rows.get(id=conversation_id)
    if found.user_id != user.pk or found.deleted_at is not None:
        raise NotFoundError("There is no such conversation.")
    return found


def _create(user: User, conversation_id: uuid.UUID, assistant_id: uuid.UUID | None) -> None:
    if assistant_id is None:
        raise InvalidInputError("Choose an assistant first.")
    assistant = Assistant.objects.usable().visible_to(user).filter(id=assistant_id).first()
    if assistant is None:
        raise NotFoundError("There is no such assistant.")
    conversation = Conversation(id=conversation_id, user=user, assistant=assistant)
    Conversation.objects.bulk_create([conversation], ignore_conflicts=True)


def upload_to_conversation(
    *, user: User, conversation_id: uuid.UUID, assistant_id: uuid.UUID | None, name: str, content: Readable
) -> UploadResult:
    """Put a file into the conversation's own store, which only its turns search. Raises what `upload` raises."""
    with transaction.atomic():
        conversation = lock_conversation(user=user, conversation_id=conversation_id, assistant_id=assistant_id)
        if conversation.store is None:
            conversation.store = documents.create_conversation_store(user=user, name=f"Conversation {conversation.pk}")
            conversation.save(update_fields=["store"])
    return documents.upload(user=user, store=conversation.store, name=name, content=content)
