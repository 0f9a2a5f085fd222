"""The documents that one socket shows: sent at every hint, and looked at again while they are on their way."""

import uuid
from collections.abc import Callable

from chat.consumers import topics
from chat.rendering.protocol import DocumentFrame
from core.bridge import in_database
from core.models import User


class DocumentWatch:
    """Sends frames of documents; a hint that was lost costs a few seconds, not the news."""

    def __init__(self, user: User, put: Callable[[DocumentFrame], object]) -> None:
        self._user = user
        self._put = put
        self._unfinished: dict[str, str] = {}

    async def begin(self, topic: topics.Topic) -> None:
        """Send the documents of a topic as they are now."""
        for frame in await in_database(topics.document_frames, self._user, topic):
            self._take(frame)

    async def send(self, document: str, store: str) -> None:
        """Send a document as its row is now, or that it is gone (for this person)."""
        frame = await in_database(topics.document_frame, self._user, uuid.UUID(document))
        self._take(frame or {"type": "document.removed", "document": document, "store": store})

    async def again(self) -> None:
        """Look at those that were on their way when they were last sent."""
        for document, store in list(self._unfinished.items()):
            await self.send(document, store)

    def _take(self, frame: DocumentFrame) -> None:
        if frame.get("state") in topics.ON_THEIR_WAY:
            self._unfinished[frame["document"]] = frame["store"]
        else:
            self._unfinished.pop(frame["document"], None)
        self._put(frame)
