"""The turns that run in, or are watched from, this process.

Viewers in the runner's own process are served directly. Other processes read the log: one reader per process for all
the turns it watches, however many sockets look at them.
"""

import asyncio
import logging
import math
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

from redis.exceptions import RedisError

from chat import events
from chat.realtime.live import LiveTurn
from chat.realtime.log import FOLLOWED_SECONDS, decode, followed_key, stream_key
from chat.realtime.writing import LogWriter
from core.redis import log_client

if TYPE_CHECKING:
    from redis.asyncio import Redis

logger = logging.getLogger(__name__)

# Milliseconds that the reader waits for events before it looks whether it has new turns to read.
READ_BLOCK = 100
READ_COUNT = 500
# The status of an end that is none: another process goes on with the turn.
LOST = "lost"


class Hub:
    """One per process and event loop; `open` before use, `close` at the end."""

    def __init__(self) -> None:
        self._redis: Redis | None = None
        self._log_writer: LogWriter | None = None
        self._running: dict[uuid.UUID, LiveTurn] = {}
        self._read: dict[uuid.UUID, LiveTurn] = {}
        self._cursors: dict[uuid.UUID, bytes | str] = {}
        self._reader: asyncio.Task[None] | None = None
        self._awaiting: dict[uuid.UUID, set[Callable[[LiveTurn], None]]] = {}

    async def open(self) -> None:
        self._redis = log_client()
        self._log_writer = LogWriter(self._redis)

    async def close(self) -> None:
        if self._reader is not None:
            self._reader.cancel()
            with suppress(asyncio.CancelledError):
                await self._reader
        if self._log_writer is not None:
            await self._log_writer.aclose()
        if self._redis is not None:
            await self._redis.aclose()

    @property
    def redis(self) -> "Redis":
        if self._redis is None:
            raise RuntimeError("The hub is not open.")
        return self._redis

    @property
    def _writer(self) -> LogWriter:
        if self._log_writer is None:
            raise RuntimeError("The hub is not open.")
        return self._log_writer

    @asynccontextmanager
    async def running(self, turn: uuid.UUID, epoch: int) -> AsyncIterator[LiveTurn]:
        """Announce a turn that runs here; its events reach the log until the block ends."""
        live = LiveTurn(turn, epoch)
        self._running[turn] = live
        with self._writer.following(live) as log:
            for callback in tuple(self._awaiting.get(turn, ())):
                callback(live)
            try:
                yield live
            finally:
                if self._running.get(turn) is live:
                    del self._running[turn]
                if live.ended is None:
                    live.apply(events.Ended(LOST))
                await self._writer.finish(log)

    def local(self, turn: uuid.UUID) -> LiveTurn | None:
        """The turn, if it runs in this process."""
        return self._running.get(turn)

    def when_running(self, turn: uuid.UUID, callback: Callable[[LiveTurn], None]) -> Callable[[], None]:
        """Call back each time the turn begins to run in this process; returns what ends that."""
        self._awaiting.setdefault(turn, set()).add(callback)

        def forget() -> None:
            callbacks = self._awaiting.get(turn, set())
            callbacks.discard(callback)
            if not callbacks:
                self._awaiting.pop(turn, None)

        return forget

    def watch(self, turn: uuid.UUID, epoch: int) -> LiveTurn:
        """Return the turn as it is known here, reading its log from the beginning where it runs elsewhere."""
        live = self._running.get(turn)
        if live is not None and live.epoch >= epoch:
            return live
        known = self._read.get(turn)
        if known is not None and known.epoch >= epoch:
            return known
        live = LiveTurn(turn, epoch)
        self._read[turn] = live
        self._cursors[turn] = "0"
        if self._reader is None or self._reader.done():
            self._reader = asyncio.create_task(self._read_logs(), name="log reader")
        return live

    def release(self, live: LiveTurn) -> None:
        """Stop reading a turn that nobody here watches any more."""
        if not live.is_watched and self._read.get(live.turn) is live:
            del self._read[live.turn]
            self._cursors.pop(live.turn, None)

    async def _read_logs(self) -> None:
        told: dict[uuid.UUID, float] = {}
        while self._read:
            watched = {stream_key(turn, live.epoch).encode(): live for turn, live in self._read.items()}
            cursors = {name: self._cursors[live.turn] for name, live in watched.items()}
            try:
                await self._follow(told)
                found = await self.redis.xread(cursors, count=READ_COUNT, block=READ_BLOCK)  # type: ignore[arg-type]
            except RedisError as error:
                logger.warning("The logs of running turns cannot be read: %s", error)
                await asyncio.sleep(0.5)
                continue
            for name, entries in found:
                self._apply(watched[name], entries)
            await asyncio.sleep(0.01)

    async def _follow(self, told: dict[uuid.UUID, float]) -> None:
        """Have the turns that are read here written more often. `told` holds when each was last asked for."""
        now = time.monotonic()
        due = [live for turn, live in self._read.items() if now - told.get(turn, -math.inf) > FOLLOWED_SECONDS / 2]
        if due:
            async with self.redis.pipeline(transaction=False) as pipe:
                for live in due:
                    pipe.set(followed_key(live.turn, live.epoch), 1, ex=FOLLOWED_SECONDS)
                await pipe.execute()
            told.update(dict.fromkeys((live.turn for live in due), now))

    def _apply(self, live: LiveTurn, entries: list[tuple[bytes, dict[bytes, bytes]]]) -> None:
        if self._read.get(live.turn) is not live:
            return
        for entry, fields in entries:
            self._cursors[live.turn] = entry
            try:
                number, event = decode(fields)
            except (KeyError, ValueError, TypeError) as error:
                logger.warning("An entry of a turn's log cannot be read: %r", error)
                continue
            live.apply(event, number=number)
        if live.ended is not None:
            self._read.pop(live.turn, None)
            self._cursors.pop(live.turn, None)


hub = Hub()
