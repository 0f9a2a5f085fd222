"""From a queued document to one that search finds, and back out again. Runs in workers, asked for through the outbox.

`ingest`, `remove`, `remove_store` and `free` are handlers of the kinds INGEST, REMOVE, REMOVE_STORE and FREE,
registered in `retrieval.tasks`. For the last, and for the removal of deleted stores, triggers ask. Each may run any
number of times, may be killed anywhere, and writes nothing once its claim was taken over. `reindexing`
does the same for whole stores.
"""

import uuid

from core import outbox
from core.models import User
from retrieval.ingestion.pipeline import give_up, ingest
from retrieval.ingestion.removal import free, remove
from retrieval.ingestion.store_removal import remove_store
from retrieval.ingestion.succession import REMOVE, tell
from retrieval.models import Document

INGEST = "retrieval.ingest"
REMOVE_STORE = "retrieval.remove_store"
FREE = "retrieval.free"
# Documents that one worker takes at once, and the bytes of their files together: a larger file is taken alone.
GROUP = outbox.Group(size=64, weight=2 * 1024 * 1024)

__all__ = [
    "FREE",
    "GROUP",
    "INGEST",
    "REMOVE",
    "REMOVE_STORE",
    "free",
    "give_up",
    "ingest",
    "queue",
    "remove",
    "remove_store",
    "tell",
]


def queue(document: Document, *, owner: User | uuid.UUID | None) -> None:
    """Have a document read, in the caller's transaction, as work of `owner`."""
    outbox.enqueue(kind=INGEST, subject=document.pk, owner=owner, weight=document.file.size)
