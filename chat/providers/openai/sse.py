"""Splits a byte stream into server-sent events and decodes their JSON.

Written for cost (a few hundred nanoseconds for each event) and for what servers really send: any line end, a byte
order mark, comments, frames that carry only `id` or `retry`, a last frame without its blank line, and chunk
borders anywhere, inside a character too. The form is that of the WHATWG "Server-sent events" chapter; where it
drops an unfinished last frame, it is kept here, since whole answers have been lost that way.
"""

import json
from functools import lru_cache
from typing import Any, NamedTuple

import orjson

MAX_FRAME_BYTES = 64 * 1024 * 1024
_BOM = b"\xef\xbb\xbf"


class FrameTooLargeError(ValueError):
    """A frame grew beyond `MAX_FRAME_BYTES`."""


class Frame(NamedTuple):
    """One event: its `event` field ("" where there is none) and its data lines, joined with a line feed."""

    event: str
    data: bytes


class Splitter:
    """Feed it chunks; it returns the frames that became whole. `close` gives the last one."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._searched = 0
        self._after_cr = False
        self._head: bytes | None = b""

    def feed(self, chunk: bytes) -> list[Frame]:
        if self._head is not None:
            chunk = self._without_mark(chunk)
        if self._after_cr or b"\r" in chunk:
            chunk = self._with_line_feeds(chunk)
        buffer = self._buffer
        if not buffer and chunk.endswith(b"\n\n"):
            # the usual case: whole frames, which need not go through the buffer
            return [frame for block in chunk[:-2].split(b"\n\n") if (frame := _parse(block)) is not None]
        buffer += chunk
        frames: list[Frame] = []
        start = 0
        search = self._searched
        while (end := buffer.find(b"\n\n", search)) >= 0:
            if (frame := _parse(bytes(buffer[start:end]))) is not None:
                frames.append(frame)
            start = search = end + 2
        if start:
            del buffer[:start]
        if len(buffer) > MAX_FRAME_BYTES:
            raise FrameTooLargeError
        self._searched = max(0, len(buffer) - 1)
        return frames

    def close(self) -> list[Frame]:
        """The frame that the end of the stream left without a blank line."""
        rest = (self._head or b"") + bytes(self._buffer)
        self._buffer.clear()
        self._head = None
        frame = _parse(rest)
        return [] if frame is None else [frame]

    def _without_mark(self, chunk: bytes) -> bytes:
        head = (self._head or b"") + chunk
        if len(head) < len(_BOM) and _BOM.startswith(head):
            self._head = head
            return b""
        self._head = None
        return head.removeprefix(_BOM)

    def _with_line_feeds(self, chunk: bytes) -> bytes:
        if self._after_cr and chunk:
            chunk = chunk.removeprefix(b"\n")
            self._after_cr = False
        if chunk.endswith(b"\r"):
            self._after_cr = True
        return chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


def _parse(block: bytes) -> Frame | None:
    """The frame of one block of lines, or None where it carries no data."""
    first, _, rest = block.partition(b"\n")
    if first.startswith(b"event:") and rest.startswith(b"data:") and b"\n" not in rest:
        return Frame(_name(first), rest[6:] if rest.startswith(b"data: ") else rest[5:])
    event = ""
    data: list[bytes] = []
    for line in block.split(b"\n"):
        if line.startswith(b"data:"):
            data.append(line[6:] if line.startswith(b"data: ") else line[5:])
        elif line.startswith(b"event:"):
            event = _name(line)
    return Frame(event, b"\n".join(data)) if data else None


@lru_cache(maxsize=256)
def _name(line: bytes) -> str:
    return line[6:].strip().decode("utf-8", "replace")


def is_done(data: bytes) -> bool:
    """Whether the data is the end marker that some servers send after the last event, or ends with it."""
    return not data.endswith(b"}") and data.rpartition(b"\n")[2].strip(b' \t"').startswith(b"[DONE]")


def decode(frame: Frame) -> list[dict[str, Any]]:
    """The JSON objects of a frame; none where it cannot be read.

    The type falls back to the frame's `event` field. Data lines that do not join to one JSON text are read one by
    one, since some servers leave out the blank lines between events.
    """
    payload = _loads(frame.data)
    if type(payload) is dict and payload.get("type") and frame.event != "error":
        return [payload]
    return _decode_unusual(frame, payload)


def _decode_unusual(frame: Frame, payload: Any) -> list[dict[str, Any]]:
    if payload is None and b"\n" in frame.data:
        payloads = [_loads(line) for line in frame.data.split(b"\n") if not is_done(line)]
    else:
        payloads = [payload]
    events = [value for value in payloads if isinstance(value, dict)]
    if frame.event == "error":
        return [_error(event) for event in events] or [_error(frame.data.decode("utf-8", "replace").strip(' "'))]
    if frame.event and len(events) == 1 and not events[0].get("type"):
        return [{**events[0], "type": frame.event}]
    return events


def _error(said: Any) -> dict[str, Any]:
    """An event that calls itself an error is one, also where the `type` within says what kind of error it is."""
    if isinstance(said, str):
        return {"type": "error", "message": said}
    kind = said.get("type")
    if not kind:
        return {**said, "type": "error"}
    return said if str(kind).startswith(("error", "response.")) else {"type": "error", "error": said}


def _loads(data: bytes) -> Any:
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        return _loads_leniently(data)


def _loads_leniently(data: bytes) -> Any:
    """Reads what orjson rejects: halves of surrogate pairs (a delta may end inside an emoji), bytes that are not
    UTF-8, NaN, line ends within a text. A top-level `delta` keeps its halves: the next one may bring the other."""
    try:
        value = json.loads(data.decode("utf-8", "replace"), strict=False)
        if not isinstance(value, dict):
            return None
        return {key: part if key == "delta" else mend(part) for key, part in value.items()}
    except (ValueError, RecursionError):
        return None


def mend(value: Any) -> Any:
    """The value with surrogate pairs joined and single halves replaced, so that it can be encoded again."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [mend(part) for part in value]
    if isinstance(value, dict):
        return {mend(key): mend(part) for key, part in value.items()}
    return value
