"""Threads of which the one that worked last works next.

A thread of the database bridge keeps a connection, and a connection the statements that it has prepared. The standard
library's pool gives work to its threads in turn, so that with little to do each of them starts cold again and again.
"""

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")

_Work = tuple[Future[Any], Callable[[], Any]]


class Threads:
    """At most `most` daemon threads, each made when all others are busy. `submit` may be called from any thread."""

    def __init__(self, most: int, name: str) -> None:
        self._most = most
        self._name = name
        self._lock = threading.Lock()
        self._made = 0
        self._idle: list[SimpleQueue[_Work]] = []
        self._waiting: deque[_Work] = deque()

    def submit(self, call: Callable[[], T]) -> "Future[T]":
        """Have `call` run; a future that is cancelled before a thread took it up is not."""
        future: Future[T] = Future()
        work: _Work = (future, call)
        with self._lock:
            if self._idle:
                self._idle.pop().put(work)
            elif self._made < self._most:
                self._made += 1
                threading.Thread(
                    target=self._serve, args=(work,), name=f"{self._name}_{self._made}", daemon=True
                ).start()
            else:
                self._waiting.append(work)
        return future

    def _serve(self, work: _Work | None) -> None:
        mine: SimpleQueue[_Work] = SimpleQueue()
        while True:
            if work is not None:
                _run(*work)
            with self._lock:
                work = self._waiting.popleft() if self._waiting else None
                if work is None:
                    self._idle.append(mine)
            if work is None:
                work = mine.get()


def _run(future: "Future[Any]", call: Callable[[], Any]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    with _Handed(future):
        future.set_result(call())


class _Handed:
    """Hands whatever its block raises on to whoever waits for the future."""

    def __init__(self, future: "Future[Any]") -> None:
        self._future = future

    def __enter__(self) -> None: ...

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> bool:
        if error is not None:
            self._future.set_exception(error)
        return True
