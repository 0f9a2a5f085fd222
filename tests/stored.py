"""Waiting for what rows say, as `tests.waiting` for the rest."""

import asyncio
from collections.abc import Callable

from core.bridge import in_database
from tests.waiting import PATIENCE


async def until_stored(reached: Callable[[], object]) -> None:
    """As `tests.waiting.until`, of what the rows say."""
    async with asyncio.timeout(PATIENCE):
        while not await in_database(reached):
            await asyncio.sleep(0.02)
