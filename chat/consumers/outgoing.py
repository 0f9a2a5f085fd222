"""What waits to be sent to one socket: bounded, and never in the way of a turn or of other viewers."""

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable

# Frames that may wait. A socket that falls further behind loses frames of turns and gets a snapshot instead.
MAX_WAITING = 200
# Characters after which no frame is added: a socket costs its process no more than these and one frame.
MAX_WAITING_CHARS = 500_000


class Outgoing:
    """A queue of encoded frames. `put` never blocks; `run` sends until cancelled."""

    def __init__(self, send: Callable[[str], Awaitable[None]], catch_up: Callable[[uuid.UUID], str | None]) -> None:
        self._send = send
        self._catch_up = catch_up
        self._waiting: asyncio.Queue[str] = asyncio.Queue()
        self._behind: set[uuid.UUID] = set()
        self._chars = 0
        self._sending_since: float | None = None

    @property
    def stuck_seconds(self) -> float:
        """How long the socket has not taken the frame that is being sent."""
        return 0.0 if self._sending_since is None else time.monotonic() - self._sending_since

    def put(self, frame: str, *, turn: uuid.UUID | None = None) -> bool:
        """Queue a frame. False where the socket is so slow that a frame of no turn would be lost: it must be closed."""
        if turn is not None and turn in self._behind:
            return True
        if self._waiting.qsize() < MAX_WAITING and self._chars < MAX_WAITING_CHARS:
            self._waiting.put_nowait(frame)
            self._chars += len(frame)
            return True
        if turn is not None:
            self._behind.add(turn)
            return True
        return False

    async def run(self) -> None:
        while True:
            frame = await self._waiting.get()
            self._chars -= len(frame)
            await self._deliver(frame)
            while self._behind and self._waiting.empty():
                turn = next(iter(self._behind))
                snapshot = self._catch_up(turn)
                # only now: what the snapshot brings to light is in it already
                self._behind.discard(turn)
                if snapshot is not None:
                    await self._deliver(snapshot)

    async def _deliver(self, frame: str) -> None:
        self._sending_since = time.monotonic()
        await self._send(frame)
        self._sending_since = None
