"""What a turn that ended leaves to workers, as rows of the outbox: a summary, facts, a title (see `chat.tasks`).

Every turn passes here: who asks for nothing pays nothing.
"""

from django.conf import settings

from chat.context.history import DEFAULT_WINDOW_TOKENS, DEFAULT_WINDOW_TURNS
from chat.turns.job import SUMMARISED, Claimed
from chat.turns.ownership import Owned
from core import outbox

SUMMARISE = "chat.summarise"
TITLE = "chat.title"
LEARN_FACTS = "chat.learn_facts"
EMBED_FACTS = "chat.embed_facts"

# The depth from which on turns are looked at for a summary; sooner where the window is small.
SUMMARISE_FROM = 8
# Turns in which a title is asked for: the first ones may have failed.
TITLE_TURNS = 3


def enqueue_work(claimed: Claimed, turn: Owned, *, sent_tokens: int, is_written: bool) -> None:
    """Ask, in the transaction that ends the turn, for what its conversation needs now.

    `sent_tokens` are those of its last request, 0 where there was none; `is_written` says that a model answered, not
    the extractive provider.
    """
    if turn.strategy in SUMMARISED and _may_leave_window(turn, sent_tokens):
        outbox.enqueue(kind=SUMMARISE, subject=claimed.turn, owner=claimed.user)
    if turn.remembers:
        outbox.enqueue(kind=LEARN_FACTS, subject=claimed.turn, owner=claimed.user)
    if settings.MODEL_TITLES and is_written and turn.has_first_words and turn.depth < TITLE_TURNS:
        outbox.enqueue(kind=TITLE, subject=claimed.conversation, owner=claimed.user)


def _may_leave_window(turn: Owned, sent_tokens: int) -> bool:
    """Whether turns may soon be left out: the worker looks closely, so this may be wrong towards yes."""
    turns = turn.window_turns or DEFAULT_WINDOW_TURNS
    tokens = turn.window_tokens or DEFAULT_WINDOW_TOKENS
    return turn.depth >= min(SUMMARISE_FROM, turns - 1) or sent_tokens > tokens // 2
