"""The log of a running turn in Redis: numbered events under (turn, epoch), for watchers in other processes.

Who writes it is in `writing`, who reads it in `hub`.
"""

import uuid
from dataclasses import asdict
from typing import Any

import orjson

from chat import events
from core.redis import key

# Seconds that a log outlives its last event: long enough for any watcher to catch up.
LIFETIME = 900

# Seconds that a reader's wish to follow a log closely lives; the reader repeats it.
FOLLOWED_SECONDS = 6

_KINDS: dict[str, type[Any]] = {
    "state": events.StateChanged,
    "text": events.TextAdded,
    "replaced": events.TextReplaced,
    "passages": events.PassagesFound,
    "call": events.CallStarted,
    "called": events.CallFinished,
    "ended": events.Ended,
}
_NAMES = {kind: name for name, kind in _KINDS.items()}

Numbered = tuple[int, events.TurnEvent]


def stream_key(turn: uuid.UUID, epoch: int) -> str:
    return key("turn", turn, epoch)


def followed_key(turn: uuid.UUID, epoch: int) -> str:
    """Exists while another process follows the log."""
    return key("turn", turn, epoch, "followed")


def encode(number: int, event: events.TurnEvent) -> dict[str, bytes | int]:
    """Return the fields of a stream entry."""
    return {"n": number, "k": _NAMES[type(event)].encode(), "d": orjson.dumps(asdict(event))}


def decode(fields: dict[bytes, bytes]) -> Numbered:
    """Return number and event of a stream entry; raises `KeyError` or `ValueError` for what we did not write."""
    kind = _KINDS[fields[b"k"].decode()]
    data = orjson.loads(fields[b"d"])
    if kind is events.PassagesFound:
        data["passages"] = tuple(data["passages"])
    return int(fields[b"n"]), kind(**data)
