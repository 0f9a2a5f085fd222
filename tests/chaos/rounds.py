"""One kill of a web process that has turns at every point of their way, and what has to be true afterwards."""

import asyncio
import random
import time
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

from core.bridge import in_database
from tests.chaos.browser import Browser
from tests.chaos.stage import (
    Asked,
    Stage,
    assert_whole,
    held,
    owner_pid,
    turn_row,
    until,
    waiting_for_locks,
    where_it_is,
)
from tests.chaos.webs import Web

# The heartbeat's lease, and what a takeover may take after its end.
LEASE = 5.0
TAKEOVER = 5.0

SCRIPTS = {
    "no event": {"fault": "hang", "at_headers": True},
    "mid text": {"delay": 0.1},
    "ahead": {"delay": 0.1},
    "answer not saved": {"first_delay": 0.6},
    "answer saved": {"first_delay": 0.6},
}


@dataclass(slots=True)
class Figures:
    """Where the kills landed, and the seconds from a kill until another process had the turn."""

    landed: Counter[str] = field(default_factory=Counter)
    takeovers: list[float] = field(default_factory=list)

    def __str__(self) -> str:
        times = sorted(self.takeovers)
        spread = f"{times[0]:.1f}-{times[-1]:.1f} s, median {times[len(times) // 2]:.1f} s" if times else "none"
        return f"kills {dict(self.landed)}; takeover after {spread}"


async def kill_at_every_point(stage: Stage, tab: Browser, victim: Web, figures: Figures) -> list[Asked]:
    """Bring turns of `victim` to their points and kill it. No other process may run turns at that time."""
    stage.scripts = SCRIPTS
    asked = {point: await stage.ask(tab, point) for point in SCRIPTS}
    for one in asked.values():
        one.turn = await tab.stored(one.client_id)
    asked["queued"] = await stage.ask(tab, "queued", asked["ahead"].conversation)
    async with AsyncExitStack() as locks:
        for point, after in (("answer not saved", False), ("answer saved", True)):
            await until(lambda one=asked[point]: where_it_is(one) == "answer not saved")
            await locks.enter_async_context(held(asked[point].turn, after_the_answer=after))
        await until(lambda: waiting_for_locks() >= 2)
        await until(lambda: stage.deltas(asked["mid text"]) >= 5 and stage.deltas(asked["no event"]) >= 0)
        await tab.stored(asked["queued"].client_id)
        assert {await in_database(owner_pid, one.turn) for one in asked.values() if one.turn} == {victim.pid}
        asked["before the ack"] = await stage.ask(tab, "before the ack")
        await asyncio.sleep(random.random() * 0.01)  # noqa: S311 - nothing secret
        killed = time.monotonic()
        victim.kill()
        for point, one in asked.items():
            figures.landed[f"{point}: {await in_database(where_it_is, one)}"] += 1
    await _measure(list(asked.values()), killed, figures)
    return list(asked.values())


async def _measure(asked: list[Asked], killed: float, figures: Figures) -> None:
    """Note when each turn that ran got a new owner."""
    running = {one.turn for one in asked if one.turn}
    before = {turn: (await in_database(turn_row, turn)).epoch for turn in running}
    async with asyncio.timeout(LEASE + TAKEOVER - (time.monotonic() - killed)):
        while running:
            for turn in tuple(running):
                if (await in_database(turn_row, turn)).epoch > before[turn]:
                    figures.takeovers.append(time.monotonic() - killed)
                    running.discard(turn)
            await asyncio.sleep(0.05)


async def assert_all_whole(stage: Stage, tab: Browser, asked: list[Asked]) -> None:
    for one in asked:
        await assert_whole(tab, one)
        # sent once more it is the same turn
        again = len(tab.frames)
        await tab.post_again(one.client_id, one.text, one.conversation, stage.assistant.id)
        await tab.until(lambda start=again, wanted=one.client_id: tab.acknowledged(wanted, start))
        assert tab.page.created[one.client_id]["turn"] == one.turn
    assert len({one.turn for one in asked}) == len(asked)
