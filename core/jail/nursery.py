"""Bears the jail's children: `python -m core.jail.nursery <descriptor of its socket> <its owner's process id>`.

A process that has done what every child would do first, start Python and load modules, and from then on only waits:
for each request it forks. It knows nothing: its environment is the child's, it never reads a request's order or data,
which travel as descriptors, and it holds nothing of one request when the next one comes. It ends with its owner.

Its children are its owner's (CLONE_PARENT), as if that had started them: who waits for them, kills them, is charged for
them and takes them along when it dies is the owner alone. What becomes of the nursery does not touch them.
"""

import contextlib
import ctypes
import gc
import importlib
import os
import signal
import socket
import struct
import sys

import orjson

from core.jail import child

MESSAGE_BYTES = 4096
MOST_DESCRIPTORS = 6
# standard input, output and errors
STANDARD = 3

# What a request is answered with: the process id of the child, from itself, or an error number below 0.
ANSWER = struct.Struct("=i")

_CLONE_PARENT = 0x00008000
_CLONE = {"x86_64": 56, "aarch64": 220}


def main() -> None:
    os.chdir("/")
    gc.freeze()
    given = serve(socket.socket(fileno=int(sys.argv[1])))
    if given:
        paper, *reports = given
        child.main(paper, reports[0] if reports else None, parent=int(sys.argv[2]))


def serve(link: socket.socket) -> list[int]:
    """Fork for every request until nobody can ask any more.

    Returns twice: in a child with the descriptors of its order and, where wanted, for its reports; in the nursery, at
    its end, with none. So a child runs on from `main`, with nothing of this above it.
    """
    while True:
        message, descriptors, _, _ = socket.recv_fds(link, MESSAGE_BYTES, MOST_DESCRIPTORS)
        if not message:
            return []
        for module in orjson.loads(message):
            # a child that cannot do without it says so itself
            with contextlib.suppress(ImportError):
                importlib.import_module(module)
        answer, *given = descriptors
        try:
            pid = _fork_for_the_owner()
        except OSError as error:
            os.write(answer, ANSWER.pack(-(error.errno or 1)))
        else:
            if pid == 0:
                link.detach()
                return _settle(answer, given)
        for descriptor in descriptors:
            os.close(descriptor)


def _settle(answer: int, given: list[int]) -> list[int]:
    """Make this new process one of its own, with nothing open but what it was given."""
    os.setsid()
    os.write(answer, ANSWER.pack(os.getpid()))
    for number, descriptor in enumerate(given[:STANDARD]):
        os.dup2(descriptor, number)
    low = STANDARD
    for kept in sorted(given[STANDARD:]):
        os.closerange(low, kept)
        low = kept + 1
    os.closerange(low, os.sysconf("SC_OPEN_MAX"))
    return given[STANDARD:]


def _fork_for_the_owner() -> int:
    """`os.fork`, but the child's parent is this process's parent. Raises OSError.

    Neither Python nor libc has a call for that, so Python is told as its own fork tells it. libc is not: what it would
    put in order are locks of other threads, of which there are none here.
    """
    python = ctypes.PyDLL(None, use_errno=True)
    python.PyOS_BeforeFork.restype = None
    python.PyOS_AfterFork_Child.restype = None
    python.PyOS_AfterFork_Parent.restype = None
    python.syscall.restype = ctypes.c_long
    number = _CLONE[os.uname().machine]
    nothing = ctypes.c_ulong(0)
    python.PyOS_BeforeFork()
    flags = ctypes.c_ulong(_CLONE_PARENT | signal.SIGCHLD)
    pid: int = python.syscall(ctypes.c_long(number), flags, nothing, nothing, nothing, nothing)
    error = ctypes.get_errno()
    if pid == 0:
        python.PyOS_AfterFork_Child()
    else:
        python.PyOS_AfterFork_Parent()
    if pid < 0:
        raise OSError(error, os.strerror(error))
    return pid


if __name__ == "__main__":
    main()
