"""What people do with a document that is there: try again, delete."""

import uuid
from typing import Any

from django.db import transaction

from core import outbox
from core.errors import ConflictError
from core.models import User
from core.models.grants import Role
from retrieval import ingestion, realtime, selectors
from retrieval.models import Document


@transaction.atomic
def retry_document(*, user: User, document_id: uuid.UUID) -> Document:
    """Put a failed document back in the queue; needs editor on the store.

    Raises NotFoundError, PermissionDeniedError, and ConflictError for a document that has not failed.
    """
    document = selectors.get_document(user, document_id, Role.EDITOR)
    if not requeue(document):
        raise ConflictError("Only a document that failed can be tried again.")
    return document


@transaction.atomic
def delete_document(*, user: User, document_id: uuid.UUID) -> None:
    """Take a document out of its store; needs editor on it. From here on no search finds it and no page shows it.

    A worker removes its text, chunks and vectors, and the file where no other document has it.
    Raises NotFoundError and PermissionDeniedError.
    """
    document = selectors.get_document(user, document_id, Role.EDITOR)
    if not Document.objects.live().filter(pk=document.pk).update(life=Document.Life.DELETING):
        return  # somebody else has just done it
    outbox.enqueue(kind=ingestion.REMOVE, subject=document.pk, owner=user, arguments={"file": str(document.file_id)})
    realtime.document_changed(document.pk, document.store_id)


def requeue(document: Document) -> bool:
    """Queue a failed document again, in the caller's transaction; false where it has not failed."""
    afresh: dict[str, Any] = {
        "state": Document.State.QUEUED,
        "error_code": "",
        "error_message": "",
        "error_retryable": False,
        "progress_done": 0,
        "progress_total": 0,
    }
    if not Document.objects.live().filter(pk=document.pk, state=Document.State.FAILED).update(**afresh):
        return False
    for field, value in afresh.items():
        setattr(document, field, value)
    outbox.enqueue(kind=ingestion.INGEST, subject=document.pk, owner=document.uploaded_by_id)
    realtime.document_changed(document.pk, document.store_id)
    return True
