"""Writes what a turn made: each call is one transaction, and each is refused to a former owner.

`Item.payload` is what the server said, verbatim; `Item.text` is what people see.
"""

import hashlib
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import orjson
from django.db import transaction
from django.db.models import Max, Sum
from django.utils import timezone

from chat.context.assembly import Assembled
from chat.context.passages import NumberedPassage
from chat.errors import LostTurnError, ProviderError, clean_reason
from chat.models import AssistantVersion, Conversation, Response, SentRequest, Turn
from chat.providers.base import Finished, Usage
from chat.selectors.targets import ModelChoice
from chat.turns.costs import cost_of
from chat.turns.item_rows import append_items, without_nuls
from chat.turns.job import Claimed
from core import outbox
from core.errors import ParleyError

# Work for after the turn (see `chat.tasks`). Conversations of a few turns need no summary.
SUMMARISE = "chat.summarise"
SUMMARISE_FROM = 8
SUMMARISED = {AssistantVersion.Strategy.SUMMARY, AssistantVersion.Strategy.HYBRID}


@dataclass(frozen=True, slots=True)
class Attempt:
    """One response that was asked for."""

    response: uuid.UUID
    choice: ModelChoice
    passages: tuple[NumberedPassage, ...]


@dataclass(slots=True)
class Timings:
    """When the first event and the first visible text of an attempt came."""

    first_event_at: datetime | None = None
    first_text_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a turn ends."""

    status: Turn.Status
    error: ParleyError | None = None
    # what was said but not saved with a finished response: kept as it is, marked as cut short
    partial_text: str = ""
    passages: Sequence[NumberedPassage] = field(default=())


def _owned(claimed: Claimed) -> Turn:
    """Lock the turn for this transaction; raises `LostTurnError` when it was taken over."""
    turn = (
        Turn.objects.select_for_update()
        .filter(id=claimed.turn, epoch=claimed.epoch, status=Turn.Status.IN_PROGRESS)
        .first()
    )
    if turn is None:
        raise LostTurnError("The turn was taken over.")
    return turn


def save_passages(claimed: Claimed, passages: Iterable[NumberedPassage]) -> None:
    """Store what retrieval found, so that a takeover uses the same passages under the same numbers."""
    with transaction.atomic():
        turn = _owned(claimed)
        turn.passages = [passage.reference() for passage in passages]
        turn.save(update_fields=["passages"])


def begin_response(claimed: Claimed, *, step: int, assembled: Assembled, choice: ModelChoice) -> Attempt:
    """Write down that a step is asked for, with its manifest, before anything is sent."""
    request = assembled.request
    body = orjson.dumps(
        {
            "model": choice.target.model,
            "instructions": request.instructions,
            "input": list(request.input),
            "tools": [dict(tool) for tool in request.tools],
            **request.parameters,
        },
        option=orjson.OPT_SORT_KEYS,
    )
    with transaction.atomic():
        _owned(claimed)
        last = Response.objects.filter(turn=claimed.turn, step=step).aggregate(last=Max("attempt"))["last"]
        response = Response.objects.create(
            turn_id=claimed.turn,
            step=step,
            attempt=0 if last is None else last + 1,
            epoch=claimed.epoch,
            model=choice.row,
            model_name=choice.row.name,
            status=Response.Status.IN_PROGRESS,
            idempotency_key=request.idempotency_key,
        )
        SentRequest.objects.create(
            response=response, manifest=assembled.manifest, sha256=hashlib.sha256(body).hexdigest(), body=body
        )
    return Attempt(response.id, choice, assembled.passages)


def finish_response(
    claimed: Claimed, attempt: Attempt, finished: Finished, *, timings: Timings, keep_items: bool
) -> None:
    """Store how an attempt ended, with its items where they count (not those of an attempt that is repeated)."""
    with transaction.atomic():
        turn = _owned(claimed)
        _close_response(attempt, finished, timings)
        if keep_items:
            append_items(turn, attempt.response, finished.output, passages=attempt.passages)


def fail_response(claimed: Claimed, attempt: Attempt, error: ProviderError) -> None:
    """Store that an attempt was refused before it began."""
    with transaction.atomic():
        _owned(claimed)
        _update_response(attempt, Response.Status.FAILED, error)


def _update_response(attempt: Attempt, status: str, error: ProviderError | None, **values: Any) -> None:
    Response.objects.filter(id=attempt.response).update(
        status=status,
        error_code=error.code if error else "",
        error_message=clean_reason(error.upstream_message or error.message) if error else "",
        http_status=error.http_status if error else 200,
        finished_at=timezone.now(),
        **values,
    )


def _close_response(attempt: Attempt, finished: Finished, timings: Timings) -> None:
    usage = finished.usage or Usage()
    _update_response(
        attempt,
        finished.status,
        finished.error,
        upstream_id=(finished.response_id or "")[:200],
        model_name=(finished.model or attempt.choice.row.name)[:200],
        incomplete_reason=(finished.incomplete_reason or "")[:50],
        payload=without_nuls(finished.payload),
        input_tokens=usage.input_tokens,
        cached_tokens=usage.cached_tokens,
        output_tokens=usage.output_tokens,
        reasoning_tokens=usage.reasoning_tokens,
        cost=cost_of(usage, attempt.choice.row),
        first_event_at=timings.first_event_at,
        first_text_at=timings.first_text_at,
    )


def save_outputs(claimed: Claimed, outputs: Sequence[dict[str, Any]]) -> None:
    """Store the outputs of calls; each is the one output of its call."""
    with transaction.atomic():
        turn = _owned(claimed)
        append_items(turn, None, outputs, passages=())


def finish_turn(claimed: Claimed, outcome: Outcome) -> None:
    """Bring the turn into its final state, keeping what was said, with tokens and cost summed over its responses."""
    now = timezone.now()
    with transaction.atomic():
        turn = _owned(claimed)
        if outcome.partial_text.strip():
            payload = {
                "type": "message",
                "role": "assistant",
                "status": "incomplete",
                "content": [{"type": "output_text", "text": outcome.partial_text, "annotations": []}],
            }
            append_items(turn, None, [payload], passages=outcome.passages)
        sums = turn.responses.aggregate(
            input=Sum("input_tokens"),
            cached=Sum("cached_tokens"),
            output=Sum("output_tokens"),
            reasoning=Sum("reasoning_tokens"),
            cost=Sum("cost"),
        )
        turn.input_tokens, turn.cached_tokens = sums["input"], sums["cached"]
        turn.output_tokens, turn.reasoning_tokens, turn.cost = sums["output"], sums["reasoning"], sums["cost"]
        turn.status, turn.owner, turn.finished_at = outcome.status, None, now
        if outcome.error is not None:
            turn.error_code, turn.error_message = outcome.error.code[:50], clean_reason(outcome.error.message)
            turn.error_retryable = outcome.error.retryable
        turn.save()
        turn.responses.filter(status=Response.Status.IN_PROGRESS).update(
            status=Response.Status.CANCELLED, finished_at=now
        )
        Conversation.objects.filter(id=turn.conversation_id).update(last_turn_at=now)
        if turn.depth >= SUMMARISE_FROM and turn.version.strategy in SUMMARISED:
            outbox.enqueue(kind=SUMMARISE, subject=turn.id, owner=claimed.user)
