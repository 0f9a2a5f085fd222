"""What models used and cost: sums over rows, for looking at."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.db.models import Count, QuerySet, Sum

from chat.models import BackgroundCall, Conversation, Response, Turn

_TOKENS = ("input_tokens", "cached_tokens", "output_tokens", "reasoning_tokens")
_SUMS = {
    "calls": Count("pk"),
    "priced": Count("cost"),
    "all_cost": Sum("cost"),
    **{f"all_{name}": Sum(name) for name in _TOKENS},
}


@dataclass(frozen=True, slots=True)
class Spent:
    """Tokens and US dollars of some calls. `unpriced` of them have no known cost, so that `cost` is a part only."""

    label: str
    calls: int
    input_tokens: int
    cached_tokens: int
    output_tokens: int
    reasoning_tokens: int
    cost: Decimal | None
    unpriced: int


def spent_in_background(calls: QuerySet[BackgroundCall]) -> list[Spent]:
    """Sums per purpose, in the order in which purposes are declared; then that of all where there is more than one."""
    rows = calls.order_by().values("purpose").annotate(**_SUMS)
    found: dict[str, Mapping[str, Any]] = {row["purpose"]: row for row in rows}
    parts = [_spent(label, found[value]) for value, label in BackgroundCall.Purpose.choices if value in found]
    return _with_sum(parts)


def spent_on_turns(turns: QuerySet[Turn]) -> list[Spent]:
    """The sum of these turns, each with all attempts at its answer; nothing where there are none."""
    sums = turns.order_by().aggregate(**_SUMS)
    return [_spent("Turns", sums)] if sums["calls"] else []


def spent_on(conversation: Conversation) -> list[Spent]:
    """Sums of a conversation: its answers (every attempt), then its background calls, then all."""
    answers = Response.objects.filter(turn__conversation=conversation).aggregate(**_SUMS)
    parts = [_spent("Answers", answers)] if answers["calls"] else []
    background = spent_in_background(BackgroundCall.objects.filter(conversation=conversation))
    return _with_sum([*parts, *(part for part in background if part.label != _ALL)])


_ALL = "Together"


def _spent(label: str, sums: Mapping[str, Any]) -> Spent:
    return Spent(
        label=str(label),
        calls=sums["calls"],
        cost=sums["all_cost"],
        unpriced=sums["calls"] - sums["priced"],
        **{name: sums[f"all_{name}"] or 0 for name in _TOKENS},
    )


def _with_sum(parts: list[Spent]) -> list[Spent]:
    if len(parts) < 2:
        return parts
    costs = [part.cost for part in parts if part.cost is not None]
    every = Spent(
        label=_ALL,
        calls=sum(part.calls for part in parts),
        cost=sum(costs, Decimal(0)) if costs else None,
        unpriced=sum(part.unpriced for part in parts),
        **{name: sum(getattr(part, name) for part in parts) for name in _TOKENS},
    )
    return [*parts, every]
