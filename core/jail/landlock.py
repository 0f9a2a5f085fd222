"""Hides the file system but for what is needed to run Python, and makes all of it read-only (landlock(7)).

The kernel has it since 5.13; newer versions also refuse TCP, and signals and abstract sockets to others.
"""

import ctypes
import os
import struct
from collections.abc import Iterable
from pathlib import Path

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_VERSION = 1  # LANDLOCK_CREATE_RULESET_VERSION
_PATH_BENEATH = 1

_READ_FILE, _READ_DIRECTORY = 1 << 2, 1 << 3
_FILE_RIGHTS_BY_VERSION = {
    1: (1 << 13) - 1,
    2: (1 << 14) - 1,
    3: (1 << 15) - 1,
    4: (1 << 15) - 1,
    5: (1 << 16) - 1,
}
_TCP_RIGHTS = 0b11  # bind, connect
_SCOPES = 0b11  # abstract Unix sockets, signals


def restrict(readable: Iterable[Path]) -> bool:
    """Leave this process nothing but reading below `readable`. False where the kernel has no Landlock.

    Applies to this thread and those it starts, for good; needs PR_SET_NO_NEW_PRIVS to be set.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    version = libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), _VERSION)
    if version < 1:
        return False
    attributes = struct.pack("=Q", _FILE_RIGHTS_BY_VERSION[min(version, 5)])
    if version >= 4:
        attributes += struct.pack("=Q", _TCP_RIGHTS)
    if version >= 6:
        attributes += struct.pack("=Q", _SCOPES)
    ruleset = libc.syscall(_CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes)), 0)
    if ruleset < 0:
        return False
    try:
        for path in readable:
            _allow_reading(libc, ruleset, path)
        return bool(libc.syscall(_RESTRICT_SELF, ruleset, 0) == 0)
    finally:
        os.close(ruleset)


def _allow_reading(libc: ctypes.CDLL, ruleset: int, path: Path) -> None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return  # what is not there, or not ours to see, needs no permission
    try:
        rights = _READ_FILE | (_READ_DIRECTORY if path.is_dir() else 0)
        rule = struct.pack("=Qi", rights, descriptor)
        if libc.syscall(_ADD_RULE, ruleset, _PATH_BENEATH, rule, 0):
            raise OSError(ctypes.get_errno(), f"a Landlock rule for {path} was refused")
    finally:
        os.close(descriptor)
