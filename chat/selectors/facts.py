"""Facts as pages list them: one person's, assistant by assistant, newest first. Replaced ones are not among them."""

import uuid
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Count, Exists, F, OuterRef, Q, QuerySet, Window
from django.db.models.functions import Left, RowNumber

from chat.models import Assistant, Fact, MemoryOff
from chat.selectors.memory import current_facts
from core.models import User

# Characters of a message that show where a fact comes from.
SOURCE_CHARS = 120


@dataclass(frozen=True, slots=True)
class Source:
    """The message that a fact came from, as far as it is still to be seen; `text` is its beginning, one
    character longer than what is shown where there is more."""

    conversation: uuid.UUID
    turn: uuid.UUID
    text: str


@dataclass(frozen=True, slots=True)
class ListedFact:
    """`conversation` is the title of the one that it holds in, None where it holds in all with the assistant."""

    id: uuid.UUID
    assistant: uuid.UUID
    assistant_name: str
    text: str
    created_at: datetime
    edited_at: datetime | None
    conversation: str | None
    source: Source | None


_FIELDS = (
    "id", "assistant", "assistant__name", "text", "created_at", "edited_at", "conversation__title", "message",
    "item__conversation", "item__conversation__deleted_at", "item__turn", "item__turn__withdrawn_at",
)  # fmt: skip


def newest_facts(user: User, *, words: str, limit: int) -> list[ListedFact]:
    """Return the newest `limit` facts of each assistant that hold these words, each assistant's newest first."""
    place = Window(RowNumber(), partition_by=F("assistant"), order_by=[F("created_at").desc(), F("id").desc()])
    return _listed(_holding(current_facts(user), words).annotate(place=place).filter(place__lte=limit))


def facts_before(
    user: User, assistant: uuid.UUID, *, words: str, before: tuple[datetime, uuid.UUID] | None, limit: int
) -> list[ListedFact]:
    """Return facts that this assistant keeps, newest first, from the place behind `before` (time and id)."""
    rows = _holding(current_facts(user).filter(assistant=assistant), words)
    if before:
        moment, fact = before
        rows = rows.filter(Q(created_at__lt=moment) | Q(created_at=moment, id__lt=fact))
    return _listed(rows, limit)


def every_fact(user: User) -> list[ListedFact]:
    """Return all that is kept of a person, newest first."""
    return _listed(current_facts(user))


def listed_fact(user: User, fact: uuid.UUID) -> ListedFact | None:
    return next(iter(_listed(current_facts(user).filter(id=fact), 1)), None)


def _holding(rows: QuerySet[Fact], words: str) -> QuerySet[Fact]:
    for word in words.split():
        rows = rows.filter(text__icontains=word)
    return rows


def _listed(rows: QuerySet[Fact], limit: int | None = None) -> list[ListedFact]:
    read = rows.annotate(message=Left("item__text", SOURCE_CHARS + 1)).order_by("-created_at", "-id")
    return [_fact(row) for row in read.values(*_FIELDS)[:limit]]


def _fact(row: dict[str, Any]) -> ListedFact:
    is_gone = row["item__turn"] is None or row["item__conversation__deleted_at"] or row["item__turn__withdrawn_at"]
    return ListedFact(
        id=row["id"],
        assistant=row["assistant"],
        assistant_name=row["assistant__name"],
        text=row["text"],
        created_at=row["created_at"],
        edited_at=row["edited_at"],
        conversation=row["conversation__title"],
        source=None if is_gone else Source(row["item__conversation"], row["item__turn"], row["message"]),
    )


def counts(user: User) -> dict[uuid.UUID, int]:
    """How many facts each assistant keeps of this person; those that keep none are left out."""
    return dict(current_facts(user).order_by().values_list("assistant").annotate(Count("id")))


def assistants_with_memory(user: User, also: Collection[uuid.UUID] = ()) -> QuerySet[Assistant, Any]:
    """The assistants that remember and that this person may use (`is_used`), and those named."""
    used = Exists(_remembering(user).filter(id=OuterRef("id")))
    rows = Assistant.objects.annotate(is_used=used).filter(Q(is_used=True) | Q(id__in=also))
    return rows.select_related("published_version")


def _remembering(user: User) -> QuerySet[Assistant]:
    remember: QuerySet[Assistant] = Assistant.objects.usable().visible_to(user)
    return remember.filter(published_version__remembers=True)


def has_memory(user: User) -> bool:
    """Whether the memory page is of use to this person."""
    return _remembering(user).exists() or current_facts(user).exists()


def switched_off(user: User) -> set[uuid.UUID]:
    """The assistants with which this person wants no memory."""
    return set(MemoryOff.objects.filter(user=user).values_list("assistant", flat=True))
