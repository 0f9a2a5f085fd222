"""Hints over the channel layer: they name a row that changed and may be lost. Whoever gets one reads the row."""

import asyncio
import logging
import uuid
from collections.abc import Callable
from typing import Any

from channels.layers import BaseChannelLayer, get_channel_layer
from redis.exceptions import RedisError

logger = logging.getLogger(__name__)

RUNNERS = "runners"


def conversation_group(conversation: uuid.UUID) -> str:
    return f"conversation.{conversation}"


def feed_group(user: uuid.UUID) -> str:
    return f"feed.{user}"


def _layer() -> BaseChannelLayer:
    layer = get_channel_layer()
    if layer is None:
        raise RuntimeError("no channel layer is configured")
    return layer


async def send(group: str, message: dict[str, Any]) -> None:
    """Send a hint; where the layer is away it is lost, which watchers notice by their own means."""
    try:
        await _layer().group_send(group, message)
    except (RedisError, OSError) as error:
        logger.warning("A hint was not sent: %s", error)


_sending: set[asyncio.Task[None]] = set()


def send_soon(group: str, message: dict[str, Any]) -> None:
    """Send a hint without waiting for it, from the event loop."""
    task = asyncio.get_running_loop().create_task(send(group, message))
    _sending.add(task)  # the loop itself keeps only a weak reference
    task.add_done_callback(_sending.discard)


async def listen(group: str, heard: Callable[[dict[str, Any]], None]) -> None:
    """Call `heard` for every hint to the group until cancelled; begins again when the layer was away."""
    while True:
        layer = _layer()
        try:
            channel = await layer.new_channel()
            await layer.group_add(group, channel)
            while True:
                heard(await layer.receive(channel))
        except (RedisError, OSError) as error:
            logger.warning("Hints are not heard: %s", error)
            await asyncio.sleep(1)
