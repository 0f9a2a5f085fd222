"""Vectors that nothing needs any more: of the model before a switch, or of one that was not switched to."""

import uuid

from django.db import connection, transaction

from core import outbox
from core.outbox import Claim
from retrieval.ingestion.rows import lock_store
from retrieval.ingestion.targets import kept_models
from retrieval.models import VectorStore

LEFTOVERS = "retrieval.leftovers"
# Vectors removed in one transaction, so that those who write to the store never wait long.
BATCH = 5_000

_DELETE = """
DELETE FROM retrieval_chunkembedding WHERE id IN (
    SELECT id FROM retrieval_chunkembedding WHERE store_id = %s AND model_id <> ALL(%s) LIMIT %s
)
"""


def ask_to_remove_leftovers(store: uuid.UUID) -> None:
    """Ask in the caller's transaction."""
    outbox.enqueue(kind=LEFTOVERS, subject=store)


def remove_leftovers(claim: Claim) -> None:
    """Remove, some at a time, the vectors of the store that are of no model it has or is on its way to."""
    while _remove_some(claim) == BATCH:
        pass


@transaction.atomic
def _remove_some(claim: Claim) -> int:
    claim.guard()
    try:
        store = lock_store(claim.subject)
    except VectorStore.DoesNotExist:
        return 0
    with connection.cursor() as cursor:
        cursor.execute(_DELETE, [store.pk, list(kept_models(store)), BATCH])
        return int(cursor.rowcount)
