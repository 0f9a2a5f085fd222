"""What is shown of turns. Each turn is read at least twice while somebody watches it, so one statement reads it."""

import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

import orjson

from chat.models import Attachment, Citation, Item, Turn
from chat.selectors.answers import Attempt
from core import statements
from tools.models import ToolCall

_SHOWN_OF_CITATIONS = [
    *(field.attname for field in Citation._meta.concrete_fields if field.name != "revision"),
    "revision__document__life",
]

_TURNS = """
SELECT
    turn.id, turn.conversation_id, turn.client_id, turn.parent_id, turn.continues_id, turn.input_item_id,
    turn.status, turn.withdrawn_at, turn.error_code, turn.error_message, turn.error_retryable,
    turn.created_at, turn.started_at, turn.finished_at, turn.input_tokens, turn.output_tokens,
    version.failure_message, coalesce(question.text, ''),
    (
        SELECT json_agg(json_build_array(item.id, item.role, item.text) ORDER BY item.position)::text
        FROM chat_item item
        WHERE item.turn_id = turn.id AND item.type = 'message' AND item.role <> 'user'
    ),
    (
        SELECT json_agg(json_build_array(response.model_name, response.incomplete_reason, endpoint.provider)
                        ORDER BY response.step, response.attempt)::text
        FROM chat_response response
        LEFT JOIN core_endpointmodel model ON model.id = response.model_id
        LEFT JOIN core_endpoint endpoint ON endpoint.id = model.endpoint_id
        WHERE response.turn_id = turn.id
    ),
    EXISTS (SELECT FROM chat_attachment WHERE item_id = turn.input_item_id),
    EXISTS (
        SELECT FROM chat_citation citation JOIN chat_item item ON item.id = citation.item_id
        WHERE item.turn_id = turn.id
    ),
    EXISTS (SELECT FROM chat_item WHERE turn_id = turn.id AND tool_call_id IS NOT NULL)
FROM chat_turn turn
JOIN chat_assistantversion version ON version.id = turn.version_id
LEFT JOIN chat_item question ON question.id = turn.input_item_id
WHERE turn.id = ANY(%(turns)s)
ORDER BY turn.depth
"""


@dataclass(frozen=True, slots=True)
class ShownItem:
    """A message of an answer, with the citations that were found to be true."""

    id: uuid.UUID
    role: str
    text: str
    citations: tuple[Citation, ...]


class UnseenPicture(NamedTuple):
    """A picture that the last request for a turn did not carry; `why` as `chat.turns.pictures` has it."""

    document: str
    why: str


@dataclass(frozen=True, slots=True)
class ShownTurn:
    """A turn with what a page shows of it; `question` are the words of the person."""

    id: uuid.UUID
    conversation_id: uuid.UUID
    client_id: uuid.UUID
    parent_id: uuid.UUID | None
    continues_id: uuid.UUID | None
    input_item_id: uuid.UUID | None
    status: str
    withdrawn_at: datetime | None
    error_code: str
    error_message: str
    error_retryable: bool
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    input_tokens: int | None
    output_tokens: int | None
    failure_message: str
    question: str
    said: tuple[ShownItem, ...]
    attempts: tuple[Attempt, ...]
    attachments: tuple[Attachment, ...]
    calls: tuple[ToolCall, ...]
    unseen: tuple[UnseenPicture, ...] = ()

    @property
    def is_final(self) -> bool:
        return self.status in Turn.FINAL


def shown_turns(turns: Collection[uuid.UUID]) -> list[ShownTurn]:
    """Return these turns by their depth in the tree; more statements only for files, citations, calls."""
    found = statements.rows(_TURNS, {"turns": list(turns)})
    attachments = _attachments([row[5] for row in found if row[-3]])
    citations = _citations([row[0] for row in found if row[-2]])
    calls = _calls([row[0] for row in found if row[-1]])
    unseen = _unseen([row[0] for row in found if row[-3]])
    shown = []
    for *row, items, responses, _, _, _ in found:
        attempts = tuple(Attempt(*attempt) for attempt in orjson.loads(responses or "[]"))
        row += [_said(items, citations), attempts, tuple(attachments.get(row[5], ())), tuple(calls.get(row[0], ()))]
        row.append(unseen.get(row[0], ()))
        shown.append(ShownTurn(*row))
    return shown


def _said(items: str | None, citations: dict[uuid.UUID, list[Citation]]) -> tuple[ShownItem, ...]:
    return tuple(
        ShownItem(item := uuid.UUID(identity), role, text, tuple(citations.get(item, ())))
        for identity, role, text in orjson.loads(items or "[]")
    )


def _attachments(items: Sequence[uuid.UUID]) -> dict[uuid.UUID, list[Attachment]]:
    """What these messages carry, each attachment with its document and the document's file."""
    found: dict[uuid.UUID, list[Attachment]] = {}
    if items:
        rows = Attachment.objects.filter(item__in=items).select_related("document__file__picture")
        for attachment in rows.order_by("position"):
            found.setdefault(attachment.item_id, []).append(attachment)
    return found


_PICTURES = """
SELECT response.turn_id, (sent.manifest -> 'pictures')::text
FROM chat_response response JOIN chat_sentrequest sent ON sent.response_id = response.id
WHERE response.turn_id = ANY(%(turns)s) AND sent.manifest -> 'pictures' IS NOT NULL
ORDER BY response.step, response.attempt
"""


def _unseen(turns: Sequence[uuid.UUID]) -> dict[uuid.UUID, tuple[UnseenPicture, ...]]:
    """What the last request for each of these turns did not carry of the pictures that it refers to."""
    found = statements.rows(_PICTURES, {"turns": list(turns)}) if turns else []
    return {
        turn: tuple(UnseenPicture(one["document"], one["why"]) for one in orjson.loads(pictures) if one["why"])
        for turn, pictures in found
    }


def _citations(turns: Sequence[uuid.UUID]) -> dict[uuid.UUID, list[Citation]]:
    found: dict[uuid.UUID, list[Citation]] = {}
    if turns:
        rows = Citation.objects.filter(item__turn__in=turns).select_related("revision__document")
        for citation in rows.only(*_SHOWN_OF_CITATIONS):
            found.setdefault(citation.item_id, []).append(citation)
    return found


def _calls(turns: Sequence[uuid.UUID]) -> dict[uuid.UUID, list[ToolCall]]:
    """The calls of these turns that have their output, in the order of the outputs."""
    found: dict[uuid.UUID, list[ToolCall]] = {}
    if turns:
        outputs = Item.objects.filter(turn__in=turns, type="function_call_output", tool_call__isnull=False)
        for item in outputs.select_related("tool_call").order_by("position"):
            found.setdefault(item.turn_id, []).append(item.tool_call)  # type: ignore[arg-type]
    return found
