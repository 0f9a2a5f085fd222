"""Removing a document for good: chunks, vectors, text, and the file that nobody else has, with its pictures."""

import uuid

from django.core.files.storage import default_storage
from django.db import transaction

from core.outbox import Claim
from retrieval import realtime
from retrieval.ingestion.rows import lock_store, remove_chunks
from retrieval.models import Document, File
from retrieval.pictures import kept

_GONE = (Document.Life.DELETING, Document.Life.REPLACED)


def remove(claim: Claim) -> None:
    """Remove what is being deleted or was replaced, then the file named in the claim's arguments if it is free."""
    with transaction.atomic():
        claim.guard()
        gone = Document.objects.select_for_update().filter(pk=claim.subject, life__in=_GONE)
        document = gone.first()
        if document is not None:
            lock_store(document.store_id)
            remove_chunks(document)
            realtime.document_changed(document.pk, document.store_id)
            document.delete()
    _remove_file(uuid.UUID(claim.arguments["file"]))


def free(claim: Claim) -> None:
    """Remove the file of the claim, with its bytes, if no document is made of it any more."""
    _remove_file(claim.subject)


@transaction.atomic
def _remove_file(file_id: uuid.UUID) -> None:
    file = File.objects.select_for_update().filter(pk=file_id).first()
    if file is None or file.documents.exists():
        return
    # The bytes first: a crash in between leaves a row whose bytes an upload brings back, never bytes nobody knows of.
    default_storage.delete(file.storage_name)
    kept.forget(file.pk)
    file.delete()
