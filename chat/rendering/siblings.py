"""Alternatives of a turn: other words for its message, other answers to the same words.

Turns with the same parent are siblings, in the order in which they were made. Those that share a message are answers
to it; the others ask something else in its place.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from chat.models import Turn
from chat.rendering.shapes import Switch
from chat.selectors.shown import ShownTurn
from core import statements

# One statement, since a message that is withdrawn meanwhile gives its place in the tree to those behind it.
_FAMILIES = """
SELECT turn.id, sibling.id, sibling.input_item_id, sibling.continues_id, sibling.created_at
FROM chat_turn turn JOIN chat_turn sibling ON sibling.parent_id = turn.parent_id
WHERE turn.id = ANY(%(turns)s) AND (sibling.withdrawn_at IS NULL OR sibling.id = turn.id)
UNION ALL
SELECT turn.id, sibling.id, sibling.input_item_id, sibling.continues_id, sibling.created_at
FROM chat_turn turn JOIN chat_turn sibling ON sibling.conversation_id = turn.conversation_id
WHERE
    turn.id = ANY(%(turns)s) AND (sibling.withdrawn_at IS NULL OR sibling.id = turn.id)
    AND turn.parent_id IS NULL AND sibling.parent_id IS NULL
ORDER BY 5, 2
"""


@dataclass(frozen=True, slots=True)
class _Sibling:
    id: uuid.UUID
    message: uuid.UUID | None
    continues: uuid.UUID | None


def switches(turns: Sequence[ShownTurn]) -> dict[uuid.UUID, tuple[Switch, Switch]]:
    """Return, by the id of each turn, the switch between messages and the one between answers, with two queries."""
    families = _families(turns)
    followed = _followed(families)
    found = {}
    for turn in turns:
        family = families[turn.id]
        gone_on = {sibling.continues for sibling in family} - followed - {turn.id}
        groups: dict[uuid.UUID | None, list[uuid.UUID]] = {}
        for sibling in family:
            if sibling.id not in gone_on:
                groups.setdefault(sibling.message, []).append(sibling.id)
        messages = list(groups)
        # of the answers to another message the newest is shown
        newest = [groups[message][-1] for message in messages]
        answers = groups[turn.input_item_id]
        found[turn.id] = (
            _switch(newest, messages.index(turn.input_item_id)),
            _switch(answers, answers.index(turn.id)),
        )
    return found


def _families(turns: Sequence[ShownTurn]) -> dict[uuid.UUID, list[_Sibling]]:
    """The siblings of each of these turns, itself among them; a withdrawn one has no other place."""
    families: dict[uuid.UUID, list[_Sibling]] = {}
    for turn, *sibling, _ in statements.rows(_FAMILIES, {"turns": [turn.id for turn in turns]}):
        families.setdefault(turn, []).append(_Sibling(*sibling))
    return families


def _followed(families: dict[uuid.UUID, list[_Sibling]]) -> set[uuid.UUID | None]:
    """Of the turns whose answer another one continues, those where the conversation went on as well."""
    gone_on = {sibling.continues for family in families.values() for sibling in family if sibling.continues}
    if not gone_on:
        return set()
    return set(Turn.objects.filter(parent__in=gone_on, withdrawn_at=None).values_list("parent_id", flat=True))


def _switch(turns: Sequence[uuid.UUID], at: int) -> Switch:
    return Switch(
        index=at + 1,
        count=len(turns),
        previous=turns[at - 1] if at else None,
        next=turns[at + 1] if at + 1 < len(turns) else None,
    )
