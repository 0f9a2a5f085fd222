"""What a response cost."""

from decimal import Decimal
from typing import Any

from chat.providers.base import Finished, Usage
from core.models import EndpointModel


def used(finished: Finished, model: EndpointModel) -> dict[str, Any]:
    """The columns of a `BackgroundCall` that say how the server's answer ended and what it used."""
    usage = finished.usage or Usage()
    return {
        "status": finished.status,
        "model_name": (finished.model or model.name)[:200],
        "input_tokens": usage.input_tokens,
        "cached_tokens": usage.cached_tokens,
        "output_tokens": usage.output_tokens,
        "reasoning_tokens": usage.reasoning_tokens,
        "cost": cost_of(usage, model),
    }


def cost_of(usage: Usage, model: EndpointModel) -> Decimal | None:
    """Return US dollars, or None where the tokens or the prices are not known."""
    if usage.input_tokens is None or usage.output_tokens is None:
        return None
    if model.input_price is None or model.output_price is None:
        return None
    cached = min(usage.cached_tokens or 0, usage.input_tokens)
    cached_price = model.cached_input_price if model.cached_input_price is not None else model.input_price
    total = (usage.input_tokens - cached) * model.input_price + cached * cached_price
    return (total + usage.output_tokens * model.output_price) / 1_000_000
