"""Changing how a whole store is indexed, under load: its embedding model, or the size of its chunks.

What is asked for here is done by workers (`retrieval.ingestion.reindexing`) while the store answers as before.
"""

import uuid
from typing import Any

from django.db import transaction
from django.db.models import Exists, OuterRef
from django.utils import timezone

from core.errors import ConflictError, InvalidInputError, NotFoundError, PermissionDeniedError
from core.models import EndpointModel, User
from core.models.grants import Role
from retrieval import realtime, selectors
from retrieval.ingestion import reindexing
from retrieval.ingestion.embedding import probe
from retrieval.ingestion.reindexing.chunks import outdated
from retrieval.ingestion.rows import lock_store
from retrieval.models import Chunk, Reindexing, VectorStore
from retrieval.services.estimates import Estimate, of_stores

Kind, State = Reindexing.Kind, Reindexing.State

_BUSY = "This store is being indexed anew already. Wait for its end, or cancel it."
_LEAST_TOKENS, _MOST_TOKENS = 32, 4096


def estimate(*, user: User, store_id: uuid.UUID, model: EndpointModel) -> Estimate:
    """What `start` will take. Raises NotFoundError, PermissionDeniedError and InvalidInputError like it."""
    store = selectors.get_store(user, store_id, Role.OWNER)
    _check(model)
    return of_stores(VectorStore.objects.filter(pk=store.pk), model)


def estimate_every(*, user: User, from_model: EndpointModel, to_model: EndpointModel) -> Estimate:
    """What `start_every` will take. Raises PermissionDeniedError and InvalidInputError like it."""
    _check_superuser(user)
    _check(to_model)
    return of_stores(VectorStore.objects.filter(embedding_model=from_model), to_model)


def start(*, user: User, store_id: uuid.UUID, model: EndpointModel) -> Reindexing:
    """Begin to index the store with another embedding model; needs owner on it. Searches notice nothing but the switch.

    One that failed on the way to the same model goes on; one to another model is cancelled. Raises NotFoundError,
    PermissionDeniedError, InvalidInputError for a model that is switched off or does not embed, ConflictError where
    there is nothing to change or another change is under way, and EmbeddingError where the model's server does not give
    a vector for one text: then nothing has begun.
    """
    store = selectors.get_store(user, store_id, Role.OWNER)
    if model.pk == store.embedding_model_id:
        raise ConflictError(f"This store is indexed with {model} already.")
    _check(model)
    probe(model)
    with transaction.atomic():
        store = lock_store(store_id)
        if (failed := _failed(store)) is not None:
            if failed.kind == Kind.MODEL and failed.to_model_id == model.pk:
                return _again(failed)
            _cancel(failed)
        row = Reindexing(
            store=store, kind=Kind.MODEL, from_model_id=store.embedding_model_id, to_model=model, requested_by=user
        )
        return _begin(row, total=Chunk.objects.filter(store=store).count(), price=model.input_price)


def rechunk(*, user: User, store_id: uuid.UUID, chunk_tokens: int, chunk_overlap: int) -> Reindexing | None:
    """Have the store's documents cut into chunks of another size; needs owner on it.

    New files are cut so at once; a document that is ready answers from its former chunks until its new ones are there.
    Asked for again while it goes on, it goes on with the new values. None where no document has to be cut anew. Raises
    NotFoundError, PermissionDeniedError, InvalidInputError for sizes that make no sense, and ConflictError where the
    store is moving to another model.
    """
    selectors.get_store(user, store_id, Role.OWNER)
    if not _LEAST_TOKENS <= chunk_tokens <= _MOST_TOKENS:
        raise InvalidInputError(f"A chunk has from {_LEAST_TOKENS} to {_MOST_TOKENS:,} tokens.")
    if not 0 <= chunk_overlap <= chunk_tokens // 2:
        raise InvalidInputError("Neighbouring chunks share at most half of their tokens.")
    sizes = {"chunk_tokens": chunk_tokens, "chunk_overlap": chunk_overlap}
    with transaction.atomic():
        store = lock_store(store_id)
        VectorStore.objects.filter(pk=store.pk).update(updated_at=timezone.now(), **sizes)
        present = Reindexing.objects.select_for_update().filter(store=store, state__in=Reindexing.OPEN).first()
        if present is not None and (present.kind != Kind.CHUNKING):
            raise ConflictError(_BUSY)
        if present is not None:
            _cancel(present)
        model = store.embedding_model
        row = Reindexing(store=store, kind=Kind.CHUNKING, from_model=model, to_model=model, requested_by=user, **sizes)
        total = outdated(row).count()
        return _begin(row, total=total, price=model.input_price) if total else None


