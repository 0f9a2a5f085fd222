"""One WebSocket connection: what waits to be sent, its tasks, and its end, whatever the other side does."""

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any
from uuid import UUID

from channels.consumer import get_handler_name
from channels.generic.websocket import AsyncWebsocketConsumer

from chat.consumers.outgoing import Outgoing
from chat.rendering.frames import encode
from chat.rendering.protocol import Error, Frame
from core.errors import ParleyError

logger = logging.getLogger(__name__)

SESSION_ENDED = 4401
RIGHT_WITHDRAWN = 4403
TOO_SLOW = 4408
FLOODED = 4429
# RFC 6455's registry: "Internal Error" and "Try Again Later"
BROKEN = 1011
AWAY = 1013
# "Abnormal Closure": never sent, only said
ABNORMAL = 1006

# How ASGI servers say that the connection was closed meanwhile; the event of its end follows.
CLOSED_ALREADY = (OSError, RuntimeError)


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds: for which frames are counted (`allowance`), between two looks whether session and rights still hold
    (that they do not is to be found within five), that a frame may wait for a tab that takes nothing, and that the
    last frames may."""

    period: float = 10.0
    recheck: float = 4.0
    stuck: float = 30.0
    farewell: float = 5.0


class Connection(AsyncWebsocketConsumer, ABC):
    """The machinery of a socket. Ends by itself also where the other side neither reads nor closes."""

    def __init__(self, *, timing: Timing | None = None) -> None:
        super().__init__()
        self.timing = timing or Timing()
        self._tasks: set[asyncio.Task[None]] = set()
        self._delivery: asyncio.Task[None] | None = None
        self._outgoing = Outgoing(self._send_text, self._catch_up)
        self._ending: int | None = None
        self._left = asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await super().__call__(scope, partial(self._next, receive), send)

    async def dispatch(self, message: dict[str, Any]) -> None:
        """Handle an event. Channels' own look for stale database connections, a thread for each event, is left out: the
        database is reached through the bridge only, which sees to its connections itself.
        """
        handler = getattr(self, get_handler_name(message), None)
        if handler is None:
            raise ValueError(f"No handler for an event of type {message['type']!r}.")
        await handler(message)

    async def _next(self, receive: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        """Return the next event, or that the other side is gone where it was left."""
        event, left = asyncio.ensure_future(receive()), asyncio.ensure_future(self._left.wait())
        try:
            await asyncio.wait((event, left), return_when=asyncio.FIRST_COMPLETED)
            return event.result() if event.done() else {"type": "websocket.disconnect", "code": self._ending}
        finally:
            event.cancel()
            left.cancel()

    @abstractmethod
    def _catch_up(self, turn: UUID) -> str | None:
        """Return a snapshot of a turn of which this socket has lost frames, if it still watches it."""

    # Sending ------------------------------------------------------------------------------------------------------

    def _begin_sending(self) -> None:
        self._delivery = self._spawn(self._outgoing.run())

    async def _send_text(self, frame: str) -> None:
        try:
            await self.send(text_data=frame)
        except CLOSED_ALREADY as error:
            logger.info("A frame was not sent: %s", error)
            self._ending = self._ending or ABNORMAL

    def _put(self, frame: str, *, turn: UUID | None = None) -> bool:
        """Queue an encoded frame. A socket that is too slow even for what must not be lost is closed."""
        if self._ending is None and not self._outgoing.put(frame, turn=turn):
            self._end(TOO_SLOW)
        return self._ending is None

    def _put_frame(self, frame: Frame) -> None:
        self._put(encode(frame))

    def _put_error(self, error: ParleyError, ref: str | None, *, wait: float = 0.0) -> None:
        """Say that something is not done; `wait`: seconds after which it may be sent again, if it may."""
        frame: Error = {
            "type": "error",
            "code": error.code,
            "message": error.message,
            "retryable": error.retryable,
            "ref": ref,
        }
        if wait:
            frame["wait"] = round(wait + 0.005, 2)
        self._put_frame(frame)

    # Tasks and the end ----------------------------------------------------------------------------------------------

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run something beside the frames, no longer than the connection. What it raises ends the connection."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)
        return task

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            # without it the socket would go on unwatched, for instance with rights that nobody looks at
            logger.error("A task of a socket failed", exc_info=error)
            self._end(BROKEN)

    @property
    def _is_ending(self) -> bool:
        return self._ending is not None

    def _end(self, code: int, *, last: Sequence[Frame] = ()) -> None:
        """Close the socket with this code, after these last frames. What still waits to be sent is dropped."""
        if self._ending is None:
            self._ending = code
            if self._delivery is not None:
                self._delivery.cancel()
            self._spawn(self._say_goodbye(code, [encode(frame) for frame in last]))

    def _end_if_stuck(self) -> None:
        if self._outgoing.stuck_seconds > self.timing.stuck:
            self._end(TOO_SLOW)

    async def _say_goodbye(self, code: int, last: Sequence[str]) -> None:
        try:
            async with asyncio.timeout(self.timing.farewell):
                for frame in last:
                    await self._send_text(frame)
                await self.close(code=code)
        except TimeoutError:
            self._left.set()
        except CLOSED_ALREADY as error:
            logger.info("A socket was closed already: %s", error)

    def _cease(self) -> None:
        """The connection is over: nothing is sent any more, and no task stays."""
        self._ending = self._ending or ABNORMAL
        for task in tuple(self._tasks):
            task.cancel()
