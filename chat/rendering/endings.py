"""How a turn ended, in words for its person, and what one can do about it."""

from collections.abc import Iterator
from dataclasses import dataclass

from django.utils.translation import gettext as _

from chat.errors import ProviderError
from chat.models import Turn
from chat.selectors.answers import CONTENT_FILTER, can_continue
from chat.selectors.shown import ShownTurn


@dataclass(frozen=True, slots=True)
class Ending:
    """`reason` is empty where there is nothing to say; `instead` is what the assistant says in place of an answer."""

    reason: str = ""
    instead: str = ""
    can_continue: bool = False
    can_retry: bool = False


def ending(turn: ShownTurn, text: str) -> Ending:
    """Return how this turn ended with the answer `text`."""
    said = bool(text.strip())
    if turn.status == Turn.Status.FAILED:
        # no model had a word: the last resort is what the assistant says for that case
        instead = turn.failure_message if not said and turn.error_code in _OF_PROVIDERS else ""
        return Ending(turn.error_message, instead, can_continue(turn, text), can_retry=turn.error_retryable)
    if turn.status == Turn.Status.CANCELLED:
        reason = _("Stopped. What was said so far is kept.") if said else _("Stopped before anything was said.")
        return Ending(reason, can_continue=can_continue(turn, text), can_retry=True)
    if turn.status == Turn.Status.INCOMPLETE:
        return Ending(_cut_short(turn, said=said), can_continue=can_continue(turn, text), can_retry=True)
    if turn.status == Turn.Status.COMPLETED and not said:
        return Ending(_("The model ended without a word. Ask again, or in other words."))
    return Ending()


def _cut_short(turn: ShownTurn, *, said: bool) -> str:
    if turn.attempts and turn.attempts[-1].incomplete_reason == CONTENT_FILTER:
        return _("The answer was ended by a content policy of the model server.")
    if said:
        return _("The answer was cut short by the model's limit.")
    return _("The model reached its limit before it said anything.")


def _codes(error: type[ProviderError]) -> Iterator[str]:
    yield error.code
    for kind in error.__subclasses__():
        yield from _codes(kind)


_OF_PROVIDERS = frozenset(_codes(ProviderError))
