"""Where the parts of an upload are kept, and the file that they make together."""

import hashlib
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import IO

from django.core.files import File as OpenFile
from django.core.files.storage import default_storage

from retrieval.errors import DamagedUploadError, TooLargeError
from retrieval.models import Upload, UploadPart
from retrieval.services.uploads import Readable

_BLOCK = 256 * 1024
FOLDER = "uploads"
_DAMAGED = "The file arrived damaged. Upload it again."


@dataclass(frozen=True, slots=True)
class Part:
    """Bytes of one request, in a temporary file that stands at its beginning."""

    stream: IO[bytes]
    size: int
    sha256: str


@contextmanager
def received_part(content: Readable, *, limit: int) -> Iterator[Part]:
    """Read a request to its end. Raises TooLargeError for more than `limit` bytes."""
    digest, size = hashlib.sha256(), 0
    with tempfile.TemporaryFile(prefix="part-") as copy:
        while block := content.read(_BLOCK):
            size += len(block)
            if size > limit:
                raise TooLargeError(f"At most {limit:,} bytes are taken here.")
            digest.update(block)
            copy.write(block)
        copy.seek(0)
        yield Part(copy, size, digest.hexdigest())


@contextmanager
def stored_part(upload_id: uuid.UUID, start: int, part: Part) -> Iterator[str]:
    """Save a part beside the others of its upload; take it out again unless a row refers to it afterwards."""
    name = default_storage.save(f"{_folder(upload_id)}/{start}-{uuid.uuid4().hex}", OpenFile(part.stream))
    try:
        yield name
    finally:
        if not UploadPart.objects.filter(storage_name=name).exists():
            default_storage.delete(name)


def remove_parts(upload_id: uuid.UUID) -> None:
    """Remove all that is stored of an upload, also what a process that was killed had not yet written down."""
    UploadPart.objects.filter(upload=upload_id).delete()
    folder = _folder(upload_id)
    try:
        names = default_storage.listdir(folder)[1]
    except FileNotFoundError:
        return
    for name in names:
        default_storage.delete(f"{folder}/{name}")
    with suppress(OSError):  # a request that is just storing a part takes it out itself
        default_storage.delete(folder)


def _folder(upload_id: uuid.UUID) -> str:
    return f"{FOLDER}/{upload_id.hex}"


class Joined:
    """The parts of an upload as one stream, each held against its hash, the whole against the one announced.

    Reading raises DamagedUploadError where they differ.
    """

    def __init__(self, upload: Upload) -> None:
        self._announced = upload.sha256
        self._whole = hashlib.sha256()
        self._blocks = self._read(list(upload.parts.all()), upload.size)

    def read(self, _size: int = -1, /) -> bytes:
        """Return the next block, of a size that suits the storage; nothing at the end."""
        return next(self._blocks, b"")

    def _read(self, parts: list[UploadPart], size: int) -> Iterator[bytes]:
        at = 0
        for part in parts:
            if part.start != at:
                raise DamagedUploadError(_DAMAGED)
            yield from self._checked(part)
            at += part.size
        if at != size or (self._announced and self._announced != self._whole.hexdigest()):
            raise DamagedUploadError(_DAMAGED)

    def _checked(self, part: UploadPart) -> Iterator[bytes]:
        digest = hashlib.sha256()
        try:
            with default_storage.open(part.storage_name) as stored:
                while block := stored.read(_BLOCK):
                    digest.update(block)
                    self._whole.update(block)
                    yield block
        except FileNotFoundError as error:
            raise DamagedUploadError(_DAMAGED) from error
        if digest.hexdigest() != part.sha256:
            raise DamagedUploadError(_DAMAGED)
