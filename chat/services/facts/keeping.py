"""Keeps what was learnt: once, in place of what it contradicts, and no more of it than a person can oversee.

All within one transaction and one person's turn at a time, so that two messages at once keep nothing twice.
"""

import uuid
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from django.db import connection
from django.db.models import BooleanField, ExpressionWrapper, Q, QuerySet
from django.db.models.functions import Coalesce, Now
from pgvector import HalfVector

from chat.models import Fact, Turn
from core.models import EndpointModel
from retrieval.embeddings import Vectors

# Facts that one assistant keeps of one person, replaced ones among them.
MAX_FACTS = 200
# The cosine from which on two facts say the same, and from which on one can be what another brings up to date.
SAME = 0.95
NEAR = 0.3

_BOOLEAN = BooleanField()


@dataclass(frozen=True, slots=True)
class Learnt:
    """A checked fact; `here` says that it holds in this conversation only, `replaces` names what it contradicts."""

    text: str
    here: bool
    replaces: uuid.UUID | None
    vector: Vectors


@dataclass(frozen=True, slots=True)
class Held:
    """A fact that is known, as far as a new one is compared with it; `vector` is None under another model."""

    id: uuid.UUID
    text: str
    here: bool
    edited: bool
    vector: Vectors | None


def take_turn(user: uuid.UUID, assistant: uuid.UUID) -> None:
    """Let one transaction at a time change what is known of a person by an assistant."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"facts {user} {assistant}"])


def keep(turn: Turn, learnt: Sequence[Learnt], model: EndpointModel) -> list[Fact]:
    """Store what is new, as said in this turn's message. In a transaction that has taken its turn."""
    held = [_held(fact, model) for fact in _in_scope(turn)]
    kept = []
    for new in learnt:
        twin = twin_of(new, held)
        if twin is not None:
            # said again: it counts as used
            Fact.objects.filter(pk=twin.id).update(used_at=Now())
            continue
        replaced = replaced_by(new, held)
        fact = Fact.objects.create(
            user_id=turn.conversation.user_id,
            assistant_id=turn.conversation.assistant_id,
            conversation=turn.conversation if new.here else None,
            item_id=turn.input_item_id,
            text=new.text,
            embedding=HalfVector(new.vector),
            embedding_model=model,
        )
        Fact.objects.filter(pk__in=[one.id for one in replaced]).update(superseded_by=fact, updated_at=Now())
        held = [*(one for one in held if one not in replaced), Held(fact.pk, new.text, new.here, False, new.vector)]
        kept.append(fact)
    _prune(turn, besides=[fact.pk for fact in kept])
    return kept


def twin_of(new: Learnt, held: Iterable[Held]) -> Held | None:
    """What says the same already, wherever `new` would count."""
    return next((one for one in held if _says_the_same(new, one) and (new.here or not one.here)), None)


def replaced_by(new: Learnt, held: Iterable[Held]) -> list[Held]:
    """What `new` takes the place of: what it contradicts, and what says the same of this conversation only.

    A fact that a person put into words stays, and so does one that counts where `new` does not.
    """
    open_to_it = [one for one in held if not one.edited and (one.here or not new.here)]
    return [
        one
        for one in open_to_it
        if (one.id == new.replaces and _cosine(new, one) >= NEAR) or (not new.here and _says_the_same(new, one))
    ]


def _says_the_same(new: Learnt, one: Held) -> bool:
    return new.text.casefold() == one.text.casefold() or _cosine(new, one) >= SAME


def _cosine(new: Learnt, one: Held) -> float:
    return float(np.dot(new.vector, one.vector)) if one.vector is not None else 0.0


def _in_scope(turn: Turn) -> QuerySet[Fact]:
    conversation = turn.conversation
    here = Q(conversation=None) | Q(conversation=conversation)
    mine = Fact.objects.filter(user=conversation.user_id, assistant=conversation.assistant_id, superseded_by=None)
    return mine.filter(here).order_by("created_at", "pk")


def _held(fact: Fact, model: EndpointModel) -> Held:
    vector = np.asarray(fact.embedding, dtype=np.float32) if fact.embedding_model_id == model.pk else None
    return Held(fact.pk, fact.text, fact.conversation_id is not None, fact.edited_at is not None, vector)


def _prune(turn: Turn, *, besides: Collection[uuid.UUID]) -> None:
    """Delete what is too much: replaced facts first, then those used longest ago, what the person wrote last."""
    conversation = turn.conversation
    mine = Fact.objects.filter(user=conversation.user_id, assistant=conversation.assistant_id)
    too_many = mine.count() - MAX_FACTS
    if too_many > 0:
        live, edited = (
            ExpressionWrapper(Q(superseded_by=None), _BOOLEAN),
            ExpressionWrapper(~Q(edited_at=None), _BOOLEAN),
        )
        least = mine.exclude(pk__in=besides).order_by(live, edited, Coalesce("used_at", "created_at"))
        mine.filter(pk__in=list(least.values_list("pk", flat=True)[:too_many])).delete()
