"""The outside of the jail: starts the child, watches it, kills it, and turns what happened into an
outcome.
"""

import contextlib
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO

import orjson

from core.jail.outcome import Failure, FailureCode, Json, Limits, Outcome, Value
from core.jail.progress import Listener, OnProgress

_PROJECT = Path(__file__).resolve().parents[2]
_HEADER_BYTES = 64 * 1024
_DIAGNOSTICS_BYTES = 4096
_READ_BYTES = 1 << 16

# What allocators say before they abort: Rust's, C++'s, glibc's.
_OUT_OF_MEMORY = (b"memory allocation of", b"std::bad_alloc", b"out of memory", b"Cannot allocate memory")

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


def run(
    function: str,
    *,
    data: bytes | Path = b"",
    arguments: Mapping[str, Json] | None = None,
    limits: Limits | None = None,
    on_progress: OnProgress | None = None,
) -> Outcome:
    """Call `function` ("module:name") as `name(data, **arguments)` in a jailed child process and wait for it.

    `data` is bytes or the path of a file; the child gets an open descriptor, not the path. The function
    returns something orjson can write, or bytes. `on_progress(done, total)` is called in this thread with what
    the function reports (`core.jail.progress.report`), a few times a second at most; what it raises ends the
    child and comes out here. Otherwise raises OSError only where the file or the child cannot be opened.
    """
    limits = limits or Limits()
    with _opened(data) as source, _progress_pipe(on_progress) as (listener, reports):
        pipe = reports.fileno() if reports else -1
        order = {"function": function, "arguments": arguments or {}, "limits": asdict(limits), "progress": pipe}
        with _opened(orjson.dumps(order)) as paper:
            child = _start(source, paper.fileno(), pipe)
        if reports:
            reports.close()  # or its end would never be reached
        with child:
            return _Watch(child, limits, listener).outcome()


def _start(source: IO[bytes], paper: int, reports: int) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-E", "-s", "-B", "-X", "utf8", "-m", "core.jail.child"]
    return subprocess.Popen(
        [*command, str(paper), str(os.getpid())],
        cwd=_PROJECT,
        env=_ENVIRONMENT,
        stdin=source,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        pass_fds=[descriptor for descriptor in (paper, reports) if descriptor >= 0],
        start_new_session=True,
    )


@contextlib.contextmanager
def _progress_pipe(on_progress: OnProgress | None) -> Iterator[tuple[Listener | None, IO[bytes] | None]]:
    """The two ends of the pipe for reports, where somebody wants to hear them."""
    if on_progress is None:
        yield None, None
        return
    ours, theirs = os.pipe()
    with os.fdopen(ours, "rb", buffering=0), os.fdopen(theirs, "wb", buffering=0) as reports:
        yield Listener(ours, on_progress), reports


@contextlib.contextmanager
def _opened(data: bytes | Path) -> Iterator[IO[bytes]]:
    if isinstance(data, Path):
        with data.open("rb") as stream:
            yield stream
        return
    with tempfile.TemporaryFile() as stream:
        stream.write(data)
        stream.seek(0)
        yield stream


@dataclass
class _Watch:
    """One child from its start to its end."""

    child: subprocess.Popen[bytes]
    limits: Limits
    listener: Listener | None = None
    output: bytearray = field(default_factory=bytearray)
    diagnostics: bytearray = field(default_factory=bytearray)
    stopped: FailureCode | None = None

    def outcome(self) -> Outcome:
        try:
            self._follow()
        finally:
            self._kill()
        if self.stopped is FailureCode.TIMEOUT:
            return _timeout(f"it took longer than {self.limits.wall_seconds:g} seconds")
        if self.stopped is not None:
            return Failure(code=self.stopped, message=f"it wrote more than {self.limits.output_bytes} bytes")
        return _read_answer(bytes(self.output)) or self._read_death()

    def _follow(self) -> None:
        deadline = time.monotonic() + self.limits.wall_seconds
        exited = os.pidfd_open(self.child.pid)
        with selectors.DefaultSelector() as selector, os.fdopen(exited, "rb", buffering=0):
            selector.register(exited, selectors.EVENT_READ)
            for stream in (self.child.stdout, self.child.stderr):
                if stream is not None:
                    selector.register(stream, selectors.EVENT_READ)
            if self.listener is not None:
                selector.register(self.listener.descriptor, selectors.EVENT_READ)
            while selector.get_map() and self.stopped is None:
                left = deadline - time.monotonic()
                if left <= 0:
                    self.stopped = FailureCode.TIMEOUT
                    return
                for key, _ in selector.select(left):
                    if key.fileobj == exited:
                        # Descendants that hold the pipes open must not hold us up.
                        self._kill_group()
                        selector.unregister(exited)
                    elif not self._read(key.fd):
                        selector.unregister(key.fileobj)

    def _read(self, descriptor: int) -> bool:
        if self.listener is not None and descriptor == self.listener.descriptor:
            return self.listener.read()
        block = os.read(descriptor, _READ_BYTES)
        if self.child.stdout is not None and descriptor == self.child.stdout.fileno():
            self.output += block
            if len(self.output) > self.limits.output_bytes + _HEADER_BYTES:
                self.stopped = FailureCode.OUTPUT_LIMIT
        else:
            self.diagnostics += block
            del self.diagnostics[:-_DIAGNOSTICS_BYTES]
        return bool(block)

    def _kill(self) -> None:
        self._kill_group()
        self.child.wait()

    def _kill_group(self) -> None:
        # Until the child is reaped its process id, which is the group's, belongs to nobody else.
        if self.child.returncode is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.child.pid, signal.SIGKILL)

    def _read_death(self) -> Failure:
        status = self.child.returncode
        said = bytes(self.diagnostics)
        if any(words in said for words in _OUT_OF_MEMORY):
            return Failure(code=FailureCode.MEMORY, message="it needed more memory than it may have")
        if status == -signal.SIGXCPU:
            return _timeout(f"it used more than {self.limits.cpu_seconds} seconds of CPU")
        last = said.decode(errors="replace").strip().rpartition("\n")[2]
        if status is not None and status < 0:
            message = f"it was ended by {signal.Signals(-status).name}"
            return Failure(code=FailureCode.CRASH, message=f"{message}: {last}" if last else message, signal=-status)
        return Failure(code=FailureCode.CRASH, message=last or f"it exited with status {status} and no answer")


def _timeout(message: str) -> Failure:
    return Failure(code=FailureCode.TIMEOUT, message=message)


def _read_answer(output: bytes) -> Outcome | None:
    """The answer the child wrote, or None where it is missing or broken: the child is not to be trusted
    either.
    """
    line, newline, body = output.partition(b"\n")
    try:
        header = orjson.loads(line) if newline else None
        if not isinstance(header, dict):
            return None
        if header["kind"] == "failure":
            return Failure(code=FailureCode(header["code"]), message=str(header["message"]), error=str(header["error"]))
        protections = frozenset(str(name) for name in header["protections"])
        result = body if header["kind"] == "bytes" else orjson.loads(body)
        return Value(result=result, protections=protections)
    except (ValueError, KeyError, TypeError):
        return None
