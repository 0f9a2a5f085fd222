"""Zip archives: taken like a file, unpacked in the background, each file in them uploaded as if it came by itself.

Which files there are is written down first. Each is then a row of its own with the id that its document gets, so that
work that is done once more after a crash finds what it has done: nothing comes twice, and nothing is left out.
"""

import io
import logging
import shutil
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import orjson
from django.conf import settings
from django.core.files import File as OpenFile
from django.core.files.storage import default_storage
from django.db import IntegrityError, transaction

from core import jail, outbox
from core.errors import ParleyError
from core.jail import Failure, Limits
from core.models import User
from core.models.grants import Role
from core.outbox import Claim
from retrieval import selectors
from retrieval.errors import CorruptFileError, ExtractionError, TooLargeError
from retrieval.extraction.kinds import ZIP
from retrieval.ingestion.job import clean_reason
from retrieval.models import Archive, ArchiveEntry, VectorStore
from retrieval.services.names import clean_name, clean_path
from retrieval.services.uploads import New, Readable, Received, UploadResult, put, receiving, upload

logger = logging.getLogger(__name__)

UNPACK = "retrieval.unpack_archive"
EXPIRE = "retrieval.expire_archive"
FOLDER = "archives"
# Bytes that are unpacked in one go, unless a single file has more.
_BATCH = 16 * 1024 * 1024
_SLACK = 1024 * 1024
_GIVEN_UP = "Unpacking this archive ended without a result three times."

State = ArchiveEntry.State


def take(
    *,
    user: User,
    store: VectorStore,
    name: str,
    content: Readable,
    path: str = "",
    document_id: uuid.UUID | None = None,
) -> UploadResult | Archive:
    """As `upload`, but an archive for a store of the library is taken and unpacked by a worker.

    The same archive again, while it is being unpacked, is the same one.
    """
    store = selectors.get_store(user, store.pk, Role.EDITOR)
    new = New(document_id or uuid.uuid4(), clean_name(name), clean_path(path))
    with receiving(content, new.name, archives=store.kind == VectorStore.Kind.LIBRARY) as received:
        if received.mime_type == ZIP:
            return _take_archive(user, store, new.name, received)
        return put(user, store, new, received)


def _take_archive(user: User, store: VectorStore, name: str, received: Received) -> Archive:
    unfinished = Archive.objects.filter(
        store=store, owner=user, sha256=received.sha256, state__in=[Archive.State.QUEUED, Archive.State.UNPACKING]
    )
    if known := unfinished.first():
        return known
    with received.path.open("rb") as stream:
        storage_name = default_storage.save(f"{FOLDER}/{uuid.uuid4().hex}", OpenFile(stream))
    try:
        with transaction.atomic():
            taken = Archive.objects.create(
                store=store, owner=user, name=name, sha256=received.sha256, storage_name=storage_name
            )
            outbox.enqueue(kind=UNPACK, subject=taken.pk, owner=user)
            outbox.enqueue(kind=EXPIRE, subject=taken.pk, delay=_kept())
    except IntegrityError:
        taken = unfinished.get()  # sent twice at once
    finally:
        if not Archive.objects.filter(storage_name=storage_name).exists():
            default_storage.delete(storage_name)
    return taken


def unpack(claim: Claim) -> None:
    """Handler of UNPACK: go through the files of an archive from where an earlier run came to.

    Raises LostClaimError, and retryable errors, after which it is done again.
    """
    archive = Archive.objects.select_related("store", "owner").filter(pk=claim.subject).first()
    if archive is None or archive.is_final:
        return
    try:
        with _local_copy(archive) as path:
            if archive.state == Archive.State.QUEUED:
                _list(claim, archive, path)
            _go_through(claim, archive, path)
    except ExtractionError as error:
        _finish(claim, archive, state=Archive.State.FAILED, error_code=error.code, error_message=error.message)
    else:
        _finish(claim, archive, state=Archive.State.DONE)
    default_storage.delete(archive.storage_name)


@contextmanager
def _local_copy(archive: Archive) -> Iterator[Path]:
    with tempfile.NamedTemporaryFile(prefix="archive-") as copy:
        try:
            with default_storage.open(archive.storage_name) as stored:
                shutil.copyfileobj(stored, copy)
        except FileNotFoundError as error:
            raise CorruptFileError("The archive is missing from the storage. Upload it again.") from error
        copy.flush()
        yield Path(copy.name)


def _list(claim: Claim, archive: Archive, path: Path) -> None:
    """Write down which files there are. Raises CorruptFileError and TooLargeError."""
    limit = settings.UPLOAD_MAX_FILES
    answer = cast(dict[str, Any], _jailed("listing", path, {"max_bytes": settings.UPLOAD_MAX_BYTES}, _SLACK * 16))
    if "broken" in answer:
        raise CorruptFileError("This archive is damaged, or not what it says it is, and cannot be read.")
    files = answer["files"]
    if len(files) > limit:
        raise TooLargeError(f"This archive holds {len(files):,} files; at most {limit:,} are taken at once.")
    if not files:
        raise CorruptFileError("There is no file in this archive.")
    names, total, rows = _Names(), 0, []
    for position, name, size, code, message in files:
        entry = ArchiveEntry(archive=archive, position=position, name=names.free(name), size=size)
        if not code and total + size > settings.ARCHIVE_MAX_BYTES:
            most = settings.ARCHIVE_MAX_BYTES / 1024**2
            code, message = "too_large", f"Only {most:,.0f} MB of an archive are unpacked, and this is beyond them."
        if code:
            entry.state, entry.error_code, entry.error_message = State.REFUSED, code, message
        else:
            total += size
        rows.append(entry)
    with transaction.atomic():
        claim.guard()
        ArchiveEntry.objects.bulk_create(rows)
        Archive.objects.filter(pk=archive.pk).update(state=Archive.State.UNPACKING, hidden=answer["hidden"])


