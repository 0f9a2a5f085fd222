"""Which hints one socket hears, also across an absence of Redis."""

import logging
from collections.abc import Iterable
from typing import Any

from redis.exceptions import RedisError

logger = logging.getLogger(__name__)


class Hearing:
    """Joins channel groups for a socket, each on behalf of a topic.

    What cannot be joined now is joined at the next `again`.
    """

    def __init__(self, layer: Any, channel: str) -> None:
        self._layer = layer
        self._channel = channel
        self._groups: dict[str, set[str]] = {}
        self._unheard: set[str] = set()

    async def join(self, topic: str, groups: Iterable[str]) -> None:
        wanted = set(groups)
        self._groups.setdefault(topic, set()).update(wanted)
        self._unheard.update(wanted)
        await self.again()

    async def again(self) -> None:
        """Try to join what could not be joined yet."""
        for group in tuple(self._unheard):
            try:
                await self._layer.group_add(group, self._channel)
            except (RedisError, OSError) as error:
                logger.warning("Hints of %s are not heard: %s", group, error)
                return
            self._unheard.discard(group)

    async def leave(self, topic: str) -> None:
        """Leave the groups that no other topic needs."""
        left = self._groups.pop(topic, set())
        left -= set().union(*self._groups.values())
        self._unheard -= left
        try:
            for group in left:
                await self._layer.group_discard(group, self._channel)
        except (RedisError, OSError) as error:
            # a Redis that is away has forgotten them too
            logger.warning("Groups were not left: %s", error)

    async def leave_all(self) -> None:
        for topic in tuple(self._groups):
            await self.leave(topic)
