"""What of the earlier conversation a model is offered; the ceiling (`chat.context.ceiling`) then takes what fits.

One small class per strategy. All see the active branch only. `hybrid` is `summary` plus facts, which are chosen
elsewhere.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from chat.models import AssistantVersion, Summary
from chat.selectors.branches import PastTurn

DEFAULT_WINDOW_TURNS = 20
DEFAULT_WINDOW_TOKENS = 16_000
# What the shortest turn has: one message without a word.
_LEAST_TURN_TOKENS = 4


@dataclass(frozen=True, slots=True)
class Offer:
    """Earlier turns, oldest first, that may go in; a turn goes in whole or not at all.

    `token_limit` is what they may have together. `keep_all` makes a turn that does not fit an error rather than a cut,
    and keeps their texts as they are. `in_strides` leaves out some in advance (`chat.context.ceiling.begun_alike`).
    """

    turns: tuple[PastTurn, ...]
    summary: Summary | None = None
    token_limit: int | None = None
    keep_all: bool = False
    in_strides: bool = False


class Strategy(Protocol):
    def reach(self, window: int) -> int:
        """How many earlier turns it can use at most, with a model of `window` tokens; no more have to be loaded."""
        ...

    def offer(self, past: Sequence[PastTurn], summary: Summary | None) -> Offer:
        """Choose from the active branch (oldest first, the newest message not among it)."""
        ...


@dataclass(frozen=True, slots=True)
class Full:
    """Everything, or an error before the limit."""

    def reach(self, window: int) -> int:
        # one more than could ever fit, so that it is seen not to
        return window // _LEAST_TURN_TOKENS + 1

    def offer(self, past: Sequence[PastTurn], summary: Summary | None) -> Offer:
        return Offer(turns=tuple(past), keep_all=True)


@dataclass(frozen=True, slots=True)
class Window:
    """The last turns, by number and by tokens, whichever is reached first; it moves by some turns at a time."""

    turns: int = DEFAULT_WINDOW_TURNS
    tokens: int = DEFAULT_WINDOW_TOKENS

    def reach(self, window: int) -> int:
        return self.turns

    def offer(self, past: Sequence[PastTurn], summary: Summary | None) -> Offer:
        return Offer(turns=tuple(past[-self.turns :]), token_limit=self.tokens, in_strides=True)


@dataclass(frozen=True, slots=True)
class SummaryAndWindow:
    """The summary of what is older, and the last turns; a turn that the summary covers is left to it."""

    turns: int = DEFAULT_WINDOW_TURNS
    tokens: int = DEFAULT_WINDOW_TOKENS

    def reach(self, window: int) -> int:
        return self.turns

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
