"""The tokens that one turn may use, over all its steps."""

import uuid
from dataclasses import dataclass, field

from django.conf import settings
from django.db.models import F, Sum
from django.db.models.functions import Coalesce

from chat.models import Response

# What a step says, as a share of what it was sent; a longer one may end the turn where another could have answered.
ROOM_TO_SPEAK = 0.25


@dataclass(slots=True)
class TokenBudget:
    """`spent` are the tokens of all steps so far, `next` those that the next step sends."""

    limit: int = field(default_factory=lambda: settings.TURN_MAX_TOKENS)
    spent: int = 0
    next: int = 0

    def add(self, tokens: int) -> None:
        """Count a step, its input and its output; the next one sends both again."""
        self.spent += tokens
        self.next = tokens

    def expect(self, tokens: int) -> None:
        """Count what the next step sends beside them: the outputs of calls."""
        self.next += tokens

    @property
    def is_used_up(self) -> bool:
        """Whether another step would go beyond the limit."""
        return self.spent + self.next > self.limit

    @property
    def is_for_one_more(self) -> bool:
        """Whether the next step has to be the last one."""
        return self.spent + (2 + ROOM_TO_SPEAK) * self.next > self.limit


def budget_of(turn: uuid.UUID) -> TokenBudget:
    """The budget of a turn that has had steps already, from what their responses used."""
    used = Coalesce(F("input_tokens"), 0) + Coalesce(F("output_tokens"), 0)
    responses = Response.objects.filter(turn=turn)
    spent = responses.aggregate(all=Sum(used))["all"] or 0
    last = responses.exclude(input_tokens=None).order_by("step", "attempt").values_list(used, flat=True).last() or 0
    return TokenBudget(spent=spent, next=last)
