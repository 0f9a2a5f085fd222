"""Uploads in parts: begun, appended to, put together. Whatever dies in between, what was acknowledged is there.

A part counts once its row is committed, which is after its bytes are in the storage; `Upload.received` moves with it in
the same transaction. Of two requests for the same place one wins, and the other is told where to go on.
"""

import uuid
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone

from core import outbox
from core.errors import ConflictError, LimitError, NotFoundError, ParleyError
from core.models import User
from core.models.grants import Role
from core.outbox import Claim
from retrieval import quotas, selectors
from retrieval.errors import DamagedUploadError, EmptyFileError, OffsetError, TooLargeError, extraction_error
from retrieval.ingestion.job import clean_reason
from retrieval.models import Archive, Upload, UploadPart, VectorStore
from retrieval.services.archives import take
from retrieval.services.names import clean_name, clean_path
from retrieval.services.parts import Joined, Part, received_part, remove_parts, stored_part
from retrieval.services.uploads import Readable

FINISH = "retrieval.finish_upload"
EXPIRE = "retrieval.expire_upload"
# The request with the last part puts the file together. A worker does where that one did not come to its end.
_PATIENCE = timedelta(seconds=60)

State = Upload.State


@dataclass(frozen=True, slots=True)
class Announced:
    """What is said of a file before its bytes come. `sha256` and `modified` (milliseconds) may be unknown."""

    client_id: uuid.UUID
    name: str
    size: int
    path: str = ""
    sha256: str = ""
    modified: int | None = None


def begin_upload(*, user: User, store: VectorStore, file: Announced) -> Upload:
    """Begin an upload; needs editor on the store. Begun again with the same `client_id` it is the same upload.

    Raises NotFoundError, PermissionDeniedError, EmptyFileError, TooLargeError, LimitError where too many are
    unfinished, QuotaExceededError, ConflictError where the id stands for another file.
    """
    store = selectors.get_store(user, store.pk, Role.EDITOR)
    _check_size(file.size)
    with transaction.atomic():
        with connection.cursor() as cursor:  # two that begin at once count each other
            cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"uploads {user.pk}"])
        known = Upload.objects.filter(owner=user, client_id=file.client_id).first()
        if known is not None:
            if (known.store_id, known.size) != (store.pk, file.size):
                raise ConflictError("This id already stands for another upload.")
            return known
        limit = settings.UPLOADS_MAX_UNFINISHED
        if Upload.objects.filter(owner=user, state=State.RECEIVING).count() >= limit:
            raise LimitError(f"You have {limit} unfinished uploads, the most there may be. Finish or discard some.")
        quotas.check(user, size=file.size)
        begun = Upload.objects.create(
            owner=user,
            client_id=file.client_id,
            store=store,
            name=clean_name(file.name),
            path=clean_path(file.path),
            size=file.size,
            sha256=file.sha256,
            modified=file.modified,
            expires_at=timezone.now() + _kept(),
        )
        outbox.enqueue(kind=EXPIRE, subject=begun.pk, delay=_kept())
    return begun


def get_upload(*, user: User, upload_id: uuid.UUID) -> Upload:
    """One's own upload, while one may still change its store. Raises NotFoundError, PermissionDeniedError."""
    found = Upload.objects.select_related("store", "document__file", "owner").filter(pk=upload_id, owner=user).first()
    if found is None:
        raise NotFoundError("There is no such upload.")
    selectors.get_store(user, found.store_id, Role.EDITOR)
    return found


def append_part(*, user: User, upload_id: uuid.UUID, offset: int, content: Readable, sha256: str = "") -> Upload:
    """Take the bytes that begin at `offset`; with the last of them the upload is finished as by `finish_upload`.

    `sha256` is the part's, where the sender knows it. Raises OffsetError where the part begins elsewhere than the
    stored bytes end, DamagedUploadError where it is not what was sent, TooLargeError, and what `finish_upload` raises.
    """
    found = get_upload(user=user, upload_id=upload_id)
    if offset != found.received:
        raise OffsetError(found.received)
    with received_part(content, limit=min(settings.UPLOAD_PART_BYTES, found.size - offset)) as part:
        if sha256 and sha256 != part.sha256:
            raise DamagedUploadError("This part arrived damaged.")
        if part.size:
            with stored_part(found.pk, offset, part) as storage_name:
                found = _add(found, offset, part, storage_name)
    return found if found.state == State.RECEIVING else finish_upload(found)


