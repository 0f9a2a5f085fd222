"""Hints over the channel layer: they name a row that changed and may be lost. Whoever gets one reads the row."""

import asyncio
import logging
import uuid
from collections.abc import Callable
from typing import Any

from asgiref.sync import async_to_sync
from channels.layers import BaseChannelLayer, get_channel_layer
from django.db import transaction
from redis.exceptions import RedisError

logger = logging.getLogger(__name__)

RUNNERS = "runners"


def conversation_group(conversation: uuid.UUID) -> str:
    return f"conversation.{conversation}"


def feed_group(user: uuid.UUID | str) -> str:
    return f"feed.{user}"


def _layer() -> BaseChannelLayer:
    layer = get_channel_layer()
    if layer is None:
        raise RuntimeError("no channel layer is configured")
    return layer


async def send(group: str, message: dict[str, Any]) -> None:
    """Send a hint; where the layer is away it is lost, which watchers notice by their own means.

    Waits for a layer that hangs no longer than that does itself (`chat.realtime.layer`).
    """
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


def send_after_commit(group: str, message: dict[str, Any]) -> None:
    """Send a hint from synchronous code once the present transaction is through."""
    # A caller without an event loop gets one for the call, and channels_redis closes its connection with it.
    transaction.on_commit(lambda: async_to_sync(send)(group, message), robust=True)


def of_conversation(conversation: uuid.UUID) -> dict[str, Any]:
    """The hint, to a person's feed, that the conversation's entry in their list changed."""
    return {"type": "conversation.hint", "conversation": str(conversation)}


def conversation_changed(conversation: uuid.UUID, user: uuid.UUID) -> None:
    """Send that hint from synchronous code once the present transaction is through."""
    send_after_commit(feed_group(user), of_conversation(conversation))


def of_turn(conversation: uuid.UUID, turn: uuid.UUID, epoch: int, what: str) -> dict[str, Any]:
    """The hint that a turn is "created", "running", "ended", or "changed" in another way."""
    ids = {"conversation": str(conversation), "turn": str(turn)}
    return {"type": "turn.hint", **ids, "epoch": epoch, "what": what}


def of_memory(conversation: uuid.UUID) -> dict[str, Any]:
    """The hint, to those who watch a conversation, that it began or ceased to use memory."""
    return {"type": "memory.hint", "conversation": str(conversation)}


async def listen(group: str, heard: Callable[[dict[str, Any]], None]) -> None:
    """Call `heard` for every hint to the group until cancelled; begins again when the layer was away."""
    layer = _layer()
    channel = await layer.new_channel()
    while True:
        try:
            await layer.group_add(group, channel)
            while True:
                heard(await layer.receive(channel))
        except (RedisError, OSError) as error:
            logger.warning("Hints are not heard: %s", error)
            await asyncio.sleep(1)
