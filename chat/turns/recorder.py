"""Writes what a turn made: each call is one transaction, and each is refused to a former owner.

`Item.payload` is what the server said, verbatim; `Item.text` is what people see. Every turn passes here, so what each
one writes is written by hand-made statements: an ORM's cost more than all the rest of a short turn (`make bench`).
"""

import hashlib
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import orjson
from django.db import transaction
from django.utils import timezone

from chat.context.assembly import Assembled
from chat.context.passages import NumberedPassage
from chat.errors import LostTurnError, ProviderError, clean_reason
from chat.models import Response, SentRequest, Turn
from chat.providers.base import Finished, Usage
from chat.selectors.targets import ModelChoice
from chat.turns.afterwards import enqueue_work
from chat.turns.call_rows import close_open_calls
from chat.turns.costs import cost_of
from chat.turns.item_rows import append_items
from chat.turns.job import Claimed
from chat.turns.measuring import MEASURE, ratio_of
from chat.turns.ownership import Owned, owned
from chat.turns.retrieving import Retrieved
from core import statements
from core.errors import ParleyError
from core.models import Endpoint
from core.text import without_nuls


@dataclass(frozen=True, slots=True)
class Attempt:
    """One response that was asked for; `counted` are the tokens of its request by our own count."""

    response: uuid.UUID
    choice: ModelChoice
    passages: tuple[NumberedPassage, ...]
    counted: int
    ceiling: int


@dataclass(slots=True)
class Timings:
    """When the first event and the first visible text of an attempt came."""

    first_event_at: datetime | None = None
    first_text_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class End:
    """How an attempt ended."""

    attempt: Attempt
    finished: Finished
    timings: Timings


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a turn ends. `answer` is its last response, stored together with the end."""

    status: Turn.Status
    error: ParleyError | None = None
    answer: End | None = None
    # what was said but not saved with a finished response: kept as it is, marked as cut short
    partial_text: str = ""
    passages: Sequence[NumberedPassage] = field(default=())


# Conversation first, then turn, as who asks does: two that wait for each other's rows would never end. A turn that is
# locked here may still be named as a parent.
_TOUCH = "UPDATE chat_conversation SET last_turn_at = now() WHERE id = %(conversation)s"

_SEARCHED = """
UPDATE chat_turn SET passages = %(passages)s::jsonb, retrieval = %(retrieval)s::jsonb
WHERE id = %(turn)s AND epoch = %(epoch)s AND status = 'in_progress'
"""

_BEGIN = """
WITH owned AS (
    SELECT id FROM chat_turn WHERE id = %(turn)s AND epoch = %(epoch)s AND status = 'in_progress' FOR NO KEY UPDATE
), response AS (
    INSERT INTO chat_response (id, turn_id, step, attempt, epoch, model_id, model_name, status, idempotency_key,
        upstream_id, incomplete_reason, error_code, error_message, created_at)
    SELECT %(response)s, owned.id, %(step)s,
        (SELECT coalesce(max(attempt) + 1, 0) FROM chat_response WHERE turn_id = %(turn)s AND step = %(step)s),
        %(epoch)s, %(model)s, %(model_name)s, 'in_progress', %(idempotency_key)s, '', '', '', '', now()
    FROM owned RETURNING id
)
INSERT INTO chat_sentrequest (response_id, manifest, sha256, body, created_at)
SELECT id, %(manifest)s::jsonb, %(sha256)s, %(body)s, now() FROM response
"""

_CLOSE = f"""
WITH measured AS ({MEASURE})
UPDATE chat_response SET status = %(status)s, error_code = %(error_code)s, error_message = %(error_message)s,
    http_status = %(http_status)s, finished_at = clock_timestamp(), upstream_id = %(upstream_id)s,
    model_name = %(model_name)s, incomplete_reason = %(incomplete_reason)s, payload = %(payload)s::jsonb,
    input_tokens = %(input_tokens)s, cached_tokens = %(cached_tokens)s, output_tokens = %(output_tokens)s,
    reasoning_tokens = %(reasoning_tokens)s, cost = %(cost)s, first_event_at = %(first_event_at)s,
    first_text_at = %(first_text_at)s
WHERE id = %(response)s
"""  # noqa: S608 - both parts are ours

# A response that still runs now has no server that will end it.
_END = """
WITH sums AS (
    SELECT sum(input_tokens) AS input, sum(cached_tokens) AS cached, sum(output_tokens) AS output,
        sum(reasoning_tokens) AS reasoning, sum(cost) AS cost, min(first_text_at) AS first_text
    FROM chat_response WHERE turn_id = %(turn)s
), cancelled AS (
    UPDATE chat_response SET status = 'cancelled', finished_at = clock_timestamp()
    WHERE turn_id = %(turn)s AND status = 'in_progress'
)
UPDATE chat_turn SET status = %(status)s, owner = NULL, finished_at = clock_timestamp(),
    error_code = %(error_code)s, error_message = %(error_message)s, error_retryable = %(error_retryable)s,
    input_tokens = sums.input, cached_tokens = sums.cached, output_tokens = sums.output,
    reasoning_tokens = sums.reasoning, cost = sums.cost, first_text_at = sums.first_text
FROM sums WHERE id = %(turn)s
RETURNING EXISTS (
    SELECT FROM chat_turn waiting WHERE waiting.conversation_id = chat_turn.conversation_id
    AND waiting.status = 'queued')
