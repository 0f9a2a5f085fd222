"""How far the jailed function is: it tells pages done, its parent hears numbers and believes only what can be true.

A pipe of its own carries frames of fixed size, so that nothing has to be parsed and a frame is written whole or not
at all. The pipe never blocks the writer: a report that finds it full is left out.
"""

import contextlib
import math
import os
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass

OnProgress = Callable[[int, int], None]

# The most that is believed: a total above it is no count of pages.
MOST = 10_000_000
# Between two reports, both where they are written and where they are heard. Only the last one comes at once.
INTERVAL = 0.1
# What one run may write here before nobody listens any more: at the interval more than a day of reports.
ALLOWANCE_BYTES = 16 * 1024 * 1024

_FRAME = struct.Struct("<QQ")
_READ_BYTES = 1 << 16


@dataclass
class _Pipe:
    """Where this process reports to; nowhere outside of the jail."""

    descriptor: int = -1
    told: float = 0.0


_pipe = _Pipe()


def open_pipe(descriptor: int) -> None:
    """Report to this descriptor from now on (inside the jail)."""
    os.set_blocking(descriptor, False)
    _pipe.descriptor = descriptor


def report(done: int, total: int) -> None:
    """Tell that `done` of `total` units (pages, mostly) are read. Cheap enough to be called for each of them."""
    if _pipe.descriptor < 0:
        return
    now = time.monotonic()
    if done < total and now - _pipe.told < INTERVAL:
        return
    _pipe.told = now
    # full, or nobody reads it any more: what is told here may be missed
    with contextlib.suppress(BlockingIOError, BrokenPipeError):
        os.write(_pipe.descriptor, _FRAME.pack(done, total))


@dataclass
class Listener:
    """The parent's side: turns what the child wrote into calls of `on_progress`.

    Frames that cannot be true (more done than there is, totals beyond MOST, going back) are ignored.
    """

    descriptor: int
    on_progress: OnProgress
    _rest: bytes = b""
    _heard: int = 0
    _done: int = -1
    _called: float = -math.inf

    def read(self) -> bool:
        """Read what is there. False where there will be nothing more to hear."""
        block = os.read(self.descriptor, _READ_BYTES)
        self._heard += len(block)
        data = self._rest + block
        whole = len(data) - len(data) % _FRAME.size
        self._rest = data[whole:]
        for done, total in _FRAME.iter_unpack(data[:whole]):
            self._hear(done, total)
        return bool(block) and self._heard <= ALLOWANCE_BYTES

    def _hear(self, done: int, total: int) -> None:
        if not self._done < done <= total <= MOST:
            return
        self._done = done
        now = time.monotonic()
        if done == total or now - self._called >= INTERVAL:
            self._called = now
            self.on_progress(done, total)
