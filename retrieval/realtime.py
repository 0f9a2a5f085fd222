"""Hints that a document changed. They carry ids only and may be lost: whoever gets one reads the row.

A watcher of a store joins `store_group(store)` and receives `{"type": "document.hint", "document": id, "store": id}`,
or `{"type": "reindexing.hint", "store": id}` where the whole store is being indexed anew.
"""

import asyncio
import logging
import threading
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

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
# Seconds between two times that a thread which gathers hints sends them.
INTERVAL = 0.25


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


class _Gathering(threading.local):
    """What this thread has to tell, and when it told last (monotonic seconds); None where it tells at once."""

    hints: dict[str, Hint] | None = None
    told = 0.0


_gathering = _Gathering()


@contextmanager
def gathered() -> Iterator[None]:
    """Join the hints of this thread in the block: what changes again within a moment is told of once."""
    _gathering.hints = {}
    try:
        yield
    finally:
        hints, _gathering.hints = _gathering.hints, None
        _tell(list(hints.values()))


def _tell(hints: Sequence[Hint]) -> None:
    if _gathering.hints is not None:
        _gathering.hints.update({str(hint): hint for hint in hints})
        if time.monotonic() - _gathering.told < INTERVAL:
            return
        hints, _gathering.hints = list(_gathering.hints.values()), {}
        _gathering.told = time.monotonic()
    if hints:
        # A caller without an event loop gets one for the call, and channels_redis closes its connection with it.
        async_to_sync(_send)(hints)


def _send_on_commit(hints: Sequence[Hint]) -> None:
    transaction.on_commit(lambda: _tell(hints), robust=True)


def documents_changed(changed: Sequence[Changed]) -> None:
    """Send hints from synchronous code once the present transaction is through."""
    _send_on_commit([_of_document(document, store) for document, store in changed])


def document_changed(document: uuid.UUID, store: uuid.UUID) -> None:
    """Send a hint from synchronous code once the present transaction is through."""
    documents_changed([(document, store)])


def reindexing_changed(store: uuid.UUID) -> None:
    """The same for a store that is being indexed anew."""
    _send_on_commit([(store, {"type": "reindexing.hint", "store": str(store)})])
