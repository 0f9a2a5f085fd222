"""One event loop in a thread of its own, for connections that outlive the loop or thread that uses them.

Workers have no event loop, tests and synchronous callers make a new one for each call: connections kept there
would be lost each time, and a TLS handshake costs more than a query. A forked child starts a loop of its own.
"""

import asyncio
import atexit
import concurrent.futures
import os
import threading
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")
Closer = Callable[[], Awaitable[None]]

CLOSE_SECONDS = 2.0


class BackgroundLoop:
    """Runs coroutines in its thread, which starts with the first of them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._closers: list[Closer] = []

    def submit(self, coroutine: Coroutine[Any, Any, T]) -> "concurrent.futures.Future[T]":
        """Start `coroutine`; cancelling the future cancels it."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._running())

    def close_at_exit(self, closer: Closer) -> None:
        """Await `closer` in the loop before it ends."""
        self._closers.append(closer)

    def stop(self) -> None:
        """Close what was asked to be closed and end the thread. A later `submit` starts a new one."""
        with self._lock:
            loop, thread = self._loop, self._thread
            self._loop = self._thread = None
        if loop is not None and thread is not None:
            closing = asyncio.run_coroutine_threadsafe(self._close(), loop)
            concurrent.futures.wait([closing], timeout=CLOSE_SECONDS)
            loop.call_soon_threadsafe(loop.stop)
            thread.join(CLOSE_SECONDS)

    def _running(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(target=_run, args=(self._loop,), name="embeddings", daemon=True)
                self._thread.start()
            return self._loop

    async def _close(self) -> None:
        closers, self._closers = self._closers, []
        for closer in closers:
            await closer()
        # A closed transport needs a turn of the loop to let go of its socket.
        await asyncio.sleep(0)


def _run(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
    finally:
        loop.close()


_background = BackgroundLoop()


def background() -> BackgroundLoop:
    """The process's background loop."""
    return _background


def _after_fork() -> None:
    # The parent's thread does not exist in the child.
    global _background
    _background = BackgroundLoop()


os.register_at_fork(after_in_child=_after_fork)
atexit.register(lambda: background().stop())
