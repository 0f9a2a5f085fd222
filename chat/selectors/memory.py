"""What is remembered of a person, and whether anything may be."""

import uuid

from django.db.models import Q, QuerySet

from chat.models import Assistant, Fact
from core import statements
from core.models import User

MAY_REMEMBER = """
(version.remembers AND conversation.uses_memory AND conversation.deleted_at IS NULL
    AND version.assistant_id = conversation.assistant_id
    AND NOT EXISTS (SELECT FROM chat_memoryoff off
        WHERE off.user_id = conversation.user_id AND off.assistant_id = conversation.assistant_id))
"""
"""SQL: whether a turn of this `version` in this `conversation` may read and write facts.

The version keeps them, the person has not switched memory off for the assistant, and the conversation uses it.
"""

_REMEMBERS = f"""
SELECT {MAY_REMEMBER} FROM chat_conversation conversation JOIN chat_assistantversion version ON version.id = %(version)s
WHERE conversation.id = %(conversation)s
"""  # noqa: S608 - both parts are ours


def remembers(*, version: uuid.UUID, conversation: uuid.UUID) -> bool:
    """Whether turns of `version` in `conversation` may read and write facts now."""
    row = statements.row(_REMEMBERS, {"version": version, "conversation": conversation})
    return bool(row and row[0])


def facts_of(user: User, assistant: Assistant) -> QuerySet[Fact]:
    """What is remembered of `user` by `assistant`, the newest first, each with its message and conversation.

    Without what a newer fact has replaced, and without what belongs to a deleted conversation.
    """
    here = Q(conversation=None) | Q(conversation__deleted_at=None)
    facts = Fact.objects.filter(here, user=user, assistant=assistant, superseded_by=None)
    return facts.select_related("conversation", "item__conversation")
