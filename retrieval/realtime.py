"""Hints that a document changed. They carry ids only and may be lost: whoever gets one reads the row.

A watcher of a store joins `store_group(store)` and receives `{"type": "document.hint", "document": id, "store": id}`,
or `{"type": "reindexing.hint", "store": id}` where the whole store is being indexed anew.
"""

import asyncio
import logging
import uuid
from collections.abc import Iterable, Sequence

from asgiref.sync import async_to_sync
from channels.layers import channel_layers
from django.db import transaction
from redis.exceptions import RedisError

logger = logging.getLogger(__name__)

# A document and its store.
Changed = tuple[uuid.UUID, uuid.UUID]
# Whom it is for, and the message.
Hint = tuple[uuid.UUID, dict[str, str]]

# Seconds after which a hint is given up: work must not wait for a Redis that is away.
PATIENCE = 2.0


def store_group(store: uuid.UUID) -> str:
    return f"store.{store}"


async def send_hint(document: uuid.UUID, store: uuid.UUID) -> None:
    """Tell who watches the store. Where the channel layer is away the hint is lost."""
    await _send([_of_document(document, store)])


def _of_document(document: uuid.UUID, store: uuid.UUID) -> Hint:
    return store, {"type": "document.hint", "document": str(document), "store": str(store)}


async def _send(hints: Iterable[Hint]) -> None:
    try:
        async with asyncio.timeout(PATIENCE):
            for store, message in hints:
                await channel_layers["default"].group_send(store_group(store), message)
    except (RedisError, OSError) as error:
        logger.warning("A hint was not sent: %s", error or type(error).__name__)


def _send_on_commit(hints: Sequence[Hint]) -> None:
    if hints:
        # A caller without an event loop gets one for the call, and channels_redis closes its connection with it.
        transaction.on_commit(lambda: async_to_sync(_send)(hints), robust=True)


def documents_changed(changed: Sequence[Changed]) -> None:
    """Send hints from synchronous code once the present transaction is through."""
    _send_on_commit([_of_document(document, store) for document, store in changed])


def document_changed(document: uuid.UUID, store: uuid.UUID) -> None:
    """Send a hint from synchronous code once the present transaction is through."""
    documents_changed([(document, store)])


def reindexing_changed(store: uuid.UUID) -> None:
    """The same for a store that is being indexed anew."""
    _send_on_commit([(store, {"type": "reindexing.hint", "store": str(store)})])
