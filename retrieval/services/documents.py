"""What people do with a document that is there: try again, rename, delete."""

import uuid
from typing import Any

from django.db import transaction

from core import outbox
from core.errors import ConflictError, InvalidInputError
from core.models import User
from core.models.grants import Role
from retrieval import ingestion, realtime, selectors
from retrieval.models import Document
from retrieval.services.names import clean_name

Life = Document.Life

# What a failed document is like when it is queued again.
AFRESH: dict[str, Any] = {
    "state": Document.State.QUEUED,
    "error_code": "",
    "error_message": "",
    "error_retryable": False,
    "progress_done": 0,
    "progress_total": 0,
}


@transaction.atomic
def retry_document(*, user: User, document_id: uuid.UUID) -> Document:
    """Put a failed document back in the queue, or what failed to take its place; needs editor on the store.

    Raises NotFoundError, PermissionDeniedError, and ConflictError for a document that has not failed.
    """
    document = locked(user, document_id)
    pending = pending_for(document)
    if not (pending and retry(document, pending)) and not requeue(document):
        raise ConflictError("Only a document that failed can be tried again.")
    return document


@transaction.atomic
def rename_document(*, user: User, document_id: uuid.UUID, name: str) -> Document:
    """Give a document another name; needs editor on the store. What is on its way to take its place gets it too.

    A document whose text has no title of its own is found by its name: it is indexed anew, and its former chunks answer
    until that is done. Raises NotFoundError, PermissionDeniedError, and InvalidInputError without a name.
    """
    if not name.strip():
        raise InvalidInputError("A document needs a name.")
    document = locked(user, document_id)
    if document.name == (name := clean_name(name)):
        return document
    _change(document, {"name": name})
    if document.state == Document.State.READY and document.revision and not document.revision.title:
        queue_again(document)
    Document.objects.filter(replaces=document, life=Life.PENDING).update(name=document.name)
    return document


@transaction.atomic
def delete_document(*, user: User, document_id: uuid.UUID) -> None:
    """Take a document out of its store; needs editor on it. From here on no search finds it and no page shows it.

    A worker removes its text, chunks and vectors, and the file where no other document has it.
    Raises NotFoundError and PermissionDeniedError.
    """
    document = selectors.get_document(user, document_id, Role.EDITOR)
    if not Document.objects.live().filter(pk=document.pk).update(life=Life.DELETING):
        return  # somebody else has just done it
    document.refresh_from_db(fields=["file", "store"])  # it may have been replaced or moved a moment ago
    dismiss(document, user)
    _remove(document, user)


def locked(user: User, document_id: uuid.UUID) -> Document:
    """`selectors.get_document` for editors, locked for the rest of the transaction and as it is from then on."""
    document = selectors.get_document(user, document_id, Role.EDITOR)
    rows = Document.objects.live().select_for_update(of=("self",)).select_related("store__embedding_model", "revision")
    present = rows.defer("revision__text").filter(pk=document.pk).first()
    if present is None or present.store_id != document.store_id:
        raise ConflictError("This document has just been deleted, replaced or moved.")
    return present


def pending_for(document: Document) -> Document | None:
    """What is on its way to take the place of `document`, with its store."""
    pending = Document.objects.filter(replaces=document, life=Life.PENDING)
    return pending.select_related("store", "replaces").first()


def retry(document: Document, pending: Document) -> bool:
    """Queue what failed to take the place of `document`, which is locked, again; false where it has not failed."""
    if not requeue(pending):
        return False
    _change(document, {"notice_kind": Document.Notice.RUNNING, "notice": "It is being tried again."})
    return True


def dismiss(document: Document, user: User) -> bool:
    """Give up what is on its way to take the place of `document`, which is locked; false where there is nothing."""
    pending = pending_for(document)
    if pending is None:
        return False
    Document.objects.filter(pk=pending.pk).update(life=Life.DELETING)
    _remove(pending, user)
    _change(document, {"notice_kind": Document.Notice.NONE, "notice": ""})
    return True


def queue_again(document: Document) -> None:
    """Have a document indexed anew, in the caller's transaction; what is there of it answers until that is done."""
    _change(document, AFRESH)
    ingestion.queue(document, owner=document.uploaded_by_id)


def requeue(document: Document) -> bool:
    """Queue a failed document again, in the caller's transaction; false where it has not failed."""
    if not Document.objects.wanted().filter(pk=document.pk, state=Document.State.FAILED).update(**AFRESH):
        return False
    for field, value in AFRESH.items():
        setattr(document, field, value)
    ingestion.queue(document, owner=document.uploaded_by_id)
    realtime.document_changed(document.pk, document.store_id)
    return True


def _change(document: Document, columns: dict[str, Any]) -> None:
    Document.objects.filter(pk=document.pk).update(**columns)
    for field, value in columns.items():
        setattr(document, field, value)
    realtime.document_changed(document.pk, document.store_id)


def _remove(document: Document, user: User) -> None:
    outbox.enqueue(kind=ingestion.REMOVE, subject=document.pk, owner=user, arguments={"file": str(document.file_id)})
    realtime.document_changed(document.pk, document.store_id)
