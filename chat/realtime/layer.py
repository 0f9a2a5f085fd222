"""The channel layer: hints between processes over Redis's publish and subscribe, for which nobody waits long.

Hints may be lost. So a Redis that is away or hangs must not keep a socket from opening, and holds up what a person does
for a moment only.
"""

import asyncio
import time
import uuid
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

from channels_redis.pubsub import RedisPubSubChannelLayer

# Seconds that one call may take, and those after a call that took longer in which none is tried.
PATIENCE = 2.0
PAUSE = 5.0
# Seconds within which hints are sent together.
GATHER = 0.005


@dataclass(slots=True)
class _Gathered:
    """Hints that go out together, with the names of their channels in Redis."""

    sent: asyncio.Future[None]
    messages: list[tuple[str, bytes]] = field(default_factory=list)


async def _publish(shard: Any, messages: list[tuple[str, bytes]]) -> None:
    # as the connection publishes one
    async with shard._lock:
        shard._ensure_redis()
        async with shard._redis.pipeline(transaction=False) as pipe:
            for channel, message in messages:
                pipe.publish(channel, message)
            await pipe.execute()


class HintLayer(RedisPubSubChannelLayer):  # type: ignore[misc]
    """Groups only: a channel is a queue of this process, and nothing is ever sent to one by its name.

    `group_add`, `group_discard` and `group_send` raise RedisError or OSError (TimeoutError among them) where Redis is
    away.
    """

    def __init__(self, *, patience: float = PATIENCE, **config: Any) -> None:
        super().__init__(**config)
        self._patience = patience
        self._quiet_until = 0.0
        # by what the layer has for each event loop
        self._gathered: WeakKeyDictionary[Any, _Gathered] = WeakKeyDictionary()

    async def new_channel(self, prefix: str = "specific.") -> str:
        """Return the name of a new channel. Asks Redis nothing."""
        layer = self._get_layer()
        channel = f"{layer.prefix}{prefix}{uuid.uuid4().hex}"
        layer.channels[channel] = asyncio.Queue()
        return channel

    async def group_add(self, group: str, channel: str) -> None:
        await self._soon(self._get_layer().group_add, group, channel)

    async def group_discard(self, group: str, channel: str) -> None:
        await self._soon(self._get_layer().group_discard, group, channel)

    async def group_send(self, group: str, message: dict[str, Any]) -> None:
        layer = self._get_layer()
        gathered = self._gathered.get(layer)
        if gathered is None:
            gathered = self._gathered[layer] = _Gathered(asyncio.ensure_future(self._send_gathered(layer)))
        gathered.messages.append((layer._get_group_channel_name(group), self.serialize(message)))
        await asyncio.shield(gathered.sent)

    async def _send_gathered(self, layer: Any) -> None:
        """Send what comes within a moment with one round trip: a turn that begins or ends sends several hints."""
        await asyncio.sleep(GATHER)
        messages = self._gathered.pop(layer).messages
        by_shard: dict[Any, list[tuple[str, bytes]]] = {}
        for channel, message in messages:
            by_shard.setdefault(layer._get_shard(channel), []).append((channel, message))
        for shard, some in by_shard.items():
            await self._soon(_publish, shard, some)

    async def _soon(self, call: Callable[..., Coroutine[Any, Any, None]], *arguments: object) -> None:
        if time.monotonic() < self._quiet_until:
            raise TimeoutError("Redis did not answer a moment ago.")
        try:
            async with asyncio.timeout(self._patience):
                await call(*arguments)
        except TimeoutError:
            self._quiet_until = time.monotonic() + PAUSE
            raise
