"""Removes bytes from the storage that no row refers to.

They are left where a process is killed between saving bytes and writing the row, or between deleting a row and the
bytes. Only what is older than a day goes, so whatever is on its way is safe, and only what lies where we put things.
"""

import logging
import re
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache, partial
from typing import Any

from django.core.files.storage import default_storage
from django.db.models import Manager, Min
from django.utils import timezone

from core.models import User
from retrieval.models import Archive, File, Upload
from retrieval.pictures import kept
from retrieval.services import archives, parts

logger = logging.getLogger(__name__)

PORTIONS = "0123456789abcdef"
"""Names of ours begin with one of these; a sweep looks at those that begin alike."""
_AGE = timedelta(days=1)
_AT_ONCE = 500
_TWO = re.compile(r"[0-9a-f]{2}")
_ID = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class _Kind:
    """What is stored for rows of a kind: `keys` are names, or folders of names; `known` says which have a row."""

    keys: Callable[[str], Iterator[str]]
    known: Callable[[Sequence[str]], set[str]]
    folders: bool


def sweep(portion: str) -> int:
    """Remove what no row refers to in one of PORTIONS; returns how many names that were.

    What is older than the first user was not made by this installation, and stays: somebody may have started with an
    empty database by mistake. A storage that cannot list what it has, or say how old it is, is left alone.
    """
    first = User.objects.aggregate(first=Min("date_joined"))["first"]
    if first is None:
        return 0
    between = (first, timezone.now() - _AGE)
    try:
        removed = sum(_remove(kind, key, between) for kind in _KINDS for key in _unknown(kind, portion))
    except NotImplementedError:
        _say_it_is_left_alone()
        return 0
    if removed:
        logger.warning("Removed %d files from the storage that no row referred to.", removed)
    return removed


@cache
def _say_it_is_left_alone() -> None:
    """Once in a process: it is as true an hour later."""
    logger.warning("The storage cannot be listed: what a killed process leaves in it stays there.")


def _unknown(kind: _Kind, portion: str) -> Iterator[str]:
    keys = list(kind.keys(portion))
    for at in range(0, len(keys), _AT_ONCE):
        some = keys[at : at + _AT_ONCE]
        known = kind.known(some)
        yield from (key for key in some if key not in known)


def _remove(kind: _Kind, key: str, between: tuple[datetime, datetime]) -> int:
    removed = 0
    for name in [f"{key}/{name}" for name in _listed(key)[1]] if kind.folders else [key]:
        # whoever wrote the row since its batch was looked at keeps it
        if _is_modified(name, between) and not kind.known([key]):
            default_storage.delete(name)
            removed += 1
    if removed and kind.folders:
        with suppress(OSError):  # there is more in it, too young to go
            default_storage.delete(key)
    return removed


def _is_modified(name: str, between: tuple[datetime, datetime]) -> bool:
    try:
        return between[0] < default_storage.get_modified_time(name) < between[1]
    except FileNotFoundError:
        return False  # somebody else has just removed it


def _files(portion: str) -> Iterator[str]:
    for folder in _folders("", portion, _TWO):
        yield from (f"{folder}/{name}" for name in _listed(folder)[1])


def _archives(portion: str) -> Iterator[str]:
    names = _listed(archives.FOLDER)[1]
    return (f"{archives.FOLDER}/{name}" for name in names if name.startswith(portion))


def _uploads(portion: str) -> Iterator[str]:
    return (f"{parts.FOLDER}/{name}" for name in _folders(parts.FOLDER, portion, _ID))


def _pictures(portion: str) -> Iterator[str]:
    for two in _folders(kept.FOLDER, portion, _TWO):
        folder = f"{kept.FOLDER}/{two}"
        yield from (f"{folder}/{name}" for name in _folders(folder, portion, _ID))


def _folders(folder: str, portion: str, like: re.Pattern[str]) -> list[str]:
    return [name for name in _listed(folder)[0] if name.startswith(portion) and like.fullmatch(name)]


def _listed(folder: str) -> tuple[list[str], list[str]]:
    """The folders and the files in it: none where it is not there."""
    try:
        folders, files = default_storage.listdir(folder)
    except FileNotFoundError:
        return [], []
    return folders, files


def _by_name(rows: "Manager[Any]", keys: Sequence[str]) -> set[str]:
    return set(rows.filter(storage_name__in=keys).values_list("storage_name", flat=True))


def _by_id(rows: "Manager[Any]", keys: Sequence[str]) -> set[str]:
    """Folders are called by the id of a row."""
    ids = {uuid.UUID(key.rpartition("/")[2]): key for key in keys}
    return {ids[pk] for pk in rows.filter(pk__in=ids).values_list("pk", flat=True)}


_KINDS = (
    _Kind(_files, partial(_by_name, File.objects), folders=False),
    _Kind(_archives, partial(_by_name, Archive.objects), folders=False),
    # parts that an upload has not counted go when it is done or expires
    _Kind(_uploads, partial(_by_id, Upload.objects), folders=True),
    _Kind(_pictures, partial(_by_id, File.objects), folders=True),
)
