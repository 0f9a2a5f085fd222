"""Reads that several sockets of this process ask for at nearly the same time, made once for all of them."""

import asyncio
from collections.abc import Callable, Hashable
from typing import Generic, ParamSpec, TypeVar

from core.bridge import in_database

P = ParamSpec("P")
T = TypeVar("T")


class SharedRead(Generic[P, T]):
    """A synchronous read of rows, asked for with the same arguments by many.

    It begins `delay` seconds after the first has asked, and later than everybody who shares it: who asks because
    something has changed gets what is true after the change.
    """

    def __init__(self, function: Callable[P, T], *, delay: float = 0.0) -> None:
        self._function = function
        self._delay = delay
        self._coming: dict[Hashable, asyncio.Task[T]] = {}

    async def __call__(self, *args: P.args, **kwargs: P.kwargs) -> T:
        """A cancelled caller stops waiting; the read goes on for the others."""
        key = (asyncio.get_running_loop(), args, tuple(kwargs.items()))
        coming = self._coming.get(key)
        if coming is None:
            coming = self._coming[key] = asyncio.ensure_future(self._read(key, *args, **kwargs))
        return await asyncio.shield(coming)

    async def _read(self, key: Hashable, *args: P.args, **kwargs: P.kwargs) -> T:
        await asyncio.sleep(self._delay)
        del self._coming[key]
        return await in_database(self._function, *args, **kwargs)
