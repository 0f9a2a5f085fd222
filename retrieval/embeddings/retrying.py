"""Tries again what may work later."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from retrieval.errors import EmbeddingUnavailableError

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Patience:
    """How often to try, and how long to wait in between: seconds, doubled each time, up to `longest`.

    A server that asks for more than `longest` is not waited for: the caller's own retry comes later.
    """

    attempts: int
    first: float
    longest: float


@dataclass(eq=False)
class Refusal(Exception):
    """An attempt failed with `error`; the server asked to wait `after` seconds, if it asked."""

    error: EmbeddingUnavailableError
    after: float | None = None


async def patiently(attempt: Callable[[], Awaitable[T]], patience: Patience) -> T:
    """The result of `attempt`, tried again while it raises Refusal; then the refusal's error is raised."""
    wait = patience.first
    for remaining in range(patience.attempts - 1, -1, -1):
        try:
            return await attempt()
        except Refusal as refusal:
            after = refusal.after or 0
            if not remaining or not refusal.error.retryable or after > patience.longest:
                refusal.error.after = refusal.after
                raise refusal.error from refusal.__cause__
        # Half of it by chance, so that many workers do not come back at once.
        await asyncio.sleep(max(after, wait * random.uniform(0.5, 1)))  # noqa: S311 - not for secrets
        wait = min(2 * wait, patience.longest)
    raise AssertionError("there is always a last attempt")
