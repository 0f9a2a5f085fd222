"""Answers and their turns: a turn that continues another one goes on in the middle of that one's words."""

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from chat.models import Item, Turn
from core import statements
from core.models import Endpoint

_BEGINNINGS = """
WITH RECURSIVE chain (turn, earlier, up) AS (
    SELECT id, continues_id, 1 FROM chat_turn WHERE id = ANY(%(turns)s) AND continues_id IS NOT NULL
    UNION ALL
    SELECT chain.turn, former.continues_id, chain.up + 1
    FROM chain JOIN chat_turn former ON former.id = chain.earlier
    WHERE former.continues_id IS NOT NULL
)
SELECT turn, earlier FROM chain ORDER BY turn, up DESC
"""
# The ends after which there may be more to say.
_CUT_SHORT = (Turn.Status.INCOMPLETE, Turn.Status.FAILED, Turn.Status.CANCELLED)
# Why a server ended an answer (`incomplete_details.reason`), where it would do so again.
CONTENT_FILTER = "content_filter"


def beginnings(turns: Iterable[uuid.UUID]) -> dict[uuid.UUID, list[uuid.UUID]]:
    """Return, for those of these turns that continue others, the turns whose answers theirs begins with, in order."""
    found: dict[uuid.UUID, list[uuid.UUID]] = {}
    for turn, earlier in statements.rows(_BEGINNINGS, {"turns": list(turns)}):
        found.setdefault(turn, []).append(earlier)
    return found


class Said(Protocol):
    """What an item of an answer says."""

    @property
    def role(self) -> str: ...
    @property
    def text(self) -> str: ...


@dataclass(frozen=True, slots=True)
class SavedItem:
    """As much of an item as a model or an answer needs."""

    role: str
    text: str
    payload: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Attempt:
    """As much of a response as people are told; `provider` is None where its model is gone."""

    model_name: str
    incomplete_reason: str
    provider: str | None


class Ended(Protocol):
    """As much of a turn as its end is judged by; `attempts` are its responses in order."""

    @property
    def status(self) -> str: ...
    @property
    def withdrawn_at(self) -> datetime | None: ...
    @property
    def attempts(self) -> Sequence[Attempt]: ...


def answer_text(parts: Iterable[Iterable[Said]]) -> str:
    """Return what people see of an answer, given the items of its turns (see `beginnings`) in order.

    The messages of one turn stand apart; between two turns nothing is put, since the break may be within a word.
    """
    return "".join(
        "\n\n".join(item.text for item in part if item.role == Item.Role.ASSISTANT and item.text) for part in parts
    )


def answer_parts(turn: uuid.UUID, *, whole: bool = False) -> list[list[Item]]:
    """Return the items of the turns that this one continues, in order; with `whole` its own come last."""
    turns = beginnings([turn]).get(turn, [])
    if whole:
        turns = [*turns, turn]
    items: dict[uuid.UUID, list[Item]] = {part: [] for part in turns}
    for item in Item.objects.filter(turn__in=turns).exclude(role=Item.Role.USER).order_by("position"):
        items[item.turn_id].append(item)
    return list(items.values())


def can_continue(turn: Ended, text: str) -> bool:
    """Whether the answer `text` of this turn may be gone on with: something was said, and not all of it.

    Not where the server would end it again for what it says, nor where the extractive provider would quote anew.
    """
    if turn.status not in _CUT_SHORT or turn.withdrawn_at is not None or not text.strip():
        return False
    if not turn.attempts:
        return True
    last = turn.attempts[-1]
    return last.provider != Endpoint.Provider.EXTRACTIVE and last.incomplete_reason != CONTENT_FILTER
