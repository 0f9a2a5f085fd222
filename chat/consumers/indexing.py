"""The stores that one socket watches and that are being indexed anew: sent at every hint, and looked at again."""

import uuid
from collections.abc import Callable

from chat.consumers import topics
from chat.rendering.protocol import ReindexingChanged
from core.bridge import in_database
from core.models import User


class IndexWatch:
    """Sends how far they are; a hint that was lost costs a few seconds, not the news."""

    def __init__(self, user: User, put: Callable[[ReindexingChanged], object]) -> None:
        self._user = user
        self._put = put
        self._open: set[uuid.UUID] = set()

    async def begin(self, topic: topics.Topic) -> None:
        """Send how far the store of a topic is, where it is on its way."""
        if topic.kind == "library" and topic.id is not None:
            frame = await in_database(topics.reindexing_frame, self._user, topic.id)
            if frame is not None and frame["state"] not in topics.INDEXED:
                self._take(topic.id, frame)

    async def send(self, store: uuid.UUID) -> None:
        """Send how far it is as its row is now; nothing to whom may not see it."""
        frame = await in_database(topics.reindexing_frame, self._user, store)
        if frame is None:
            self._open.discard(store)
        else:
            self._take(store, frame)

    async def again(self) -> None:
        """Look at those that were on their way when they were last sent."""
        for store in list(self._open):
            await self.send(store)

    def _take(self, store: uuid.UUID, frame: ReindexingChanged) -> None:
        if frame["state"] in topics.INDEXED:
            self._open.discard(store)
        else:
            self._open.add(store)
        self._put(frame)
