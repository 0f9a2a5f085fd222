"""What was sent for turns, for looking at it afterwards. No turn passes here while it runs."""

import uuid
from collections.abc import Collection, Iterable, Sequence

from django.db.models.functions import Left

from chat.models import Citation, Fact, Response, Summary, Turn
from chat.selectors.answers import beginnings
from core.models import User
from retrieval.models import Document

FIRST_CHARS = 140


def turns_of_answer(turn: uuid.UUID) -> list[uuid.UUID]:
    """The turns that the answer of this one was made in, in order: those that it goes on from, then itself."""
    return [*beginnings([turn]).get(turn, []), turn]


def attempts(turns: Sequence[uuid.UUID]) -> list[Response]:
    """All attempts at all steps of these turns, in the order of the turns, with what was sent but for the body."""
    place = {turn: index for index, turn in enumerate(turns)}
    rows = Response.objects.filter(turn__in=turns, sent__isnull=False).select_related("sent", "model__endpoint")
    found = rows.defer("payload", "sent__body").order_by("step", "attempt")
    return sorted(found, key=lambda response: place[response.turn_id])


def first_words(turns: Collection[str], conversation: uuid.UUID) -> dict[str, str]:
    """How the messages of these turns begin, by the turn's id; `FIRST_CHARS` and a sign where there is more."""
    rows = Turn.objects.filter(id__in=turns, conversation=conversation, input_item__isnull=False)
    texts = rows.values_list("id", Left("input_item__text", FIRST_CHARS + 1))
    return {str(turn): text if len(text) <= FIRST_CHARS else f"{text[:FIRST_CHARS]}…" for turn, text in texts}


def summary_texts(summaries: Collection[str], conversation: uuid.UUID) -> dict[str, str]:
    """The texts of these summaries, by id."""
    rows = Summary.objects.filter(id__in=summaries, conversation=conversation).values_list("id", "text")
    return {str(summary): text for summary, text in rows}


def facts_seen_by(user: User, facts: Collection[str]) -> dict[str, Fact]:
    """Those of these facts that are still there, by id: one's own, and for a superuser all."""
    rows = Fact.objects.filter(pk__in=facts) if facts else Fact.objects.none()
    own = rows if user.is_superuser else rows.filter(user=user)
    return {str(fact.pk): fact for fact in own.defer("embedding")}


def documents_seen_by(user: User, documents: Collection[str]) -> set[str]:
    """Those of the documents that the user may open."""
    rows = Document.objects.visible_to(user).filter(pk__in=documents).values_list("pk", flat=True)
    return {str(document) for document in rows}


def cited_numbers(turns: Iterable[uuid.UUID]) -> set[int]:
    """The numbers of the passages that the answers of these turns cite."""
    return set(Citation.objects.filter(item__turn__in=turns).values_list("number", flat=True))
