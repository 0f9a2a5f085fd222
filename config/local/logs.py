"""The children's output: each line into a log file of bounded size, the important ones to the terminal too."""

import os
import re
import time
from collections import deque
from contextlib import suppress
from pathlib import Path

MAX_BYTES = 5 * 1024 * 1024
MAX_LINE = 16 * 1024


class LogFile:
    """Appends lines; at `max_bytes` the file becomes `….1` (the former one is dropped) and a new one begins."""

    def __init__(self, path: Path, *, max_bytes: int = MAX_BYTES) -> None:
        self.path = path
        self._max_bytes = max_bytes
        self._open()

    def write(self, line: bytes) -> None:
        if self._size + len(line) + 1 > self._max_bytes:
            self._file.close()
            self.path.replace(self.path.with_name(self.path.name + ".1"))
            self._open()
        with suppress(OSError):  # a full disk must not end the supervisor
            self._size += self._file.write(line + b"\n")

    def close(self) -> None:
        self._file.close()

    def _open(self) -> None:
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600)
        self._file = os.fdopen(descriptor, "ab", buffering=0)
        self._size = self._file.seek(0, os.SEEK_END)


class Lines:
    """Cuts a stream of bytes into lines and remembers the last ones; over-long lines are cut at `MAX_LINE` bytes."""

    def __init__(self, keep: int = 40) -> None:
        self.last: deque[str] = deque(maxlen=keep)
        self._rest = b""

    def feed(self, data: bytes) -> list[bytes]:
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > MAX_LINE:
            lines.append(self._rest)
            self._rest = b""
        return self._remember([line[:MAX_LINE].rstrip(b"\r") for line in lines])

    def finish(self) -> list[bytes]:
        """What stands after the last line end."""
        rest, self._rest = self._rest, b""
        return self._remember([rest] if rest else [])

    def _remember(self, lines: list[bytes]) -> list[bytes]:
        self.last.extend(line.decode(errors="replace") for line in lines)
        return lines


class Shown:
    """Which lines belong on the terminal: those that match, at most `limit` in `window` seconds."""

    def __init__(self, pattern: str, *, limit: int = 20, window: float = 10.0) -> None:
        self._pattern = re.compile(pattern)
        self._limit = limit
        self._window = window
        self._times: deque[float] = deque(maxlen=limit)

    def admits(self, line: str) -> bool:
        if not self._pattern.search(line):
            return False
        now = time.monotonic()
        if len(self._times) == self._limit and now - self._times[0] < self._window:
            return False
        self._times.append(now)
        return True
