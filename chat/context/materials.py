"""What a request is made from, and what of it goes in: plain values between the parts of this room."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from chat.context.ceiling import Kept
from chat.context.facts import NOTHING, Recall
from chat.context.passages import NumberedPassage
from chat.models import AssistantVersion, Summary
from chat.providers.items import Item
from chat.selectors.branches import PastTurn
from chat.selectors.pictures import AttachedPicture


@dataclass(frozen=True, slots=True)
class Materials:
    """Everything that may go into the requests of a turn. `produced` are the items of its earlier steps.

    `depth` is how many turns the branch has before this one; `past` are the last of them, as many as can be of use, and
    `summarised` is how many of them `summary` stands for. `recall` has the facts that were found for the question,
    `found` the passages that outputs among `produced` carry, `tools` what the model may call, as a request offers it;
    `is_last` says that no step may follow, so that the model has to answer.
    """

    turn: uuid.UUID
    conversation: uuid.UUID
    user: uuid.UUID
    version: AssistantVersion
    question: Item
    depth: int
    past: tuple[PastTurn, ...]
    summary: Summary | None
    summarised: int
    passages: tuple[NumberedPassage, ...]
    recall: Recall = NOTHING
    produced: tuple[Item, ...] = ()
    found: tuple[NumberedPassage, ...] = ()
    tools: tuple[dict[str, Any], ...] = ()
    is_last: bool = False
    retrieval: Mapping[str, Any] = field(default_factory=dict)
    """How `passages` were come by, where the version has set anything about it; for the manifest."""
    pictures: Mapping[str, AttachedPicture] = field(default_factory=dict)
    """What the question and `past` refer to (`chat.selectors.pictures`), by reference."""


@dataclass(frozen=True, slots=True)
class Fixed:
    """What never yields, and what is left for the rest; one text of what was said earlier has `longest` at most."""

    instructions: str
    messages: list[Item]
    parameters: dict[str, Any]
    tokens: dict[str, int]
    ceiling: int
    longest: int

    @property
    def left(self) -> int:
        return self.ceiling - sum(self.tokens.values())


@dataclass(frozen=True, slots=True)
class Chosen:
    """What goes in of all that may yield.

    `within` is how many turns the strategy's limits allow, `in_window` how many it offers, but for the ceiling.
    """

    steps: tuple[Item, ...]
    summary: Item | None
    kept: Kept
    within: int
    in_window: int
