"""Writes the turns that run in this process to their logs in Redis: all that are due at once, with one round trip.

The runner's memory is the truth of the running step; a log may be lost at any time. One that is found shorter than it
must be (Redis was emptied or away) is begun anew with a snapshot of everything so far.
"""

import asyncio
import logging
import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from redis.exceptions import RedisError

from chat import events
from chat.realtime.live import LiveTurn
from chat.realtime.log import LIFETIME, Numbered, encode, followed_key, stream_key

if TYPE_CHECKING:
    from redis.asyncio import Redis
    from redis.asyncio.client import Pipeline

logger = logging.getLogger(__name__)

# Seconds between two writes of a turn while another process follows it, and while none does. Its own process does not
# wait for them, and a write costs more than what is written.
FOLLOWED_INTERVAL = 0.1
WRITE_INTERVAL = 0.25
# Writes fall on multiples of this many seconds, so that those of several turns go together.
TICK = 0.05

# One command for each turn costs our process a third of what single commands do. KEYS: log, mark of followers;
# ARGV: lifetime, then number, kind and data of each entry. Returns the log's length and whether it is followed.
_APPEND = """
for i = 2, #ARGV, 3 do
    redis.call('XADD', KEYS[1], '*', 'n', ARGV[i], 'k', ARGV[i + 1], 'd', ARGV[i + 2])
end
redis.call('EXPIRE', KEYS[1], ARGV[1])
return {redis.call('XLEN', KEYS[1]), redis.call('EXISTS', KEYS[2])}
"""


class TurnLog:
    """What is to be written of one turn; pieces of text that follow each other are joined."""

    def __init__(self, live: LiveTurn) -> None:
        self.live = live
        self.due = 0.0
        self.closed = asyncio.Event()
        self._keys = (stream_key(live.turn, live.epoch), followed_key(live.turn, live.epoch))
        self._entries: list[Numbered] = []
        self._length = 0
        self._whole = True
        self._followed = False

    @property
    def is_waiting(self) -> bool:
        return bool(self._entries) or not self._whole

    def add(self, number: int, event: events.TurnEvent) -> None:
        last = self._entries[-1][1] if self._entries else None
        if isinstance(event, events.TextAdded) and isinstance(last, events.TextAdded):
            self._entries[-1] = (number, events.TextAdded(last.text + event.text))
        else:
            self._entries.append((number, event))

    def write(self, pipe: "Pipeline") -> None:
        """Put what waits into `pipe`; `wrote` or `lost` must follow."""
        entries = self._entries
        if not self._whole:
            entries = [(self.live.number, event) for event in self.live.snapshot()]
            self._length = -1
        elif entries:
            self._length += len(entries)
        self._entries = []
        fields = [value for number, event in entries for value in encode(number, event).values()]
        pipe.eval(_APPEND, len(self._keys), *self._keys, LIFETIME, *fields)

    def wrote(self, length: int, followed: int) -> None:
        self._whole = length == self._length or self._length < 0
        self._length = length
        self._followed = bool(followed)
        # what was found to be missing is written at once
        interval = 0.0 if not self._whole else FOLLOWED_INTERVAL if self._followed else WRITE_INTERVAL
        self._wait(interval)

    def lost(self) -> None:
        """Nobody knows what of it was written."""
        self._whole = False
        self._wait(WRITE_INTERVAL)

    def _wait(self, seconds: float) -> None:
        self.due = math.ceil((time.monotonic() + seconds) / TICK) * TICK if seconds else 0.0


class LogWriter:
    """One per process and event loop. Never raises for Redis: the turns go on, and their logs are begun anew later."""

    def __init__(self, redis: "Redis") -> None:
        self._redis = redis
        self._logs: set[TurnLog] = set()
        self._wake = asyncio.Event()
        self._task = asyncio.create_task(self._run(), name="log writer")

    async def aclose(self) -> None:
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task

    @contextmanager
    def following(self, live: LiveTurn) -> "Iterator[TurnLog]":
        """Write what happens to this turn within the block. `finish` its log before the block ends."""
        log = TurnLog(live)

        def happened(number: int, event: events.TurnEvent) -> None:
            if not log.is_waiting or isinstance(event, events.Ended):
                self._wake.set()
            log.add(number, event)

        unlisten = live.listen(happened)
        self._logs.add(log)
        try:
            yield log
        finally:
            unlisten()
            self._logs.discard(log)

    async def finish(self, log: TurnLog) -> None:
        """Wait until the turn's end was written, or could not be. The turn must have ended."""
        self._wake.set()
        closed = asyncio.ensure_future(log.closed.wait())
        await asyncio.wait({closed, self._task}, return_when=asyncio.FIRST_COMPLETED)
        closed.cancel()

    async def _run(self) -> None:
        while True:
            now = time.monotonic()
            waiting = [log for log in self._logs if log.is_waiting]
            if due := [log for log in waiting if log.due <= now or log.live.ended is not None]:
                await self._append(due)
                continue
            with suppress(TimeoutError):
                async with asyncio.timeout(min(log.due for log in waiting) - now if waiting else None):
                    await self._wake.wait()
            self._wake.clear()

    async def _append(self, logs: Sequence[TurnLog]) -> None:
        ended = [log for log in logs if log.live.ended is not None]
        answers: list[Any]
        try:
            async with self._redis.pipeline(transaction=False) as pipe:
                for log in logs:
                    log.write(pipe)
                answers = await pipe.execute(raise_on_error=False)
        except RedisError as error:
            answers = [error] * len(logs)
        for log, answer in zip(logs, answers, strict=True):
            if isinstance(answer, Exception):
                log.lost()
            else:
                log.wrote(*answer)
        if failures := [answer for answer in answers if isinstance(answer, Exception)]:
            logger.warning("%d logs of turns are not written: %s", len(failures), failures[0])
        for log in ended:
            if not log.is_waiting or failures:
                log.closed.set()
                self._logs.discard(log)
