"""The outside of the jail: has a child born, watches it, kills it, and turns what happened into an
outcome.
"""

import contextlib
import os
import selectors
import signal
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, NamedTuple

import orjson

from core.jail.outcome import Failure, FailureCode, Json, Limits, Outcome, Value
from core.jail.progress import Listener, OnProgress
from core.jail.starter import Child, nursery

_HEADER_BYTES = 64 * 1024
_DIAGNOSTICS_BYTES = 4096
_READ_BYTES = 1 << 16

# What allocators say before they abort: Rust's, C++'s, glibc's.
_OUT_OF_MEMORY = (b"memory allocation of", b"std::bad_alloc", b"out of memory", b"Cannot allocate memory")


def run(
    function: str,
    *,
    data: bytes | Path = b"",
    arguments: Mapping[str, Json] | None = None,
    limits: Limits | None = None,
    on_progress: OnProgress | None = None,
    modules: Sequence[str] = (),
) -> Outcome:
    """Call `function` ("module:name") as `name(data, **arguments)` in a jailed child process and wait for it.

    `data` is bytes or the path of a file; the child gets an open descriptor, not the path. The function
    returns something orjson can write, or bytes. `on_progress(done, total)` is called in this thread with what
    the function reports (`core.jail.progress.report`), a few times a second at most; what it raises ends the
    child and comes out here. `modules` are loaded before there is a child, once for many: what the function
    needs of our code and Python's, nothing that starts threads or reads documents in native code. Otherwise raises
    OSError only where the file cannot be opened or the child not be started.
    """
    limits = limits or Limits()
    order = {"function": function, "arguments": arguments or {}, "limits": asdict(limits)}
    with contextlib.ExitStack() as ours, contextlib.ExitStack() as given:
        descriptors = [given.enter_context(_opened(data)).fileno()]
        output, errors, *reports = [_pipe(ours, given) for _ in range(2 if on_progress is None else 3)]
        paper = given.enter_context(_opened(orjson.dumps(order))).fileno()
        descriptors += [output.theirs, errors.theirs, paper, *(pipe.theirs for pipe in reports)]
        child = nursery.bear(descriptors, modules)
        try:
            given.close()  # or the ends of what the child writes would never be reached
            listener = Listener(reports[0].ours, on_progress) if on_progress is not None else None
            return _Watch(child, limits, output.ours, errors.ours, listener).outcome()
        finally:
            child.end()


class _Pipe(NamedTuple):
    ours: int
    theirs: int


def _pipe(ours: contextlib.ExitStack, theirs: contextlib.ExitStack) -> _Pipe:
    """A pipe to read from here, each end of which is closed with its stack."""
    pipe = _Pipe(*os.pipe())
    ours.callback(os.close, pipe.ours)
    theirs.callback(os.close, pipe.theirs)
    return pipe


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

    child: Child
    limits: Limits
    answer: int
    errors: int
    listener: Listener | None = None
    output: bytearray = field(default_factory=bytearray)
    diagnostics: bytearray = field(default_factory=bytearray)
    stopped: FailureCode | None = None

    def outcome(self) -> Outcome:
        self._follow()
        self.child.end()
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
            for descriptor in (self.answer, self.errors):
                selector.register(descriptor, selectors.EVENT_READ)
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
                        self.child.kill_group()
                        selector.unregister(exited)
                    elif not self._read(key.fd):
                        selector.unregister(key.fileobj)

    def _read(self, descriptor: int) -> bool:
        if self.listener is not None and descriptor == self.listener.descriptor:
            return self.listener.read()
        block = os.read(descriptor, _READ_BYTES)
        if descriptor == self.answer:
            self.output += block
            if len(self.output) > self.limits.output_bytes + _HEADER_BYTES:
                self.stopped = FailureCode.OUTPUT_LIMIT
        else:
            self.diagnostics += block
            del self.diagnostics[:-_DIAGNOSTICS_BYTES]
        return bool(block)

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
