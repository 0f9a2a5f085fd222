"""Draws for pages that are open: some at a time, some waiting, and no more.

A picture is drawn by a child process that a thread of ours waits for, so the event loop never does. What is asked for
while it is being drawn is drawn once, and what nobody waits for any more before its time has come is not drawn.
"""

import asyncio
import threading
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from core.errors import UnavailableError
from core.threads import Threads

T = TypeVar("T")

RETRY_AFTER = 2
"""Seconds after which somebody who was sent away may come again."""


class TooManyDrawnError(UnavailableError):
    code = "too_many_drawn"


@dataclass(slots=True)
class _Drawing:
    future: "Future[Any]"
    awaited: int = 0


class Drawings:
    """At most `at_once` are drawn and `waiting` more are waited for, in one process."""

    def __init__(self, *, at_once: int, waiting: int) -> None:
        self._threads = Threads(at_once, "drawing")
        self._most = at_once + waiting
        self._lock = threading.Lock()
        self._known: dict[Hashable, _Drawing] = {}

    async def drawn(self, key: Hashable, draw: Callable[[], T]) -> T:
        """What `draw` returns, or the one under the same key that is on its way. Raises TooManyDrawnError, and what
        `draw` raises.
        """
        drawing = self._taken(key, draw)
        try:
            # another reader may be waiting for it when this one leaves
            return cast(T, await asyncio.shield(asyncio.wrap_future(drawing.future)))
        finally:
            self._left(drawing)

    def _taken(self, key: Hashable, draw: Callable[[], T]) -> _Drawing:
        with self._lock:
            drawing = self._known.get(key)
            if drawing is None:
                if len(self._known) >= self._most:
                    raise TooManyDrawnError("Many pages are being drawn at this moment. Try again in a moment.")
                drawing = self._known[key] = _Drawing(self._threads.submit(draw))
            drawing.awaited += 1
        # outside the lock: one that is done already calls back at once
        drawing.future.add_done_callback(lambda _: self._forget(key, drawing))
        return drawing

    def _left(self, drawing: _Drawing) -> None:
        with self._lock:
            drawing.awaited -= 1
            unwanted = not drawing.awaited
        if unwanted:
            drawing.future.cancel()

    def _forget(self, key: Hashable, drawing: _Drawing) -> None:
        with self._lock:
            if self._known.get(key) is drawing:
                del self._known[key]