"""


def save_passages(claimed: Claimed, found: Retrieved) -> None:
    """Store what retrieval found and how, so that a takeover uses the same passages under the same numbers."""
    references = orjson.dumps([passage.reference() for passage in found.passages]).decode()
    values = {
        "turn": claimed.turn,
        "epoch": claimed.epoch,
        "passages": references,
        "retrieval": orjson.dumps(found.note).decode() if found.note else None,
    }
    if not statements.execute(_SEARCHED, values):
        raise LostTurnError("The turn was taken over.")


def begin_response(claimed: Claimed, *, step: int, assembled: Assembled, choice: ModelChoice, body: bytes) -> Attempt:
    """Write down that a step is asked for, with its manifest, before anything is sent.

    `body` are the bytes that the provider will send. One that takes up a response sends none, unless the server has
    forgotten it: its manifest names what it takes up.
    """
    request = assembled.request
    manifest = {**assembled.manifest, "body": SentRequest.body_note(body, assembled.pictures)}
    if request.resumes:
        manifest["takes_up"] = request.resumes
    response = uuid.uuid4()
    values = {
        "turn": claimed.turn,
        "epoch": claimed.epoch,
        "response": response,
        "step": step,
        "model": choice.row.pk,
        "model_name": choice.row.name,
        "idempotency_key": request.idempotency_key,
        "manifest": orjson.dumps(manifest).decode(),
        "sha256": hashlib.sha256(body).hexdigest(),
        "body": SentRequest.packed(body, assembled.pictures),
    }
    if not statements.execute(_BEGIN, values):
        raise LostTurnError("The turn was taken over.")
    return Attempt(response, choice, assembled.passages, assembled.tokens, assembled.ceiling)


def finish_response(claimed: Claimed, end: End, *, keep_items: bool) -> None:
    """Store how an attempt ended, with its items where they count (not those of an attempt that is repeated)."""
    with transaction.atomic():
        _close(owned(claimed), end, keep_items=keep_items)


def _close(turn: Owned, end: End, *, keep_items: bool) -> None:
    finished, row = end.finished, end.attempt.choice.row
    usage = finished.usage or Usage()
    values = {
        "model": row.pk,
        "ratio": ratio_of(usage, counted=end.attempt.counted, ceiling=end.attempt.ceiling),
        "response": end.attempt.response,
        "status": finished.status,
        **_error_columns(finished.error),
        "upstream_id": (finished.response_id or "")[:200],
        "model_name": (finished.model or row.name)[:200],
        "incomplete_reason": (finished.incomplete_reason or "")[:50],
        "payload": orjson.dumps(without_nuls(finished.payload)).decode() if finished.payload is not None else None,
        "input_tokens": usage.input_tokens,
        "cached_tokens": usage.cached_tokens,
        "output_tokens": usage.output_tokens,
        "reasoning_tokens": usage.reasoning_tokens,
        "cost": cost_of(usage, row),
        "first_event_at": end.timings.first_event_at,
        "first_text_at": end.timings.first_text_at,
    }
    statements.execute(_CLOSE, values)
    if keep_items:
        append_items(turn.place, end.attempt.response, finished.output, passages=end.attempt.passages)


def fail_response(claimed: Claimed, attempt: Attempt, error: ProviderError) -> None:
    """Store that an attempt was refused before it began."""
    with transaction.atomic():
        owned(claimed)
        Response.objects.filter(id=attempt.response).update(
            status=Response.Status.FAILED, finished_at=timezone.now(), **_error_columns(error)
        )


def _error_columns(error: ProviderError | None) -> dict[str, Any]:
    if error is None:
        return {"error_code": "", "error_message": "", "http_status": 200}
    return {
        "error_code": error.code,
        "error_message": clean_reason(error.upstream_message or error.message),
        "http_status": error.http_status,
    }


def finish_turn(claimed: Claimed, outcome: Outcome) -> bool:
    """Bring the turn into its final state, keeping what was said, with tokens and cost summed over its responses.

    Return whether a message of its conversation waits.
    """
    error = outcome.error
    values = {
        "turn": claimed.turn,
        "status": str(outcome.status),
        "error_code": error.code[:50] if error else "",
        "error_message": clean_reason(error.message) if error else "",
        "error_retryable": error.retryable if error else False,
    }
    with transaction.atomic():
        statements.execute(_TOUCH, {"conversation": claimed.conversation})
        turn = owned(claimed)
        if outcome.answer is not None:
            _close(turn, outcome.answer, keep_items=True)
        if outcome.status != Turn.Status.COMPLETED:
            close_open_calls(claimed, turn.place)
        if outcome.partial_text.strip():
            append_items(turn.place, None, [_partial(outcome.partial_text)], passages=outcome.passages)
        waiting = statements.row(_END, values)
        enqueue_work(claimed, turn, sent_tokens=_sent_tokens(outcome.answer), is_written=_is_written(outcome.answer))
    return bool(waiting and waiting[0])


def _sent_tokens(answer: End | None) -> int:
    usage = answer.finished.usage if answer is not None else None
    return (usage.input_tokens if usage is not None else None) or 0


def _is_written(answer: End | None) -> bool:
    return answer is not None and answer.attempt.choice.target.provider != Endpoint.Provider.EXTRACTIVE


def _partial(text: str) -> dict[str, Any]:
    content = [{"type": "output_text", "text": text, "annotations": []}]
    return {"type": "message", "role": "assistant", "status": "incomplete", "content": content}
