"""Takes everything from the current process that the code it is about to run must not have."""

import contextlib
import ctypes
import os
import resource
import signal
import struct
import sys
from pathlib import Path

from core.jail import landlock, seccomp
from core.jail.outcome import Limits

_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000
_PR_SET_PDEATHSIG = 1
_CAPABILITY_VERSION_3 = 0x20080522

_PROJECT = Path(__file__).resolve().parents[2]


def confine(limits: Limits, *, parent: int) -> frozenset[str]:
    """Confine this process for good; returns the names of the protections in force.

    `parent` is the process that must outlive this one. The system call filter is not optional: raises OSError
    where it cannot be had. Landlock and the network namespace come on top where the kernel grants them.
    """
    if sys.platform != "linux":
        raise OSError("the jail needs Linux")
    libc = ctypes.CDLL(None, use_errno=True)
    _volunteer_for_the_oom_killer()
    in_force = {"seccomp"}
    if libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET) == 0:
        in_force.add("namespace")
    _drop_capabilities(libc)
    # Last among the changes of credentials, which clear it.
    libc.prctl(_PR_SET_PDEATHSIG, ctypes.c_ulong(signal.SIGKILL))
    if os.getppid() != parent:
        raise OSError("the parent is gone")
    os.chdir("/")
    _set_limits(limits)
    readable = _readable()
    libc.prctl(seccomp.PR_SET_NO_NEW_PRIVS, *(ctypes.c_ulong(value) for value in (1, 0, 0, 0)))
    if landlock.restrict(readable):
        in_force.add("landlock")
    seccomp.install()
    return frozenset(in_force)


def _volunteer_for_the_oom_killer() -> None:
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")


def _drop_capabilities(libc: ctypes.CDLL) -> None:
    header = struct.pack("=Ii", _CAPABILITY_VERSION_3, 0)
    if libc.capset(header, bytes(24)):
        raise OSError(ctypes.get_errno(), "capabilities could not be dropped")


def _set_limits(limits: Limits) -> None:
    for which, value in (
        (resource.RLIMIT_AS, limits.memory_bytes),
        (resource.RLIMIT_NOFILE, limits.open_files),
        (resource.RLIMIT_FSIZE, limits.file_bytes),
        (resource.RLIMIT_CORE, 0),
    ):
        _, hard = resource.getrlimit(which)
        bound = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(which, (bound, bound))
    # SIGXCPU at the soft limit tells a timeout from a kill; the hard one is for code that ignores it.
    resource.setrlimit(resource.RLIMIT_CPU, (limits.cpu_seconds, limits.cpu_seconds + 2))


def _readable() -> list[Path]:
    ours = [path.parent for path in _PROJECT.glob("*/__init__.py")]
    libraries = [Path(entry).resolve() for entry in sys.path if entry and Path(entry).resolve() != _PROJECT]
    python = [Path(sys.prefix).resolve(), Path(sys.base_prefix).resolve()]
    system = [Path(name) for name in ("/usr", "/lib", "/lib64", "/etc/ld.so.cache", "/dev/null", "/dev/urandom")]
    return [*ours, *libraries, *python, *system]
