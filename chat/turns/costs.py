"""What a response cost, and the rows that keep what questions outside of a turn's steps cost."""

import uuid
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.db.models.functions import Now

from chat.models import BackgroundCall, Conversation
from chat.providers.base import Finished, Usage
from chat.selectors.targets import ModelChoice
from core.models import EndpointModel


@dataclass(frozen=True, slots=True)
class Occasion:
    """What a model is asked for, and on whose behalf."""

    purpose: BackgroundCall.Purpose
    conversation: uuid.UUID
    user: uuid.UUID
    assistant: uuid.UUID

    @classmethod
    def of(cls, conversation: Conversation, purpose: BackgroundCall.Purpose) -> "Occasion":
        return cls(purpose, conversation.pk, conversation.user_id, conversation.assistant_id)


def begin_call(occasion: Occasion, choice: ModelChoice) -> BackgroundCall:
    """Write the row before the model is asked: the server may have worked, whatever happens to this process."""
    return BackgroundCall.objects.create(
        purpose=occasion.purpose,
        conversation_id=occasion.conversation,
        user_id=occasion.user,
        assistant_id=occasion.assistant,
        model=choice.row,
        model_name=choice.row.name,
    )


def end_call(call: BackgroundCall, choice: ModelChoice, finished: Finished, error_code: str) -> None:
    """Say how it ended and what it used; `error_code` is empty where something came of it."""
    # only these columns: what it was asked for may have been deleted meanwhile
    rows = BackgroundCall.objects.filter(pk=call.pk)
    rows.update(**_used(finished, choice.row), error_code=error_code[:50], finished_at=Now())


def _used(finished: Finished, model: EndpointModel) -> dict[str, Any]:
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
