"""Items as rows: the server's words verbatim, the text that people see, and the citations it carries."""

import uuid
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import orjson

from chat.context.passages import NumberedPassage
from chat.models import Citation
from chat.providers.items import output_text, refusal
from chat.turns.citations import FoundCitation, verify
from chat.turns.ownership import Place
from core import statements
from core.text import without_nuls

_NO_CALLS: Mapping[str, uuid.UUID] = MappingProxyType({})

# a document may be deleted or replaced while an answer is written that quotes it
_HELD = "SELECT id FROM retrieval_revision WHERE id = ANY(%(ids)s) FOR KEY SHARE"

_INSERT = """
INSERT INTO chat_item (id, conversation_id, turn_id, response_id, position, type, role, status, call_id, text, payload,
    tool_call_id, created_at)
SELECT item.id, %(conversation)s, %(turn)s, %(response)s, item.position, item.type, item.role, item.status,
    item.call_id, item.text, item.payload, item.tool_call_id, now()
FROM jsonb_to_recordset(%(items)s::jsonb) AS item (
    id uuid, position int, type text, role text, status text, call_id text, text text, payload jsonb,
    tool_call_id uuid)
"""


def append_items(
    place: Place,
    response: uuid.UUID | None,
    items: Sequence[dict[str, Any]],
    *,
    passages: Sequence[NumberedPassage],
    tool_calls: Mapping[str, uuid.UUID] = _NO_CALLS,
) -> None:
    """Append items to a locked turn, and the citations that their texts carry (one per passage and turn).

    `tool_calls` names the row of each call whose output is among the items, by call id.
    """
    rows = []
    citations = []
    for payload in map(without_nuls, items):
        verified = verify(output_text([payload]) or refusal([payload]) or "", passages, before=place.before)
        if verified.text:
            place.before = ""
        item = uuid.uuid4()
        rows.append(
            {
                "id": item,
                "position": place.position,
                "type": str(payload.get("type", ""))[:50],
                "role": str(payload.get("role", ""))[:10],
                "status": str(payload.get("status") or "")[:20],
                "call_id": str(payload.get("call_id") or "")[:200],
                "text": verified.text,
                "payload": payload,
                "tool_call_id": tool_calls.get(str(payload.get("call_id"))),
            }
        )
        place.position += 1
        fresh = [citation for citation in verified.citations if citation.number not in place.cited]
        place.cited.update(citation.number for citation in fresh)
        citations += [_citation(place.turn, item, citation) for citation in fresh]
    if not rows:
        return
    values = {
        "conversation": place.conversation,
        "turn": place.turn,
        "response": response,
        "items": orjson.dumps(rows).decode(),
    }
    statements.execute(_INSERT, values)
    if citations:
        Citation.objects.bulk_create(_holding(citations))


def _holding(citations: Sequence[Citation]) -> Sequence[Citation]:
    """The citations, with the revisions that are still there, and that stay until the transaction ends."""
    rows = statements.rows(_HELD, {"ids": [citation.revision_id for citation in citations]})
    held = {row[0] for row in rows}
    for citation in citations:
        if citation.revision_id not in held:
            citation.revision_id = None
    return citations


def _citation(turn: uuid.UUID, item: uuid.UUID, found: FoundCitation) -> Citation:
    return Citation(
        id=citation_id(turn, found.number),
        item_id=item,
        number=found.number,
        position=found.position,
        revision_id=found.passage.revision,
        document_name=found.passage.name,
        page=found.passage.page_at(found.start),
        heading=found.passage.heading,
        start=found.start,
        end=found.end,
        quote=found.quote,
        support=found.support,
    )


def citation_id(turn: uuid.UUID, number: int) -> uuid.UUID:
    """Return the id that a turn's citation of passage `number` has, known before the citation is stored."""
    return uuid.uuid5(turn, f"citation {number}")
