"""The one way from asynchronous code to the database.

asgiref's default runs every call of a process on one thread outside a request, so that one slow query would hold up
every socket and turn. Here a bounded set of threads serves them, each call with a connection from Django's pool.
Taking one out costs a question to the server whether it lives, and some settings: while other calls wait, a thread
goes on with the one it has.
"""

import asyncio
import contextvars
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import ParamSpec, TypeVar

from django.conf import settings
from django.db import connections

P = ParamSpec("P")
T = TypeVar("T")

# Calls in a row that a thread makes with one connection: the pool may be smaller than the threads are many.
MAX_IN_A_ROW = 20

_threads = ThreadPoolExecutor(max_workers=settings.DATABASE_THREADS, thread_name_prefix="database")


class _Waiting:
    """How many calls no thread has taken up yet."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.count = 0

    def add(self, change: int) -> None:
        with self._lock:
            self.count += change


class _Kept(threading.local):
    """For how many calls the thread has kept its connection."""

    calls = 0


_waiting = _Waiting()
_kept = _Kept()


def _run(call: Callable[[], T]) -> T:
    _waiting.add(-1)
    try:
        result = call()
    except BaseException:
        _give_back()
        raise
    _kept.calls += 1
    if not _waiting.count or _kept.calls >= MAX_IN_A_ROW:
        _give_back()
    return result


def _forget_cancelled(future: "Future[T]") -> None:
    """A call whose caller left before a thread took it up is never run."""
    if future.cancelled():
        _waiting.add(-1)


def _give_back() -> None:
    _kept.calls = 0
    connections.close_all()


async def in_database(function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Run synchronous `function` on one of the database threads and return what it returns.

    A cancelled caller stops waiting; the function itself runs to its end.
    """
    context = contextvars.copy_context()
    call = partial(context.run, partial(function, *args, **kwargs))
    _waiting.add(1)
    future = _threads.submit(_run, call)
    future.add_done_callback(_forget_cancelled)
    return await asyncio.wrap_future(future)
