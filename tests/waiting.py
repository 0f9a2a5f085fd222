"""Waiting for what has to come about, as long as the slowest machine may take: nothing is proved by how long it took.

What has to come soon is held against what would make it late (a patience, an interval, a program that sleeps), which a
test makes long, and not against a clock. For programs without Django too; what rows say is `tests.stored`'s.
"""

import asyncio
import time
from collections.abc import Callable

# Seconds.
PATIENCE = 60.0


def wait_until(reached: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not reached():
        assert time.monotonic() < deadline, "it never came about"
        time.sleep(0.01)


async def until(reached: Callable[[], object]) -> None:
    """As `wait_until`, letting the event loop work. `reached` must not block: see `tests.stored.until_stored`."""
    async with asyncio.timeout(PATIENCE):
        while not reached():
            await asyncio.sleep(0.01)
