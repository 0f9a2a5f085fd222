"""Moving a document to another vector store: with all that is indexed of it, or to be indexed there first."""

import uuid

from django.db import transaction

from core.errors import ConflictError, NotFoundError
from core.models import User
from core.models.grants import Role
from retrieval import ingestion, realtime, selectors
from retrieval.ingestion.rows import lock_store, move_chunks
from retrieval.models import Document, Reindexing, VectorStore
from retrieval.services.documents import locked, pending_for


@transaction.atomic
def move_document(*, user: User, document_id: uuid.UUID, store_id: uuid.UUID) -> Document:
    """Move a document to another store; needs editor on both.

    Where both stores index alike (or nothing is indexed of it yet), it is there at once, with everything that search
    reads of it. Else it is indexed for the other store first and answers where it is until that is done; its `notice`
    says how far that is. Its id stays.

    Raises NotFoundError, PermissionDeniedError, and ConflictError where it is there already, or the same content is,
    or something else is on its way to take its place.
    """
    document = locked(user, document_id)
    target = selectors.get_store(user, store_id, Role.EDITOR)
    if target.pk == document.store_id:
        raise ConflictError(f"“{document.name}” is in this vector store already.")
    if pending_for(document):
        raise ConflictError("Something is on its way to take its place. Wait for that or dismiss it first.")
    stores = {store: lock_store(store) for store in sorted({document.store_id, target.pk})}
    if stores[target.pk].deleted_at is not None:
        raise NotFoundError("There is no such vector store.")
    twin = Document.objects.live().filter(store=target, sha256=document.sha256).first()
    if twin is not None:
        raise ConflictError(f"The same content is in “{target.name}” already, as “{twin.name}”.")
    if _alike(document, stores[document.store_id], stores[target.pk]) or not document.chunks.exists():
        _take_along(document, target)
    else:
        _index_there(document, target, user)
    return document


def _alike(document: Document, one: VectorStore, other: VectorStore) -> bool:
    """Whether the other store would index the document as it is indexed; its own may have other sizes by now.

    A store on its way to another index goes through its chunks in their order: what came along would be left out.
    """
    if Reindexing.objects.filter(store__in=[one, other], state__in=Reindexing.OPEN).exists():
        return False
    same_chunks = all(getattr(document, field) == getattr(other, field) for field in ("chunk_tokens", "chunk_overlap"))
    return same_chunks and one.embedding_model_id == other.embedding_model_id


def _take_along(document: Document, target: VectorStore) -> None:
    former = document.store_id
    move_chunks(document, target.pk)
    document.store = target
    document.save(update_fields=["store", "updated_at"])
    for store in (former, target.pk):
        realtime.document_changed(document.pk, store)


def _index_there(document: Document, target: VectorStore, user: User) -> None:
    """Its text is not read again; only what an indexed document says of its text goes along."""
    pending = Document(
        store=target,
        replaces=document,
        file_id=document.file_id,
        sha256=document.sha256,
        name=document.name,
        language=document.language,
        page_count=document.page_count,
        uploaded_by_id=document.uploaded_by_id,
    )
    await_place(document, pending, user)


def await_place(document: Document, pending: Document, user: User) -> None:
    """Store `pending` and have it read to take the place of `document`, in the caller's transaction."""
    pending.life = Document.Life.PENDING
    pending.save(force_insert=True)
    ingestion.tell(pending, {"state": pending.state})
    ingestion.queue(pending, owner=user)
    document.refresh_from_db(fields=["notice", "notice_kind"])
