"""The active branch of a conversation: from one turn up to the root, by one recursive statement."""

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.db import connection
from django.db.models import Q

from chat.models import Item, Summary, Turn

_BRANCH = """
WITH RECURSIVE branch (id, parent_id, up) AS (
    SELECT id, parent_id, 0 FROM chat_turn WHERE id = %s
    UNION ALL
    SELECT parent.id, parent.parent_id, branch.up + 1
    FROM chat_turn parent JOIN branch ON parent.id = branch.parent_id
    WHERE branch.up + 1 < %s
)
SELECT id FROM branch ORDER BY up DESC
"""


_NEWEST_LEAF = """
WITH RECURSIVE below (id, created_at) AS (
    SELECT id, created_at FROM chat_turn WHERE id = %s
    UNION ALL
    SELECT child.id, child.created_at FROM chat_turn child JOIN below ON child.parent_id = below.id
)
SELECT id FROM below
WHERE NOT EXISTS (SELECT FROM chat_turn child WHERE child.parent_id = below.id)
ORDER BY created_at DESC LIMIT 1
"""


def newest_leaf(turn: uuid.UUID) -> uuid.UUID:
    """Return the end of the branch through `turn` that was talked on last; `turn` itself where nothing follows."""
    with connection.cursor() as cursor:
        cursor.execute(_NEWEST_LEAF, [turn])
        row = cursor.fetchone()
    return row[0] if row else turn


def branch_ids(leaf: uuid.UUID, *, limit: int) -> list[uuid.UUID]:
    """Return the ids of the last `limit` turns of the branch that ends in `leaf`, oldest first, `leaf` included."""
    with connection.cursor() as cursor:
        cursor.execute(_BRANCH, [leaf, limit])
        return [row[0] for row in cursor.fetchall()]


@dataclass(frozen=True, slots=True)
class PastTurn:
    """An earlier turn as the model gets to see it: its items as payloads, the user's message first."""

    id: uuid.UUID
    items: tuple[dict[str, Any], ...]
    user_text: str
    answer_text: str


def past_turns(ids: Iterable[uuid.UUID]) -> list[PastTurn]:
    """Return these turns in the order given, with two queries for all of them."""
    order = list(ids)
    inputs = dict(Turn.objects.filter(id__in=order).values_list("id", "input_item_id"))
    rows = Item.objects.filter(Q(turn__in=order) | Q(id__in=[item for item in inputs.values() if item]))
    items: dict[uuid.UUID, list[Item]] = {turn: [] for turn in order}
    by_id: dict[uuid.UUID, Item] = {}
    for row in rows.order_by("turn", "position"):
        by_id[row.id] = row
        if row.turn_id in items and row.role != Item.Role.USER:
            items[row.turn_id].append(row)
    found = []
    for turn in order:
        asked = by_id.get(inputs.get(turn) or turn)
        answer = items[turn]
        found.append(
            PastTurn(
                id=turn,
                items=tuple(row.payload for row in ([asked] if asked else []) + answer),
                user_text=asked.text if asked else "",
                answer_text="\n\n".join(row.text for row in answer if row.type == "message"),
            )
        )
    return found


def latest_summary(ids: list[uuid.UUID]) -> Summary | None:
    """Return the summary that reaches furthest along this branch (turn ids, oldest first)."""
    rows = {row.turn_id: row for row in Summary.objects.filter(turn__in=ids, suspect=False)}
    return next((rows[turn] for turn in reversed(ids) if turn in rows), None)
