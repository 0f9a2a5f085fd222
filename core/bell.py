"""Asks others to look for work, not more often than it helps.

A ring costs more than the work's row, and says only that there is some: whoever comes does all that is due. So those
who ask within a moment after a ring share the next one.
"""

import atexit
import os
import threading
import time
from collections.abc import Callable


class Bell:
    """Calls `ring` for everybody who asks: at once, or `interval` seconds after it rang last.

    Any thread may ask. `ring` runs in the thread that asks or in one of its own, and has to see to its own errors.
    """

    def __init__(self, ring: Callable[[], None], interval: float) -> None:
        self._ring = ring
        self._interval = interval
        self._begin()
        # a child of a process that was about to ring has no thread that will
        os.register_at_fork(after_in_child=self._begin)
        # a command that ends at once takes the waiting thread with it
        atexit.register(self.close)

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._rang = float("-inf")
        self._is_waiting = False

    def ask(self) -> None:
        with self._lock:
            if self._is_waiting:
                return
            wait = self._rang + self._interval - time.monotonic()
            if wait <= 0:
                self._rang = time.monotonic()
            else:
                self._is_waiting = True
        if wait <= 0:
            self._ring()
        else:
            late = threading.Timer(wait, self._late)
            late.daemon = True
            late.start()

    def close(self) -> None:
        """Ring now for those who wait."""
        self._late()

    def _late(self) -> None:
        with self._lock:
            if not self._is_waiting:
                return
            self._is_waiting = False
            self._rang = time.monotonic()
        self._ring()
