"""The pictures that people attached to their messages, as a request carries them.

A request is put together with references (`parley:picture/…`): they count as pictures, compare and store like text. The
points take their place right before it is sent (`chat.turns.pictures`).
"""

import uuid
from collections.abc import Collection
from dataclasses import dataclass

from chat.providers.items import Item
from core import statements
from retrieval.pictures.addresses import reference_to

# What was removed, or waits for its successor, goes to no model.
_OF_TURNS = """
SELECT turn.id, document.id, document.file_id, attachment.name, picture.mime_type, picture.size
FROM chat_turn turn
JOIN chat_attachment attachment ON attachment.item_id = turn.input_item_id
JOIN retrieval_document document ON document.id = attachment.document_id AND document.life = 'live'
JOIN retrieval_picture picture ON picture.file_id = document.file_id
WHERE turn.id = ANY(%(turns)s)
ORDER BY turn.id, attachment.position
"""


@dataclass(frozen=True, slots=True)
class AttachedPicture:
    """A picture of a message; `size` is in bytes."""

    document: uuid.UUID
    file: uuid.UUID
    name: str
    mime_type: str
    size: int

    @property
    def reference(self) -> str:
        return reference_to(self.file)

    @property
    def part(self) -> Item:
        return {"type": "input_image", "detail": "auto", "image_url": self.reference}


def pictures_of(turns: Collection[uuid.UUID]) -> dict[uuid.UUID, list[AttachedPicture]]:
    """The pictures of the messages that these turns answer, by turn, in the order in which they were attached."""
    found: dict[uuid.UUID, list[AttachedPicture]] = {}
    for turn, *picture in statements.rows(_OF_TURNS, {"turns": list(turns)}):
        found.setdefault(turn, []).append(AttachedPicture(*picture))
    return found


def with_pictures(message: Item, pictures: Collection[AttachedPicture]) -> Item:
    """The message of a person with its pictures behind its words."""
    if not pictures:
        return message
    said = message["content"]
    words = [{"type": "input_text", "text": said}] if isinstance(said, str) else said
    return {**message, "content": [*words, *(picture.part for picture in pictures)]}
