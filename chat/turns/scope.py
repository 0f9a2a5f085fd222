"""What the tools of a turn may search, asked of the database when they do."""

import uuid

from django.db.models import QuerySet

from chat.models import Assistant, AssistantVersion
from chat.turns.job import turn_scope
from core.models import User
from retrieval.models import VectorStore


def tool_scope(version: AssistantVersion, conversation: uuid.UUID, user: uuid.UUID) -> QuerySet[VectorStore]:
    """The stores that a call may search now: as for the turn, but the right to the assistant is asked again.

    A turn may run for minutes, and what a model asks for is not what a person was allowed when they wrote.
    """
    person = User.objects.filter(id=user, is_active=True).first()
    if person is None:
        return VectorStore.objects.none()
    if Assistant.objects.visible_to(person).filter(id=version.assistant_id).exists():
        return turn_scope(version, conversation, user)
    return VectorStore.objects.filter(conversation=conversation, conversation__user=user)
