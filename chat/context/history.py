"""What of the earlier conversation a model is offered, newest first; the ceiling then takes what fits.

One small class per strategy. `hybrid` is `summary` plus facts, which are chosen elsewhere.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from chat.errors import InputTooLongError
from chat.models import AssistantVersion, Summary
from chat.selectors.branches import PastTurn

DEFAULT_WINDOW_TURNS = 20
DEFAULT_WINDOW_TOKENS = 16_000


@dataclass(frozen=True, slots=True)
class Offer:
    """Earlier turns, oldest first, that may go in; a turn goes in whole or not at all.

    `keep_all` makes a turn that does not fit an error rather than a cut.
    """

    turns: tuple[PastTurn, ...]
    summary: Summary | None = None
    token_limit: int | None = None
    keep_all: bool = False


class Strategy(Protocol):
    def offer(self, past: Sequence[PastTurn], summary: Summary | None) -> Offer:
        """Choose from the active branch (oldest first, the newest message not among it)."""
        ...


@dataclass(frozen=True, slots=True)
class Full:
    """Everything, or an error before the limit."""

    def offer(self, past: Sequence[PastTurn], summary: Summary | None) -> Offer:
        return Offer(turns=tuple(past), keep_all=True)


@dataclass(frozen=True, slots=True)
class Window:
    """The last turns, by number and by tokens."""

    turns: int = DEFAULT_WINDOW_TURNS
    tokens: int = DEFAULT_WINDOW_TOKENS

    def offer(self, past: Sequence[PastTurn], summary: Summary | None) -> Offer:
        return Offer(turns=tuple(past[-self.turns :]), token_limit=self.tokens)


@dataclass(frozen=True, slots=True)
class SummaryAndWindow:
    """The summary of what is older, and the last turns; a turn that the summary covers is left to it."""

    turns: int = DEFAULT_WINDOW_TURNS
    tokens: int = DEFAULT_WINDOW_TOKENS

    def offer(self, past: Sequence[PastTurn], summary: Summary | None) -> Offer:
        covered = next((i for i, turn in enumerate(past) if summary and turn.id == summary.turn_id), -1)
        recent = past[max(covered + 1, len(past) - self.turns) :]
        return Offer(turns=tuple(recent), summary=summary, token_limit=self.tokens)


def strategy_of(version: AssistantVersion) -> Strategy:
    """Return the version's strategy with its parameters (`turns`, `tokens`)."""
    sizes = {
        name: int(value)
        for name, value in version.strategy_parameters.items()
        if name in {"turns", "tokens"} and isinstance(value, int) and value > 0
    }
    if version.strategy == AssistantVersion.Strategy.FULL:
        return Full()
    if version.strategy == AssistantVersion.Strategy.WINDOW:
        return Window(**sizes)
    return SummaryAndWindow(**sizes)


@dataclass(frozen=True, slots=True)
class Fitted:
    """What of an offer fits. `tokens` is its cost, `dropped` the number of offered turns left out."""

    items: tuple[dict[str, Any], ...]
    turns: tuple[PastTurn, ...]
    tokens: int
    dropped: int


def fit(offer: Offer, *, budget: int, cost: "dict[Any, int]") -> Fitted:
    """Take turns from the newest back while they fit into `budget` tokens; `cost` has the tokens of each turn id.

    Whole turns only, so a call and its output, or reasoning and its item, are never parted. Raises
    `InputTooLongError` where the strategy forbids leaving anything out.
    """
    limit = min(budget, offer.token_limit) if offer.token_limit is not None else budget
    kept: list[PastTurn] = []
    spent = 0
    for turn in reversed(offer.turns):
        if spent + cost[turn.id] > limit:
            break
        spent += cost[turn.id]
        kept.append(turn)
    kept.reverse()
    dropped = len(offer.turns) - len(kept)
    if dropped and offer.keep_all:
        raise InputTooLongError(
            "This conversation has become too long for the model. Start a new one, or ask an administrator to choose "
            "another context strategy."
        )
    return Fitted(tuple(item for turn in kept for item in turn.items), tuple(kept), spent, dropped)