class _Names:
    """Cleans names, and numbers those that are there already."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def free(self, name: str) -> str:
        cleaned = clean_path(name) or clean_name(name)
        stem, dot, suffix = cleaned.rpartition(".")
        if not stem or "/" in suffix:
            stem, dot, suffix = cleaned, "", ""
        number, free = 1, cleaned
        while free in self._taken:
            number += 1
            free = f"{stem} ({number}){dot}{suffix}"
        self._taken.add(free)
        return free


def _go_through(claim: Claim, archive: Archive, path: Path) -> None:
    waiting = list(ArchiveEntry.objects.filter(archive=archive, state=State.WAITING))
    for batch in _batches(waiting):
        try:
            found = _contents(path, batch)
        except ExtractionError as error:
            # one of them is to blame: each by itself, unless it is alone
            if len(batch) > 1:
                for entry in batch:
                    _take_each(claim, archive, path, entry)
                continue
            found = [error]
        for entry, content in zip(batch, found, strict=True):
            _take_entry(claim, archive, entry, content)


def _take_each(claim: Claim, archive: Archive, path: Path, entry: ArchiveEntry) -> None:
    try:
        (content,) = _contents(path, [entry])
    except ExtractionError as error:
        content = error
    _take_entry(claim, archive, entry, content)


def _batches(entries: Sequence[ArchiveEntry]) -> Iterator[list[ArchiveEntry]]:
    batch: list[ArchiveEntry] = []
    for entry in entries:
        if batch and sum(one.size for one in batch) + entry.size > _BATCH:
            yield batch
            batch = []
        batch.append(entry)
    if batch:
        yield batch


def _contents(path: Path, batch: Sequence[ArchiveEntry]) -> list[bytes | ExtractionError]:
    """The bytes of each file, or what is wrong with it. Raises ExtractionError where the jail ended without them."""
    positions = [entry.position for entry in batch]
    room = sum(entry.size for entry in batch) + _SLACK
    left = io.BytesIO(cast(bytes, _jailed("contents", path, {"positions": positions}, room)))
    found: list[bytes | ExtractionError] = []
    for _ in batch:
        head = orjson.loads(left.readline())
        found.append(left.read(head["size"]) if "size" in head else CorruptFileError(str(head["message"])))
    return found


def _jailed(function: str, path: Path, arguments: dict[str, Any], room: int) -> object:
    limits = Limits(
        wall_seconds=settings.EXTRACTION_MAX_SECONDS,
        cpu_seconds=settings.EXTRACTION_MAX_SECONDS,
        memory_bytes=settings.EXTRACTION_MAX_MEMORY,
        output_bytes=room,
    )
    outcome = jail.run(f"retrieval.extraction.unpacking:{function}", data=path, arguments=arguments, limits=limits)
    if isinstance(outcome, Failure):
        logger.warning("%s of an archive: %s %s %s", function, outcome.code, outcome.error, outcome.message)
        raise CorruptFileError("Unpacking this took too much time or memory, or it is damaged.")
    return outcome.result


def _take_entry(claim: Claim, archive: Archive, entry: ArchiveEntry, content: bytes | ExtractionError) -> None:
    try:
        if isinstance(content, ExtractionError):
            raise content
        result = upload(
            user=archive.owner,
            store=archive.store,
            name=entry.name,
            content=io.BytesIO(content),
            path=f"{archive.name}/{entry.name}",
            document_id=entry.pk,
        )
    except ParleyError as error:
        if error.retryable and not isinstance(error, ExtractionError):
            raise
        end: dict[str, Any] = {
            "state": State.REFUSED,
            "error_code": error.code,
            "error_message": clean_reason(error.message),
        }
    else:
        end = {"state": State.ADDED if result.created else State.DUPLICATE, "document": result.document}
    with transaction.atomic():
        claim.guard()
        ArchiveEntry.objects.filter(pk=entry.pk).update(**end)


def _finish(claim: Claim, archive: Archive, **columns: Any) -> None:
    with transaction.atomic():
        claim.guard()
        Archive.objects.filter(pk=archive.pk).update(**columns)


def give_up_archive(archive_id: uuid.UUID) -> None:
    """End an archive over which workers died, in the caller's transaction; what was added stays."""
    unfinished = Archive.objects.filter(pk=archive_id).exclude(state__in=[Archive.State.DONE, Archive.State.FAILED])
    if unfinished.update(state=Archive.State.FAILED, error_code="worker_lost", error_message=_GIVEN_UP):
        waiting = ArchiveEntry.objects.filter(archive=archive_id, state=State.WAITING)
        waiting.update(state=State.REFUSED, error_code="worker_lost", error_message=_GIVEN_UP)


def expire_archive(claim: Claim) -> None:
    """Handler of EXPIRE: forget what an archive came to, and its bytes where they were left."""
    archive = Archive.objects.filter(pk=claim.subject).first()
    if archive is None:
        return
    if not archive.is_final:
        outbox.enqueue(kind=EXPIRE, subject=archive.pk, delay=_kept())
        return
    default_storage.delete(archive.storage_name)
    archive.delete()


def _kept() -> timedelta:
    return timedelta(hours=settings.UPLOAD_KEEP_HOURS)
