"""Ends what a killed supervisor left behind on a data folder. To be called with the folder's lock held."""

import os
import signal
from contextlib import suppress
from pathlib import Path

from config.local.places import cluster_path
from config.local.process import MARK
from config.local.waiting import soon

_PROC = Path("/proc")


def end_leftovers(data: Path, *, patience: float = 10.0) -> int:
    """Ask each to end, wait `patience` seconds, kill the rest; returns how many there were."""
    first = _find(data)
    for pid, number in first.items():
        _send(pid, number)
    if not soon(lambda: not _find(data), patience):
        for pid in _find(data):
            _send(pid, signal.SIGKILL)
        soon(lambda: not _find(data), 5)
    return len(first)


def forget_dead_postmaster(data: Path) -> None:
    """Remove PostgreSQL's pid file where no server works on the cluster.

    PostgreSQL does this itself unless its old number now belongs to another process of the same user, which is
    common in containers; then it would refuse to start.
    """
    cluster = cluster_path(data)
    if not any(_works_in(entry, cluster, "postgres") for entry in _processes()):
        (cluster / "postmaster.pid").unlink(missing_ok=True)


def _find(data: Path) -> dict[int, signal.Signals]:
    """Pids and the signal that asks each to end: PostgreSQL's fast shutdown, SIGTERM for the rest.

    The two servers overwrite the memory that /proc/…/environ shows, but always work inside their folders.
    """
    mark = f"{MARK}={data}".encode()
    cluster = cluster_path(data)
    found = {}
    for entry in _processes():
        if _works_in(entry, cluster, "postgres"):
            found[int(entry.name)] = signal.SIGINT
        elif _works_in(entry, data / "redis", "redis-server") or _carries(entry, mark):
            found[int(entry.name)] = signal.SIGTERM
    found.pop(os.getpid(), None)
    return found


def _processes() -> list[Path]:
    return [entry for entry in _PROC.iterdir() if entry.name.isdigit()] if _PROC.is_dir() else []


def _works_in(entry: Path, folder: Path, program: str) -> bool:
    with suppress(OSError):
        return (entry / "cwd").readlink() == folder and (entry / "comm").read_text().strip() == program
    return False


def _carries(entry: Path, mark: bytes) -> bool:
    with suppress(OSError):
        return mark in (entry / "environ").read_bytes().split(b"\0") and not _is_zombie(entry)
    return False


def _is_zombie(entry: Path) -> bool:
    return (entry / "stat").read_text(errors="replace").rpartition(") ")[2].startswith("Z")


def _send(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)
