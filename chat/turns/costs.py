"""What a response cost."""

from decimal import Decimal

from chat.providers.base import Usage
from core.models import EndpointModel


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