@transaction.atomic
def cancel(*, user: User, reindexing_id: uuid.UUID) -> Reindexing:
    """Give a change up; needs owner on the store. New vectors are removed; documents that are cut anew stay so.

    Raises NotFoundError, PermissionDeniedError, and ConflictError where it has come to its end.
    """
    row = _locked(user, reindexing_id)
    if row.state not in {*Reindexing.WORKING, State.FAILED}:
        raise ConflictError("This has come to its end: there is nothing to cancel.")
    _cancel(row)
    return row


@transaction.atomic
def retry(*, user: User, reindexing_id: uuid.UUID) -> Reindexing:
    """Go on where a change failed; needs owner on the store.

    Raises NotFoundError, PermissionDeniedError, and ConflictError for one that has not failed.
    """
    row = _locked(user, reindexing_id)
    if row.state != State.FAILED:
        raise ConflictError("Only what failed can be tried again.")
    return _again(row)


def start_every(*, user: User, from_model: EndpointModel, to_model: EndpointModel) -> int:
    """Begin to move every store of one embedding model to another; for superusers. Returns how many there are.

    Stores that are being indexed anew are left out. Raises PermissionDeniedError, InvalidInputError, ConflictError for
    the same model twice, and EmbeddingError like `start`.
    """
    _check_superuser(user)
    if from_model.pk == to_model.pk:
        raise ConflictError("Choose another model than the present one.")
    _check(to_model)
    probe(to_model)
    with transaction.atomic():
        stores = VectorStore.objects.select_for_update(no_key=True).filter(embedding_model=from_model)
        busy = Reindexing.objects.filter(store=OuterRef("pk"), state__in=Reindexing.OPEN)
        both = {"from_model": from_model, "to_model": to_model, "price": to_model.input_price}
        rows = [
            Reindexing(store=store, kind=Kind.MODEL, requested_by=user, **both)
            for store in stores.filter(~Exists(busy)).order_by("pk")
        ]
        Reindexing.objects.bulk_create(rows)
        reindexing.ask(to_model.pk)
        for row in rows:
            realtime.reindexing_changed(row.store_id)
    return len(rows)


def _check_superuser(user: User) -> None:
    if not user.is_superuser:
        raise PermissionDeniedError("Only superusers can move every store.")


def _check(model: EndpointModel) -> None:
    if model.purpose != EndpointModel.Purpose.EMBEDDING:
        raise InvalidInputError(f"{model} is no embedding model.")
    if not (model.enabled and model.endpoint.enabled):
        raise InvalidInputError(f"{model} is switched off.")


def _failed(store: VectorStore) -> Reindexing | None:
    """The store's change that failed, if any. Raises ConflictError where one is under way."""
    present = Reindexing.objects.select_for_update().filter(store=store, state__in=Reindexing.OPEN).first()
    if present is not None and present.state == State.SWITCHING:
        raise ConflictError("This store has just switched to another model. Try again in two minutes.", retryable=True)
    if present is not None and present.state != State.FAILED:
        raise ConflictError(_BUSY)
    return present


def _locked(user: User, reindexing_id: uuid.UUID) -> Reindexing:
    """The row, under the lock of its store, which who works on it takes as well."""
    row = Reindexing.objects.filter(pk=reindexing_id).first()
    if row is None:
        raise NotFoundError("There is no such change of a store.")
    store = selectors.get_store(user, row.store_id, Role.OWNER)
    lock_store(store.pk)
    return Reindexing.objects.select_for_update().get(pk=row.pk)


def _begin(row: Reindexing, **columns: Any) -> Reindexing:
    for name, value in columns.items():
        setattr(row, name, value)
    row.save(force_insert=True)
    reindexing.ask(row.to_model_id)
    realtime.reindexing_changed(row.store_id)
    return row


def _again(row: Reindexing) -> Reindexing:
    row.state, row.error_code, row.error_message = State.PLANNED, "", ""
    row.due_at = timezone.now()
    row.save(update_fields=["state", "error_code", "error_message", "due_at"])
    reindexing.ask(row.to_model_id)
    realtime.reindexing_changed(row.store_id)
    return row


def _cancel(row: Reindexing) -> None:
    row.state, row.error_code, row.error_message = State.CANCELLED, "", ""
    row.finished_at = timezone.now()
    row.save(update_fields=["state", "error_code", "error_message", "finished_at"])
    reindexing.ask_to_remove_leftovers(row.store_id)
    realtime.reindexing_changed(row.store_id)
