"""Giving a document new content; the former one answers until the new one is read and indexed."""

import uuid

from django.db import transaction

from core.errors import ConflictError
from core.models import User
from core.models.grants import Role
from retrieval import quotas, selectors
from retrieval.models import Document
from retrieval.services.documents import dismiss, locked, pending_for, requeue, retry
from retrieval.services.moving import await_place
from retrieval.services.names import clean_name
from retrieval.services.uploads import (
    Readable,
    Received,
    UploadResult,
    bring_back,
    own_file,
    receiving,
    same_content,
    storing,
)


def replace_document(*, user: User, document_id: uuid.UUID, name: str, content: Readable) -> UploadResult:
    """Put other content in the place of a document's; needs editor on its store. `name` may be empty: it keeps its own.

    The document keeps its id, its attributes and its place. What it has answers until the new content is indexed, and
    for good where that cannot be read: its `notice` says so. A later replacement takes the place of one on its way.
    `created` is false where the content is the document's own, or that on its way to it already.

    Raises what `upload` does, and ConflictError where another document in the store has this content.
    """
    document = selectors.get_document(user, document_id, Role.EDITOR)
    shown = clean_name(name) if name.strip() else document.name
    with receiving(content, shown) as received:
        if received.sha256 == document.sha256:
            bring_back(document.file, received)
            return UploadResult(_keep(user, document_id), created=False)
        with storing(received) as storage_name:
            return _begin(user, document_id, shown, received, storage_name)


@transaction.atomic
def dismiss_replacement(*, user: User, document_id: uuid.UUID) -> Document:
    """Give up what is on its way to take a document's place, or could not; needs editor on the store.

    Raises NotFoundError, PermissionDeniedError, and ConflictError where there is nothing of the kind.
    """
    document = locked(user, document_id)
    if not dismiss(document, user):
        raise ConflictError("Nothing is on its way to take its place.")
    return document


@transaction.atomic
def _keep(user: User, document_id: uuid.UUID) -> Document:
    """The later wins: asked for its own content, a document stays as it is, whatever else was on its way."""
    document = locked(user, document_id)
    dismiss(document, user)
    requeue(document)
    return document


@transaction.atomic
def _begin(user: User, document_id: uuid.UUID, name: str, received: Received, storage_name: str) -> UploadResult:
    document = locked(user, document_id)
    twin = same_content(document.store, received.sha256)
    if twin is not None and twin.pk != document.pk:
        raise ConflictError(f"The same content is in this vector store already, as “{twin.name}”.")
    running = pending_for(document)
    if running and (running.sha256, running.store_id) == (received.sha256, document.store_id):
        retry(document, running)
        return UploadResult(document, created=False)
    dismiss(document, user)
    quotas.admit(user, sha256=received.sha256, size=received.size, instead_of=document)
    file = own_file(user, received, storage_name)
    read = {"file": file, "sha256": received.sha256, "name": name, "uploaded_by": user}
    await_place(document, Document(store=document.store, replaces=document, **read), user)
    return UploadResult(document, created=True)
