"""Uploading: bytes in, a queued document out, nothing left behind where it cannot be."""

import hashlib
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from django.conf import settings
from django.core.files import File as OpenFile
from django.core.files.storage import default_storage
from django.db import transaction

from core.errors import ConflictError
from core.models import User
from core.models.grants import Role
from retrieval import ingestion, quotas, realtime, selectors
from retrieval.errors import EmptyFileError, TooLargeError, UnsupportedTypeError
from retrieval.extraction import sniff
from retrieval.extraction.kinds import ZIP
from retrieval.models import Document, File, VectorStore
from retrieval.search.scope import write_use
from retrieval.services.documents import requeue
from retrieval.services.names import clean_name, clean_path

_BLOCK = 256 * 1024
REMOVED_MEANWHILE = "The same file was being removed at this moment. Try again."


class Readable(Protocol):
    """An uploaded file, an open file, or whatever else gives bytes."""

    def read(self, size: int = ..., /) -> bytes: ...


@dataclass(frozen=True, slots=True)
class UploadResult:
    """`created` is false where the store has a document with the same content already: that one is returned."""

    document: Document
    created: bool


@dataclass(frozen=True, slots=True)
class Received:
    """The bytes of an upload, in a temporary file."""

    path: Path
    sha256: str
    size: int
    mime_type: str


@dataclass(frozen=True, slots=True)
class New:
    """The document that an upload makes where the store has none with this content."""

    id: uuid.UUID
    name: str
    path: str


def upload(
    *,
    user: User,
    store: VectorStore,
    name: str,
    content: Readable,
    path: str = "",
    document_id: uuid.UUID | None = None,
) -> UploadResult:
    """Put a file into a store; needs editor on it. The document is queued, a worker does the rest.

    The same content in the same store is the same document; one that failed is tried again. `path` is the name with the
    folders that it came from, and kept as an attribute. A new document gets the id `document_id`: done once more with
    the same one, it is told to be new once more. Nothing is kept where an error is raised: NotFoundError,
    PermissionDeniedError, TooLargeError (settings.UPLOAD_MAX_BYTES), EmptyFileError, QuotaExceededError, and what
    `sniff` raises for kinds of file that are not read.
    """
    store = selectors.get_store(user, store.pk, Role.EDITOR)
    new = New(document_id or uuid.uuid4(), clean_name(name), clean_path(path))
    with receiving(content, new.name) as received:
        return put(user, store, new, received)


def put(user: User, store: VectorStore, new: New, received: Received) -> UploadResult:
    """Make the document of what was received, or find the one that is there. The caller has checked the right."""
    known = same_content(store, received.sha256)
    if known is None:
        with storing(received) as storage_name:
            known = _record(user, store, new, received, storage_name)
    else:
        bring_back(known.file, received)
    created = known.pk == new.id
    if not created:
        with transaction.atomic():
            requeue(known)
    return UploadResult(known, created)


@contextmanager
def receiving(content: Readable, name: str, *, archives: bool = False) -> Iterator[Received]:
    """Read the upload to its end, or to the limit, measuring it on the way; archives only where they are wanted."""
    digest, size, limit = hashlib.sha256(), 0, settings.UPLOAD_MAX_BYTES
    with tempfile.NamedTemporaryFile(prefix="upload-") as copy:
        while block := content.read(_BLOCK):
            size += len(block)
            if size > limit:
                raise TooLargeError(f"This file is larger than {limit / 1024**2:,.0f} MB, the most that is taken.")
            digest.update(block)
            copy.write(block)
        if not size:
            raise EmptyFileError("This file is empty.")
        copy.flush()
        path = Path(copy.name)
        mime_type = sniff(path, name)
        if mime_type == ZIP and not archives:
            raise UnsupportedTypeError("Archives are not unpacked here: upload the files in it.")
        yield Received(path, digest.hexdigest(), size, mime_type)


@contextmanager
def storing(received: Received) -> Iterator[str]:
    """Save the bytes under a name of our own; take them out again unless a row refers to them afterwards."""
    unique = uuid.uuid4().hex
    with received.path.open("rb") as stream:
        storage_name = default_storage.save(f"{unique[:2]}/{unique[2:]}", OpenFile(stream))
    try:
        yield storage_name
    finally:
        # The database decides, not the way we got here: a commit may succeed and its answer be lost. Where it cannot
        # be asked the bytes stay.
        if not File.objects.filter(storage_name=storage_name).exists():
            default_storage.delete(storage_name)


def same_content(store: VectorStore, sha256: str) -> Document | None:
    return Document.objects.live().select_related("file").filter(store=store, sha256=sha256).first()


def bring_back(file: File, received: Received) -> None:
    """Where the bytes of a known file are lost, these are the same."""
    if not default_storage.exists(file.storage_name):
        with received.path.open("rb") as stream:
            default_storage.save(file.storage_name, OpenFile(stream))


@transaction.atomic
def _record(user: User, store: VectorStore, new: New, received: Received, storage_name: str) -> Document:
    """Write file, document and work in one transaction; uploads of the same content at once end in one document."""
    quotas.admit(user, sha256=received.sha256, size=received.size)
    file = own_file(user, received, storage_name)
    attributes = {"path": new.path} if new.path else {}
    document = Document(
        id=new.id,
        store=store,
        file=file,
        sha256=received.sha256,
        name=new.name,
        attributes=attributes,
        uploaded_by=user,
    )
    Document.objects.bulk_create([document], ignore_conflicts=True)
    present = same_content(store, received.sha256)
    if present is None:
        raise ConflictError(REMOVED_MEANWHILE, retryable=True)
    if present.pk != document.pk:
        if file.storage_name == storage_name:
            file.delete()
        return present
    write_use(VectorStore.objects.filter(pk=store.pk))
    ingestion.queue(document, owner=user)
    realtime.document_changed(document.pk, store.pk)
    return document


def own_file(user: User, received: Received, storage_name: str) -> File:
    """The user's file with this content, locked against removal; made where there is none."""
    file = File(
        owner=user,
        sha256=received.sha256,
        size=received.size,
        mime_type=received.mime_type,
        storage_name=storage_name,
    )
    File.objects.bulk_create([file], ignore_conflicts=True)
    present = File.objects.select_for_update().filter(owner=user, sha256=received.sha256).first()
    if present is None:
        raise ConflictError(REMOVED_MEANWHILE, retryable=True)
    if present.storage_name != storage_name and not default_storage.exists(present.storage_name):
        present.storage_name = storage_name  # what it had is lost; this is the same content
        present.save(update_fields=["storage_name"])
    return present
