"""What the memory page shows: each assistant that remembers, with the facts that it keeps of one person."""

import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from django.urls import reverse
from django.utils.dateparse import parse_datetime
from django.utils.http import urlencode

from chat.rendering.pages import assistant_card
from chat.rendering.shapes import AssistantCard, FactSourceView, FactView
from chat.selectors import facts
from core.errors import NotFoundError
from core.models import User

# Facts of one assistant that are shown at once.
FACTS = 20


@dataclass(frozen=True, slots=True)
class MemoryView:
    """What one assistant remembers of a person. `more_url` leads to older facts, or is None.

    `is_used` says whether the assistant still remembers, as published and for this person; `words` are those that the
    facts shown were searched for, `count` is that of all its facts.
    """

    assistant: AssistantCard
    is_on: bool
    is_used: bool
    facts: list[FactView]
    count: int
    words: str
    more_url: str | None


@dataclass(frozen=True, slots=True)
class _Known:
    """What both ways of looking need: the assistants, how many facts each keeps, and which were switched off."""

    assistants: list[Any]
    counts: dict[uuid.UUID, int]
    off: set[uuid.UUID]

    @classmethod
    def of(cls, user: User) -> "_Known":
        counts = facts.counts(user)
        return cls(list(facts.assistants_with_memory(user, counts)), counts, facts.switched_off(user))

    def view(self, assistant: Any, rows: Sequence[facts.ListedFact], words: str) -> MemoryView:
        """`rows` are the facts to show, and one more where there are older ones."""
        shown = rows[:FACTS]
        more_url = None
        if len(rows) > FACTS:
            query = {"before": f"{shown[-1].created_at.isoformat()}~{shown[-1].id}"} | ({"q": words} if words else {})
            more_url = f"{reverse('chat:memory_of', args=[assistant.id])}?{urlencode(query)}"
        return MemoryView(
            assistant=assistant_card(assistant),
            is_on=assistant.id not in self.off,
            is_used=assistant.is_used,
            facts=[fact_view(fact) for fact in shown],
            count=self.counts.get(assistant.id, 0),
            words=words,
            more_url=more_url,
        )


def memory_views(user: User, *, words: str = "") -> list[MemoryView]:
    """Return what each assistant remembers, or could: the one with the newest fact first, those with none last.

    Of a search, only those that keep what was searched for.
    """
    known = _Known.of(user)
    found: dict[uuid.UUID, list[facts.ListedFact]] = {}
    for fact in facts.newest_facts(user, words=words, limit=FACTS + 1):
        found.setdefault(fact.assistant, []).append(fact)
    order = {assistant: place for place, assistant in enumerate(found)}
    shown = [one for one in known.assistants if one.id in found or not words]
    shown.sort(key=lambda assistant: order.get(assistant.id, len(order)))
    return [known.view(assistant, found.get(assistant.id, ()), words) for assistant in shown]


def memory_view(user: User, assistant_id: uuid.UUID, *, words: str = "", before: str = "") -> MemoryView:
    """Return a page of what one assistant remembers, from the place that `before` names.

    Raises NotFoundError for an assistant that neither remembers for this person nor keeps a fact.
    """
    known = _Known.of(user)
    assistant = next((one for one in known.assistants if one.id == assistant_id), None)
    if assistant is None:
        raise NotFoundError("There is no such assistant.")
    place = _place(before)
    rows = facts.facts_before(user, assistant_id, words=words, before=place, limit=FACTS + 1)
    return known.view(assistant, rows, words)


def fact_view(fact: facts.ListedFact) -> FactView:
    return FactView(
        id=fact.id,
        text=fact.text,
        created_at=fact.created_at,
        edited_at=fact.edited_at,
        conversation=fact.conversation,
        source=_source(fact.source) if fact.source else None,
    )


def exported_facts(user: User) -> list[dict[str, Any]]:
    """Everything that is kept of a person, newest first, as values of JSON with addresses of this site."""
    return [
        {
            "assistant": fact.assistant_name,
            "text": fact.text,
            "kept_at": fact.created_at,
            "edited_at": fact.edited_at,
            "conversation": fact.conversation,
            "message": asdict(_source(fact.source)) if fact.source else None,
        }
        for fact in facts.every_fact(user)
    ]


def _source(source: facts.Source) -> FactSourceView:
    beginning = " ".join(source.text[: facts.SOURCE_CHARS].split())
    page = reverse("chat:conversation", args=[source.conversation])
    return FactSourceView(
        text=f"{beginning}…" if len(source.text) > facts.SOURCE_CHARS else beginning,
        url=f"{page}?{urlencode({'turn': str(source.turn)})}#turn-{source.turn}",
    )


def _place(before: str) -> tuple[datetime, uuid.UUID] | None:
    """The time and the fact that `before` names; None where it names none."""
    moment, _, fact = before.partition("~")
    try:
        parsed = parse_datetime(moment)
        return (parsed, uuid.UUID(fact)) if parsed and parsed.tzinfo else None
    except ValueError:
        return None
