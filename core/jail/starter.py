"""Has the jail's children born: one nursery (`core.jail.nursery`) for this process, started when it is first needed."""

import atexit
import contextlib
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import orjson

_PROJECT = Path(__file__).resolve().parents[2]
_ANSWER = struct.Struct("=i")

# After so many children a new nursery takes over. All children of one have the same layout of memory, so what one file
# betrays of it is worth something to the next one only until then.
JOBS = 64
# Seconds that a birth may take, of which it takes some thousandths; then the nursery counts as stuck.
BIRTH_SECONDS = 20.0

# One thread and few malloc arenas each reserve less of the address space that RLIMIT_AS counts.
_ENVIRONMENT = {
    "LANG": "C.UTF-8",
    "HOME": "/nonexistent",
    "MALLOC_ARENA_MAX": "2",
    "RAYON_NUM_THREADS": "1",
    "TOKIO_WORKER_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "OMP_THREAD_LIMIT": "1",
    "OPENBLAS_NUM_THREADS": "1",
}


@dataclass
class Child:
    """A child of this process, the first of its own process group. `returncode` is as subprocess has it."""

    pid: int
    returncode: int | None = None

    def kill_group(self) -> None:
        # Until the child is reaped its process id, which is the group's, belongs to nobody else.
        if self.returncode is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)

    def end(self) -> None:
        """Kill what is left of it and reap it."""
        self.kill_group()
        if self.returncode is None:
            self.returncode = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


@dataclass
class _Server:
    process: "subprocess.Popen[bytes]"
    link: socket.socket
    left: int = JOBS

    def end(self) -> None:
        """Tell it that nobody will ask again: it does what it was asked before, and leaves."""
        self.link.close()
        self.process.wait()


class Nursery:
    """The nursery of this process. Threads share it; a fork of this process does not."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._server: _Server | None = None
        self._keeper = _keeper()

    def bear(self, descriptors: Sequence[int], modules: Sequence[str]) -> Child:
        """A new child. `descriptors` are its standard input, output and errors, its order and perhaps its reports.

        `modules` are loaded before, once for all children. Raises OSError where no child can be started.
        """
        # A nursery that was killed is noticed by the first who asks.
        for _ in range(2):
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            with ours, theirs:
                try:
                    ours.settimeout(BIRTH_SECONDS)
                    server = self._ask(theirs, descriptors, modules)
                    theirs.close()
                    pid = self._answer_of(server, ours)
                except BaseException:
                    # whoever interrupts this must not leave somebody behind of whom nobody knows
                    theirs.close()
                    if (born := _answered(ours)) > 0:
                        Child(born).end()
                    raise
            if pid > 0:
                return Child(pid)
            if pid < 0:
                raise OSError(-pid, os.strerror(-pid))
            self._lost(server)
        raise OSError("the jail's nursery ends as soon as it is asked for a child")

    def forget(self) -> None:
        """After a fork: the nursery belongs to the process that started it."""
        if self._server is not None:
            self._server.link.close()
            # it is not this process's child, and nothing to wait for
            self._server.process.returncode = 0
        self._lock, self._server, self._keeper = threading.Lock(), None, _keeper()

    def close(self) -> None:
        with self._lock:
            server, self._server = self._server, None
        if server is not None:
            server.end()

    def _ask(self, answer: socket.socket, descriptors: Sequence[int], modules: Sequence[str]) -> _Server:
        with self._lock:
            server = self._server or self._keeper.submit(_open).result()
            server.left -= 1
            self._server = server if server.left > 0 else None
            # where it is gone or stuck, the answer is its silence
            with contextlib.suppress(BrokenPipeError, ConnectionResetError, TimeoutError):
                socket.send_fds(server.link, [orjson.dumps(list(modules))], [answer.fileno(), *descriptors])
        if server.left <= 0:
            server.end()
        return server

    def _answer_of(self, server: _Server, link: socket.socket) -> int:
        try:
            return _answered(link)
        except TimeoutError:
            self._lost(server)
            # it may have answered at the last moment; now nobody holds the other end
            return _answered(link)

    def _lost(self, server: _Server) -> None:
        with self._lock:
            if self._server is server:
                self._server = None
        server.process.kill()
        server.end()


def _keeper() -> ThreadPoolExecutor:
    """The one thread that starts nurseries, which ends with this process.

    The kernel takes it for the parent of what is born there, and kills those when it ends.
    """
    return ThreadPoolExecutor(max_workers=1, thread_name_prefix="jail-nursery")


def _open() -> _Server:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    command = [sys.executable, "-E", "-s", "-B", "-X", "utf8", "-m", "core.jail.nursery"]
    with theirs:
        process = subprocess.Popen(
            [*command, str(theirs.fileno()), str(os.getpid())],
            cwd=_PROJECT,
            env=_ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
            start_new_session=True,
        )
    ours.settimeout(BIRTH_SECONDS)
    return _Server(process, ours)


def _answered(link: socket.socket) -> int:
    """The child's process id, an error number below 0, or 0 where nobody is left to tell. Can be asked again."""
    data = link.recv(_ANSWER.size, socket.MSG_PEEK)
    return int(_ANSWER.unpack(data)[0]) if data else 0


nursery = Nursery()
os.register_at_fork(after_in_child=nursery.forget)
atexit.register(nursery.close)
