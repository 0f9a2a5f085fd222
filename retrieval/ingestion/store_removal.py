"""Removing a vector store with all that is in it, some thousand rows at a time.

Nobody sees or searches it any more by then. The bytes of its files go by work of their own, which a trigger asks for
with each document that goes: other documents may be made of them.
"""

from typing import Any

from django.db import connection, transaction

from core.outbox import Claim
from retrieval.models import Document, VectorStore

_ROWS = 5000
_DOCUMENTS = 100
# What a store has the most of, without Django's cascade, which would load every row first.
_TABLES = (
    "retrieval_chunkembedding",
    "retrieval_chunkweights",
    "retrieval_chunk",
    "retrieval_termfrequency",
    "retrieval_storelanguage",
)
_DELETE = "DELETE FROM {table} WHERE ctid = ANY (ARRAY(SELECT ctid FROM {table} WHERE store_id = %s LIMIT %s))"


def remove_store(claim: Claim) -> None:
    """Remove the store of the claim, which was deleted. Killed in between, the next attempt goes on from there."""
    store = VectorStore.objects.filter(pk=claim.subject, deleted_at__isnull=False).first()
    if store is None:
        return
    documents = Document.objects.filter(store=store)
    with transaction.atomic():
        claim.guard()
        # what was on its way here stays where it is
        coming = documents.filter(life=Document.Life.PENDING).exclude(replaces__store=store)
        Document.objects.filter(replacements__in=coming).update(notice_kind=Document.Notice.NONE, notice="")
        # who works on one notices, and writes nothing more
        documents.exclude(life=Document.Life.DELETING).update(life=Document.Life.DELETING)
    for table in _TABLES:
        while _some(claim, _DELETE.format(table=table), [store.pk, _ROWS]):
            pass
    while some := list(documents.order_by().values_list("pk", flat=True)[:_DOCUMENTS]):
        with transaction.atomic():
            claim.guard()
            Document.objects.filter(pk__in=some).delete()
    with transaction.atomic():
        claim.guard()
        store.delete()


@transaction.atomic
def _some(claim: Claim, statement: str, parameters: list[Any]) -> int:
    claim.guard()
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        removed: int = cursor.rowcount
    return removed
