"""What came in: every request with its headers, body and times, and whether the client stayed to the end."""

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(slots=True)
class Entry:
    """Times are those of the monotonic clock, in seconds; it is the same for all processes of a machine."""

    number: int
    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: Any
    received: float = field(default_factory=time.monotonic)
    first_byte: float | None = None
    finished: float | None = None
    disconnected: float | None = None
    peer: str = ""
    deltas: int = 0
    status: int = 200
    raw: bytes = field(default=b"", repr=False)
    """The body as it came, byte for byte; the log that programs read has it parsed only."""

    def to_json(self) -> dict[str, Any]:
        return {name: value for name, value in asdict(self).items() if name != "raw"}


class Journal:
    def __init__(self) -> None:
        self.entries: list[Entry] = []

    def open(self, *, method: str, path: str, query: Mapping[str, str], headers: Mapping[str, str], body: Any) -> Entry:
        lower = {name.lower(): value for name, value in headers.items()}
        entry = Entry(len(self.entries), method, path, dict(query), lower, body)
        self.entries.append(entry)
        return entry

    def clear(self) -> None:
        self.entries.clear()
