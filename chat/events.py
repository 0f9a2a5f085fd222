"""What happens in a running turn, as frozen values: made by the engine, numbered in the log, read by every watcher."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class StateChanged:
    """The turn does something else now; `label` says what, in words for a person (empty: nothing to say)."""

    status: str
    label: str


@dataclass(frozen=True, slots=True)
class TextAdded:
    """The answer grew."""

    text: str


@dataclass(frozen=True, slots=True)
class TextReplaced:
    """The answer so far is this text: after a step was dropped, or when the log had to be begun anew."""

    text: str


@dataclass(frozen=True, slots=True)
class PassagesFound:
    """The passages that the answer may cite: what `Turn.passages` holds, and as `citation` the id of the stored one
    where the answer goes on behind words that cite the passage.
    """

    passages: tuple[dict[str, object], ...]


@dataclass(frozen=True, slots=True)
class CallStarted:
    """A tool runs for the model now."""

    call_id: str
    name: str


@dataclass(frozen=True, slots=True)
class CallFinished:
    """A tool that ran has ended; `status` is that of its row (succeeded, failed)."""

    call_id: str
    name: str
    status: str


@dataclass(frozen=True, slots=True)
class Ended:
    """The turn is final; what is shown now stands in its rows."""

    status: str


TurnEvent: TypeAlias = StateChanged | TextAdded | TextReplaced | PassagesFound | CallStarted | CallFinished | Ended

Show: TypeAlias = Callable[[TurnEvent], object]
"""Told of what happens, at once; must neither block nor raise."""
