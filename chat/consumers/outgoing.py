"""What waits to be sent to one socket: bounded, and never in the way of a turn or of other viewers."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable

# Frames that may wait. A socket that falls further behind loses frames of turns and gets a snapshot instead.
MAX_WAITING = 200


class Outgoing:
    """A queue of encoded frames. `put` never blocks; `run` sends until cancelled."""

    def __init__(self, send: Callable[[str], Awaitable[None]], catch_up: Callable[[uuid.UUID], str | None]) -> None:
        self._send = send
        self._catch_up = catch_up
        self._waiting: asyncio.Queue[str] = asyncio.Queue()
        self._behind: set[uuid.UUID] = set()

    def put(self, frame: str, *, turn: uuid.UUID | None = None) -> bool:
        """Queue a frame. False where the socket is so slow that a frame of no turn would be lost: it must be closed."""
        if turn is not None and turn in self._behind:
            return True
        if self._waiting.qsize() < MAX_WAITING:
            self._waiting.put_nowait(frame)
            return True
        if turn is not None:
            self._behind.add(turn)
            return True
        return False

    async def run(self) -> None:
        while True:
            await self._send(await self._waiting.get())
            while self._behind and self._waiting.empty():
                snapshot = self._catch_up(self._behind.pop())
                if snapshot is not None:
                    await self._send(snapshot)
