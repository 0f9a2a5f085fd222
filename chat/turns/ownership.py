"""The fence before every write of a turn: only its present owner passes."""

import uuid
from dataclasses import dataclass

from chat.errors import LostTurnError
from chat.selectors.answers import answer_parts, answer_text
from chat.selectors.memory import MAY_REMEMBER
from chat.turns.job import Claimed
from core import statements

# A turn that is locked here may still be named as a parent.
_OWN = f"""
SELECT coalesce((SELECT max(position) + 1 FROM chat_item WHERE turn_id = turn.id), 0),
    ARRAY(SELECT citation.number FROM chat_citation citation JOIN chat_item item ON item.id = citation.item_id
        WHERE item.turn_id = turn.id),
    turn.depth, version.strategy,
    CASE WHEN jsonb_typeof(version.strategy_parameters -> 'turns') = 'number'
        THEN trunc((version.strategy_parameters ->> 'turns')::numeric) END,
    CASE WHEN jsonb_typeof(version.strategy_parameters -> 'tokens') = 'number'
        THEN trunc((version.strategy_parameters ->> 'tokens')::numeric) END,
    conversation.title_source = 'first_words', {MAY_REMEMBER},
    turn.continues_id IS NOT NULL
        AND NOT EXISTS (SELECT FROM chat_item WHERE turn_id = turn.id AND role = 'assistant' AND text <> '')
FROM chat_turn turn JOIN chat_assistantversion version ON version.id = turn.version_id
    JOIN chat_conversation conversation ON conversation.id = turn.conversation_id
WHERE turn.id = %(turn)s AND turn.epoch = %(epoch)s AND turn.status = 'in_progress'
FOR NO KEY UPDATE OF turn
"""  # noqa: S608 - both parts are ours


@dataclass(slots=True)
class Place:
    """The end of a locked turn: where its next item goes, and the numbers of the passages that it cites already.

    `before` is the text that its next message goes on with: that of another turn, until it has one of its own.
    """

    turn: uuid.UUID
    conversation: uuid.UUID
    position: int
    cited: set[int]
    before: str = ""


@dataclass(frozen=True, slots=True)
class Owned:
    """A turn that is locked for this transaction.

    `window_turns` and `window_tokens` are its version's strategy parameters, 0 where they are not set;
    `has_first_words` says that nobody has given its conversation a title yet, `remembers` that facts may be learnt.
    """

    place: Place
    depth: int
    strategy: str
    window_turns: int
    window_tokens: int
    has_first_words: bool
    remembers: bool


def owned(claimed: Claimed) -> Owned:
    """Lock the turn for this transaction; raises `LostTurnError` when it was taken over."""
    row = statements.row(_OWN, {"turn": claimed.turn, "epoch": claimed.epoch})
    if row is None:
        raise LostTurnError("The turn was taken over.")
    position, cited, depth, strategy, turns, tokens, has_first_words, remembers, goes_on = row
    before = answer_text(answer_parts(claimed.turn)) if goes_on else ""
    place = Place(claimed.turn, claimed.conversation, position, set(cited), before)
    return Owned(place, depth, strategy, int(turns or 0), int(tokens or 0), has_first_words, remembers)
