"""One supervisor per data folder: a file lock that ends with its process, however that ends."""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from config.local.errors import AlreadyRunning


class Lock:
    """The lock that a supervisor holds; what it `tell`s can be read by `holder` in other processes."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def tell(self, **facts: Any) -> None:
        text = json.dumps({"pid": os.getpid(), **facts}).encode()
        os.pwrite(self._descriptor, text, 0)
        os.ftruncate(self._descriptor, len(text))


@contextmanager
def hold(path: Path) -> Iterator[Lock]:
    """Raises `AlreadyRunning` where another process holds the lock."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            pid = _facts(descriptor).get("pid", "?")
            raise AlreadyRunning(
                f"Parley is already running on {path.parent} (process {pid}). "
                "Stop it with `make down`, or name another folder in DATA_DIR and another PORT."
            ) from error
        _give_to_owner_of_folder(descriptor, path.parent)
        lock = Lock(descriptor)
        lock.tell()
        yield lock
    finally:
        os.close(descriptor)


def holder(path: Path) -> dict[str, Any] | None:
    """What the process that holds the lock has told ({"pid": …, …}), or None where none holds it."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _facts(descriptor)
    finally:
        os.close(descriptor)
    return None


def _give_to_owner_of_folder(descriptor: int, folder: Path) -> None:
    """A start by root may lock a folder whose supervisor will run under another name."""
    if os.geteuid() == 0:
        found = folder.stat()
        os.fchown(descriptor, found.st_uid, found.st_gid)


def _facts(descriptor: int) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    with suppress(ValueError):
        facts = dict(json.loads(os.pread(descriptor, 65536, 0)))
    return facts
