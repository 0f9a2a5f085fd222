"""Items as rows: the server's words verbatim, the text that people see, and the citations it carries."""

import uuid
from collections.abc import Sequence
from typing import Any

from django.db.models import Max

from chat.context.passages import NumberedPassage
from chat.models import Citation, Item, Turn
from chat.providers.items import output_text, refusal
from chat.turns.citations import verify


def append_items(
    turn: Turn, response: uuid.UUID | None, items: Sequence[dict[str, Any]], *, passages: Sequence[NumberedPassage]
) -> None:
    """Append items to a locked turn, and the citations that their texts carry (one per passage and turn)."""
    last = turn.items.aggregate(last=Max("position"))["last"]
    position = 0 if last is None else last + 1
    cited = set(Citation.objects.filter(item__turn=turn).values_list("number", flat=True))
    for payload in map(without_nuls, items):
        verified = verify(output_text([payload]) or refusal([payload]) or "", passages)
        item = Item.objects.create(
            conversation_id=turn.conversation_id,
            turn=turn,
            response_id=response,
            position=position,
            type=str(payload.get("type", ""))[:50],
            role=str(payload.get("role", ""))[:10],
            status=str(payload.get("status") or "")[:20],
            call_id=str(payload.get("call_id") or "")[:200],
            text=verified.text,
            payload=payload,
        )
        position += 1
        fresh = [citation for citation in verified.citations if citation.number not in cited]
        cited.update(citation.number for citation in fresh)
        Citation.objects.bulk_create(
            Citation(
                id=citation_id(turn.id, citation.number),
                item=item,
                number=citation.number,
                position=citation.position,
                revision_id=citation.passage.revision,
                document_name=citation.passage.name,
                page=citation.passage.page,
                heading=citation.passage.heading,
                start=citation.start,
                end=citation.end,
                quote=citation.quote,
                support=citation.support,
            )
            for citation in fresh
        )


def citation_id(turn: uuid.UUID, number: int) -> uuid.UUID:
    """Return the id that a turn's citation of passage `number` has, known before the citation is stored."""
    return uuid.uuid5(turn, f"citation {number}")


def without_nuls(value: Any) -> Any:
    """Return JSON data without U+0000, which PostgreSQL's text cannot hold, and which no answer needs."""
    if isinstance(value, str):
        return value.replace("\x00", "")
    if isinstance(value, dict):
        return {without_nuls(key): without_nuls(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [without_nuls(entry) for entry in value]
    return value
