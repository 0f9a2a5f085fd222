"""The active branch of a conversation: from one turn up to the root, by one recursive statement."""

import uuid
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from itertools import chain
from typing import Any

import orjson
from django.db import connection

from chat.models import Item, Summary
from chat.providers.joining import joined
from chat.selectors.answers import SavedItem, answer_text, beginnings
from core import statements

_BRANCH = """
WITH RECURSIVE branch (id, parent_id, up) AS (
    SELECT id, parent_id, 0 FROM chat_turn WHERE id = %(leaf)s
    UNION ALL
    SELECT parent.id, parent.parent_id, branch.up + 1
    FROM chat_turn parent JOIN branch ON parent.id = branch.parent_id
    WHERE branch.up + 1 < %(limit)s
)
SELECT id FROM branch ORDER BY up DESC
"""


# The ends of the branches below a turn, or of all where there is none above; of a withdrawn message none.
_NEWEST_LEAF = """
WITH RECURSIVE below (id, created_at) AS (
    SELECT id, created_at FROM chat_turn
    WHERE conversation_id = %(conversation)s AND withdrawn_at IS NULL
      AND (id = %(top)s OR (%(top)s::uuid IS NULL AND parent_id IS NULL))
    UNION ALL
    SELECT child.id, child.created_at FROM chat_turn child JOIN below ON child.parent_id = below.id
    WHERE child.withdrawn_at IS NULL
)
SELECT id FROM below
WHERE NOT EXISTS (SELECT FROM chat_turn child WHERE child.parent_id = below.id AND child.withdrawn_at IS NULL)
ORDER BY created_at DESC, id DESC LIMIT 1
"""


def newest_leaf(conversation: uuid.UUID, top: uuid.UUID | None) -> uuid.UUID | None:
    """Return the end of the branch that was talked on last, of those through `top`, or of all where it is None.

    `top` itself where nothing follows it; None where there is no turn.
    """
    with connection.cursor() as cursor:
        cursor.execute(_NEWEST_LEAF, {"conversation": conversation, "top": top})
        row = cursor.fetchone()
    return row[0] if row else None


def branch_ids(leaf: uuid.UUID, *, limit: int) -> list[uuid.UUID]:
    """Return the ids of the last `limit` turns of the branch that ends in `leaf`, oldest first, `leaf` included."""
    return [row[0] for row in statements.rows(_BRANCH, {"leaf": leaf, "limit": limit})]


@dataclass(frozen=True, slots=True)
class PastTurn:
    """An earlier turn as the model gets to see it: its items as payloads, the user's message first."""

    id: uuid.UUID
    items: tuple[dict[str, Any], ...]
    user_text: str
    answer_text: str


_INPUTS = "SELECT id, input_item_id, continues_id FROM chat_turn WHERE id = ANY(%(turns)s)"

_ITEMS = """
SELECT id, turn_id, role, text, payload, position FROM chat_item WHERE turn_id = ANY(%(turns)s)
UNION ALL
SELECT id, turn_id, role, text, payload, position FROM chat_item
WHERE id = ANY(%(inputs)s) AND turn_id <> ALL(%(turns)s)
ORDER BY position
"""


def past_turns(ids: Iterable[uuid.UUID]) -> list[PastTurn]:
    """Return these turns in the order given, with a fixed number of queries for all of them.

    A turn that continues others holds their items too: to a model it is one answer.
    """
    order = list(ids)
    known = statements.rows(_INPUTS, {"turns": order})
    inputs = {turn: item for turn, item, _ in known}
    continuing = [turn for turn, _, continues in known if continues]
    earlier = beginnings(continuing) if continuing else {}
    said, asked = _items({*order, *chain.from_iterable(earlier.values())}, inputs.values())
    found = []
    for turn in order:
        question = asked.get(inputs[turn])
        parts = [said[part] for part in (*earlier.get(turn, ()), turn)]
        answer = joined([item.payload for item in part] for part in parts)
        found.append(
            PastTurn(
                id=turn,
                items=((question.payload,) if question else ()) + answer,
                user_text=question.text if question else "",
                answer_text=answer_text(parts),
            )
        )
    return found


def _items(
    turns: Collection[uuid.UUID], inputs: Iterable[uuid.UUID | None]
) -> tuple[dict[uuid.UUID, list[SavedItem]], dict[uuid.UUID, SavedItem]]:
    """What was said in each of these turns, in order, and the messages that they answer, by id."""
    said: dict[uuid.UUID, list[SavedItem]] = {turn: [] for turn in turns}
    asked = {}
    wanted = {"turns": list(turns), "inputs": [item for item in inputs if item]}
    for item, turn, role, text, payload, _ in statements.rows(_ITEMS, wanted):
        saved = SavedItem(role, text, orjson.loads(payload))
        if role == Item.Role.USER:
            asked[item] = saved
        else:
            said[turn].append(saved)
    return said, asked


_SUMMARIES = "SELECT turn_id, id FROM chat_summary WHERE turn_id = ANY(%(turns)s) AND NOT suspect"


def latest_summary(ids: list[uuid.UUID]) -> Summary | None:
    """Return the summary that reaches furthest along this branch (turn ids, oldest first)."""
    found = dict(statements.rows(_SUMMARIES, {"turns": ids}))
    latest = next((found[turn] for turn in reversed(ids) if turn in found), None)
    return Summary.objects.get(id=latest) if latest else None
