"""The one way from asynchronous code to the database.

asgiref's default runs every call of a process on one thread outside a request, so that one slow query would hold up
every socket and turn. Here a bounded set of threads serves them.

Taking a connection out of the pool costs a question to the server whether it lives, and some settings: more than a
short query itself. So each thread keeps its connection from call to call, and looks before a call whether the server
has said anything: nobody asked, so it can only be that it ended the connection.
"""

import asyncio
import contextvars
import select
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from typing import ParamSpec, TypeVar

from django.conf import settings
from django.db import connections

from core.threads import Threads

P = ParamSpec("P")
T = TypeVar("T")

# Seconds after which a thread gives its connection back, so that the pool can renew it.
KEPT_SECONDS = 300.0

_threads = Threads(settings.DATABASE_THREADS, "database")


class _Kept(threading.local):
    """Since when (monotonic seconds) the thread has kept its connection; None where it has none."""

    since: float | None = None


_kept = _Kept()


def _run(call: Callable[[], T]) -> T:
    if _kept.since is not None and (time.monotonic() - _kept.since > KEPT_SECONDS or _has_spoken()):
        _give_back()
    with ExitStack() as failed:
        # a call that raised may have left a transaction open
        failed.callback(_give_back)
        result = call()
        failed.pop_all()
    if _kept.since is None:
        _kept.since = time.monotonic()
    return result


def _has_spoken() -> bool:
    """Whether the server sent anything, or hung up, since the last answer."""
    for connection in connections.all(initialized_only=True):
        driver = connection.connection
        if driver is None:
            continue
        if driver.closed:
            return True
        poll = select.poll()
        poll.register(driver.fileno(), select.POLLIN)
        if poll.poll(0):
            return True
    return False


def _give_back() -> None:
    _kept.since = None
    connections.close_all()


async def in_database(function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Run synchronous `function` on one of the database threads and return what it returns.

    A cancelled caller stops waiting; the function itself runs to its end.
    """
    context = contextvars.copy_context()
    call = partial(context.run, partial(function, *args, **kwargs))
    return await asyncio.wrap_future(_threads.submit(partial(_run, call)))