@transaction.atomic
def _add(found: Upload, offset: int, part: Part, storage_name: str) -> Upload:
    rows = Upload.objects.select_for_update(of=("self",)).select_related("store", "document__file", "owner")
    found = _present(rows.filter(pk=found.pk).first())
    if (found.received, found.state) != (offset, State.RECEIVING):
        raise OffsetError(found.received)
    UploadPart.objects.create(upload=found, start=offset, size=part.size, sha256=part.sha256, storage_name=storage_name)
    found.received += part.size
    found.expires_at = timezone.now() + _kept()
    if found.received == found.size:
        found.state = State.RECEIVED
        outbox.enqueue(kind=FINISH, subject=found.pk, owner=found.owner, delay=_PATIENCE)
    found.save(update_fields=["received", "state", "expires_at", "updated_at"])
    return found


def finish_upload(found: Upload) -> Upload:
    """Make the document of an upload whose bytes are all there, or take the archive. May be done often, and at once.

    What `upload` refuses is kept as the upload's end and raised, each time. Retryable errors leave it as it is.
    """
    if found.state == State.REFUSED:
        raise extraction_error(found.error_code, found.error_message)
    if found.state == State.RECEIVED:
        try:
            result = take(
                user=found.owner,
                store=found.store,
                name=found.name,
                content=Joined(found),
                path=found.path,
                document_id=found.pk,
            )
        except ParleyError as error:
            if error.retryable and not isinstance(error, DamagedUploadError):
                raise
            _end(found, state=State.REFUSED, error_code=error.code, error_message=clean_reason(error.message))
            raise
        if isinstance(result, Archive):
            _end(found, state=State.DONE, archive=result)
        else:
            _end(found, state=State.DONE, document=result.document)
    return found


def _end(found: Upload, **columns: Any) -> None:
    for name, value in columns.items():
        setattr(found, name, value)
    ending = Upload.objects.filter(pk=found.pk, state=State.RECEIVED)
    ending.update(updated_at=timezone.now(), **columns)
    remove_parts(found.pk)


def discard_upload(*, user: User, upload_id: uuid.UUID) -> None:
    """Forget an upload with all that is stored of it; a document that it became stays. Raises NotFoundError."""
    found = Upload.objects.filter(pk=upload_id, owner=user).first()
    if found is None:
        raise NotFoundError("There is no such upload.")
    _forget(found)


def unfinished_uploads(*, user: User, store: VectorStore) -> list[Upload]:
    """The uploads of this person into this store that wait for more bytes, the latest first."""
    return list(Upload.objects.filter(owner=user, store=store, state=State.RECEIVING).order_by("-created_at"))


def finish_left_upload(claim: Claim) -> None:
    """Handler of FINISH: put together what no request has. What is refused is kept for whoever asks."""
    found = Upload.objects.select_related("store", "owner").filter(pk=claim.subject, state=State.RECEIVED).first()
    if found is None:
        return
    try:
        finish_upload(found)
    except ParleyError as error:
        if error.retryable and not isinstance(error, DamagedUploadError):
            raise


def give_up_upload(upload_id: uuid.UUID) -> None:
    """End an upload over which workers died, in the caller's transaction."""
    Upload.objects.filter(pk=upload_id, state=State.RECEIVED).update(
        state=State.REFUSED,
        error_code="worker_lost",
        error_message="Putting this file together ended without a result three times.",
    )


def expire_upload(claim: Claim) -> None:
    """Handler of EXPIRE: forget an upload that stood still for too long, or look again later."""
    found = Upload.objects.filter(pk=claim.subject).first()
    if found is None:
        return remove_parts(claim.subject)  # it went with its store or its owner
    left = found.expires_at - timezone.now()
    if left <= timedelta(0) and found.state != State.RECEIVED:
        return _forget(found)
    outbox.enqueue(kind=EXPIRE, subject=found.pk, delay=max(left, _PATIENCE))


def _forget(found: Upload) -> None:
    """The row last: a crash in between leaves one that is forgotten again."""
    remove_parts(found.pk)
    found.delete()


def _present(found: Upload | None) -> Upload:
    if found is None:
        raise NotFoundError("This upload was discarded.")
    return found


def _check_size(size: int) -> None:
    limit = settings.UPLOAD_MAX_BYTES
    if size <= 0:
        raise EmptyFileError("This file is empty.")
    if size > limit:
        raise TooLargeError(f"This file is larger than {limit / 1024**2:,.0f} MB, the most that is taken.")


def _kept() -> timedelta:
    return timedelta(hours=settings.UPLOAD_KEEP_HOURS)
