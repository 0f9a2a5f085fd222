"""Where pictures that we made are kept: beside the files, in a folder of each file's own, under names of ours.

All of it can be made again, so a name that is missing is no fault. `forget` takes away what was made of a file and has
to be called before the file's row goes.
"""

import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db import transaction

from core.errors import NotFoundError
from retrieval.models import File

PICTURE = "picture"
SMALL = "small.webp"
FOLDER = "made"


def read(file: uuid.UUID, name: str) -> bytes | None:
    """What is kept under `name` of the file; None where nothing is."""
    try:
        with default_storage.open(_path(file, name)) as stored:
            content: bytes = stored.read()
    except FileNotFoundError:
        return None
    return content


def keep(file: uuid.UUID, name: str, content: bytes) -> None:
    """Keep `content` in place of what was there. Raises NotFoundError where the file is gone, and keeps nothing."""
    with transaction.atomic():
        # whoever removes the file waits for this lock, and finds what is kept here
        if not File.objects.select_for_update(no_key=True).filter(pk=file).exists():
            raise NotFoundError("The file is not there any more.")
        path = _path(file, name)
        if default_storage.exists(path):
            if default_storage.size(path) == len(content):
                return  # somebody else has just made the same
            default_storage.delete(path)
        default_storage.save(path, ContentFile(content))


def forget(file: uuid.UUID) -> None:
    """Delete everything that was made of a file, whose row the caller holds locked."""
    folder = _path(file, "")
    try:
        _, names = default_storage.listdir(folder)
    except FileNotFoundError:
        return
    for name in names:
        default_storage.delete(f"{folder}{name}")
    default_storage.delete(folder)


@contextmanager
def local_path(file: File) -> Iterator[Path]:
    """A path at which the original can be read, whatever storage it is in. Raises NotFoundError where it is lost."""
    if not default_storage.exists(file.storage_name):
        raise NotFoundError("The file is missing from the storage. Upload it again.")
    try:
        path = default_storage.path(file.storage_name)
    except NotImplementedError:
        with tempfile.NamedTemporaryFile(prefix="original-") as copy:
            with default_storage.open(file.storage_name) as stored:
                shutil.copyfileobj(stored, copy)
            copy.flush()
            yield Path(copy.name)
    else:
        yield Path(path)


def _path(file: uuid.UUID, name: str) -> str:
    return f"{FOLDER}/{file.hex[:2]}/{file.hex}/{name}"
