"""The one way from asynchronous code to the database.

asgiref's default runs every call of a process on one thread outside a request, so that one slow query would hold up
every socket and turn. Here a bounded set of threads serves them, each call with a connection from Django's pool.
"""

import asyncio
import contextvars
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import ParamSpec, TypeVar

from django.conf import settings
from django.db import connections

P = ParamSpec("P")
T = TypeVar("T")

_threads = ThreadPoolExecutor(max_workers=settings.DATABASE_THREADS, thread_name_prefix="database")


def _run(call: Callable[[], T]) -> T:
    try:
        return call()
    finally:
        connections.close_all()  # gives them back to the pool


async def in_database(function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Run synchronous `function` on one of the database threads and return what it returns.

    A cancelled caller stops waiting; the function itself runs to its end.
    """
    context = contextvars.copy_context()
    call = partial(context.run, partial(function, *args, **kwargs))
    return await asyncio.get_running_loop().run_in_executor(_threads, _run, call)
