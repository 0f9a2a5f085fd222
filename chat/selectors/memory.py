"""What is remembered of a person, and whether anything may be."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Q, QuerySet
from pgvector import HalfVector

from chat.models import Fact
from core import statements
from core.models import User
from retrieval.embeddings import Vectors

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


def current_facts(user: User) -> QuerySet[Fact]:
    """What is remembered of `user`, by whichever assistant.

    Without what a newer fact has replaced, and without what belongs to a deleted conversation.
    """
    here = Q(conversation=None) | Q(conversation__deleted_at=None)
    return Fact.objects.filter(here, user=user, superseded_by=None)


@dataclass(frozen=True, slots=True)
class RecalledFact:
    """A fact that was found for a question; `score` is the cosine of both."""

    id: uuid.UUID
    text: str
    said_at: datetime
    score: float

    def reference(self) -> dict[str, Any]:
        """What is stored: everything but the text, which its row has."""
        return {"id": str(self.id), "score": round(self.score, 6)}


@dataclass(frozen=True, slots=True)
class Reader:
    """Whose facts a turn reads: those of its conversation's person, where its version and the person want that."""

    version: uuid.UUID
    conversation: uuid.UUID

    @property
    def values(self) -> dict[str, Any]:
        return {"version": self.version, "conversation": self.conversation}


# The person and the assistant are those of the conversation: nobody else's facts can be named.
_READABLE = f"""
FROM chat_conversation conversation JOIN chat_assistantversion version ON version.id = %(version)s
JOIN chat_fact fact ON fact.user_id = conversation.user_id AND fact.assistant_id = conversation.assistant_id
    AND (fact.conversation_id IS NULL OR fact.conversation_id = conversation.id)
WHERE conversation.id = %(conversation)s AND {MAY_REMEMBER}
"""

_MODELS = f"SELECT fact.embedding_model_id, count(*) {_READABLE} AND fact.superseded_by_id IS NULL GROUP BY 1"

# MATERIALIZED: vectors of another model may have another length, and must not meet this one.
_NEAREST = f"""
WITH readable AS MATERIALIZED (
    SELECT fact.id, fact.text, coalesce(fact.edited_at, fact.created_at) AS said_at, fact.embedding
    {_READABLE} AND fact.superseded_by_id IS NULL AND fact.embedding_model_id = %(model)s
), scored AS (
    SELECT id, text, said_at, -(embedding <#> %(vector)s::halfvec) AS score FROM readable
)
SELECT id, text, said_at, score, count(*) OVER () FROM scored
WHERE score >= %(floor)s ORDER BY score DESC, id LIMIT %(limit)s
"""  # noqa: S608 - both parts are ours

_NAMED = f"""
SELECT fact.id, fact.text, coalesce(fact.edited_at, fact.created_at) {_READABLE} AND fact.id = ANY(%(facts)s)
"""


def readable_counts(reader: Reader) -> dict[uuid.UUID | None, int]:
    """How many facts there are to read, by the model of their vectors; None are those that have none yet."""
    return dict(statements.rows(_MODELS, reader.values))


def nearest_facts(
    reader: Reader, *, model: uuid.UUID, vector: Vectors, floor: float, limit: int
) -> tuple[tuple[RecalledFact, ...], int]:
    """The facts nearest to a vector under `model`, the best first, and how many there are above the floor."""
    values = {"model": model, "vector": HalfVector(vector).to_text(), "floor": floor, "limit": limit}
    rows = statements.rows(_NEAREST, {**reader.values, **values})
    facts = tuple(RecalledFact(fact, text, said_at, score) for fact, text, said_at, score, _ in rows)
    return facts, rows[0][4] if rows else 0


def facts_again(reader: Reader, scores: Mapping[uuid.UUID, float]) -> tuple[RecalledFact, ...]:
    """Those of these facts that may still be read, in their order, with these scores; a newer one changes nothing."""
    rows = statements.rows(_NAMED, {**reader.values, "facts": list(scores)})
    found = {fact: RecalledFact(fact, text, said_at, scores[fact]) for fact, text, said_at in rows}
    return tuple(found[fact] for fact in scores if fact in found)
