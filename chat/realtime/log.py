"""The log of a running turn in Redis: numbered events under (turn, epoch), for watchers in other processes.

The runner's memory is the truth of the running step; the log may be lost at any time. A writer that finds it shorter
than it must be (Redis was emptied or away) begins it anew with one `TextReplaced` of everything so far.
"""

import logging
import uuid
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import orjson
from redis.exceptions import RedisError

from chat import events
from core.redis import key

if TYPE_CHECKING:
    from redis.asyncio import Redis

logger = logging.getLogger(__name__)

# Seconds that a log outlives its last event: long enough for any watcher to catch up.
LIFETIME = 900

# Seconds that a reader's wish to follow a log closely lives; the reader repeats it.
FOLLOWED_SECONDS = 6

_KINDS: dict[str, type[Any]] = {
    "state": events.StateChanged,
    "text": events.TextAdded,
    "replaced": events.TextReplaced,
    "passages": events.PassagesFound,
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


class LogWriter:
    """Appends a turn's events. Never raises for Redis: the turn goes on, and the log is begun anew later.

    `is_followed` says whether another process followed the log at the last writing.
    """

    def __init__(self, redis: "Redis", turn: uuid.UUID, epoch: int) -> None:
        self._redis = redis
        self.is_followed = False
        self._key = stream_key(turn, epoch)
        self._followed_key = followed_key(turn, epoch)
        self._length = 0
        self._whole = True

    async def append(self, entries: list[Numbered], *, snapshot: list[events.TurnEvent]) -> None:
        """Write `entries`; `snapshot` is everything up to the last of them, for the case that the log is not whole."""
        if not entries:
            return
        anew = [(entries[-1][0], event) for event in snapshot]
        try:
            if self._whole:
                expected = self._length + len(entries)
                self._length = await self._write(entries)
                self._whole = self._length == expected
            if not self._whole:
                self._length = await self._write(anew)
                self._whole = True
        except RedisError as error:
            logger.warning("The log of a turn is not written: %s", error)
            self._whole = False

    async def _write(self, entries: list[Numbered]) -> int:
        """Append all at once and return the length of the log."""
        async with self._redis.pipeline(transaction=True) as pipe:
            for number, event in entries:
                pipe.xadd(self._key, encode(number, event))  # type: ignore[arg-type]
            pipe.xlen(self._key)
            pipe.expire(self._key, LIFETIME)
            pipe.exists(self._followed_key)
            *_, length, _, followed = await pipe.execute()
        self.is_followed = bool(followed)
        return int(length)
