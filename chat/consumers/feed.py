"""The list of conversations that one socket shows: an entry is sent where it differs from what was sent last."""

import uuid
from collections.abc import Callable

from chat.consumers import topics
from chat.consumers.shared import SharedRead
from chat.rendering.frames import encode
from core.models import User

# Seconds that hints gather: a message, the beginning of its answer and a title are one change of the entry.
GATHER = 0.1
# Entries that are remembered as sent: as many as a page of the list shows, and some that became new meanwhile.
MAX_REMEMBERED = 50

_entry = SharedRead(topics.conversation_frame, delay=GATHER)


class Feed:
    """Belongs to one socket."""

    def __init__(self, user: User, put: Callable[[str], object]) -> None:
        self._user = user
        self._put = put
        self._sent: dict[uuid.UUID, str] = {}

    async def send(self, conversation: uuid.UUID) -> None:
        """Send a conversation's entry as its row will be in a moment."""
        found = await _entry(self._user, conversation)
        if found is None:
            return
        frame = encode(found)
        if self._sent.pop(conversation, None) != frame:
            self._put(frame)
        self._sent[conversation] = frame
        if len(self._sent) > MAX_REMEMBERED:
            del self._sent[next(iter(self._sent))]
