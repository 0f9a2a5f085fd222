"""What several tabs see of one turn, on two machines' worth of processes: the same, live."""

import asyncio
import time
import uuid

import pytest

from core.bridge import in_database
from tests.chaos.browser import PHONE, browser
from tests.chaos.evidence import Point, owner_pid
from tests.chaos.stage import Stage
from tests.chaos.tally import Report, Tallied
from tests.chaos.verdict import judge
from tests.chaos.webs import Web
from tests.serving import noise

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.chaos, pytest.mark.timeout(1800)]


async def test_two_tabs_and_a_phone_see_the_same_live(
    stage: Stage, webs: list[Web], times: int, tallied: Tallied
) -> None:
    """One tab asks, one watches from the beginning in the other process, and the phone comes in the middle."""
    tally = tallied("two tabs and a phone")
    stage.scripts = {Point.MID_TEXT: {"delay": 0.05}}
    first, second = webs
    for _ in range(times):
        async with browser([first.port], stage.session) as writer, browser([second.port], stage.session) as reader:
            asked = await stage.ask(writer, Point.MID_TEXT)
            asked.turn = turn = await writer.stored(asked.client_id)
            await reader.watch(asked.conversation, turn)
            await writer.shows(turn, 4)
            async with browser([second.port], stage.session, user_agent=PHONE) as phone:
                await phone.watch(asked.conversation, turn)
                tabs = (writer, reader, phone)
                tally.landed("live", "live")
                tally.blame(await judge(stage, [asked], port=second.port, watchers=tabs))
                assert len({tab.page.final[turn]["html"] for tab in tabs}) == 1
                assert len({tab.page.text(turn) for tab in tabs}) == 1
                ended = stage.entries(asked.text)[-1].finished or 0
                for tab in tabs:
                    live = [at for at in tab.page.changes[turn] if at < ended]
                    assert len(live) > 10, "it was not followed live"
    tally.assert_clean(["live"], times)


async def test_stop_from_another_process(stage: Stage, webs: list[Web], times: int, report: Report) -> None:
    stage.scripts = {"stopped": {"delay": 0.2}}
    taken = []
    async with browser([webs[0].port], stage.session) as writer, browser([webs[1].port], stage.session) as other:
        for _ in range(times):
            asked = await stage.ask(writer, "stopped")
            turn = await writer.stored(asked.client_id)
            await other.watch(asked.conversation, turn)
            await other.shows(turn, 3)
            pid = await in_database(owner_pid, turn)
            stopper = other if pid == webs[0].pid else writer
            entry = stage.entries(asked.text)[-1]
            pressed = time.monotonic()
            await stopper.stop(turn)
            finals = [await tab.final(turn) for tab in (writer, other)]
            async with asyncio.timeout(5):
                while entry.disconnected is None:
                    await asyncio.sleep(0.005)
            taken.append(entry.disconnected - pressed)
            assert [final["status"] for final in finals] == ["cancelled", "cancelled"]
    report(f"upstream closed after {[round(1000 * seconds) for seconds in taken]} ms")
    assert sorted(taken)[len(taken) // 2] < 0.2
    assert max(taken) < 0.5


async def test_a_tab_that_does_not_read(stage: Stage, webs: list[Web], report: Report) -> None:
    """Thousands of events that it does not take cost the process little, and it comes to the stored text."""
    stage.texts = {"long": noise(14_000)}
    stage.scripts = {"long": {"words": 1, "delay": 0.003}}
    async with browser([webs[0].port], stage.session) as tab, browser([webs[0].port], stage.session) as slow:
        await tab.final(await tab.stored((await stage.ask(tab, "short")).client_id))
        asked = await stage.ask(tab, "long", uuid.uuid4())
        turn = await tab.stored(asked.client_id)
        await slow.watch(asked.conversation, turn)
        await slow.shows(turn, 2)
        slow.pause()
        before = webs[0].resident_bytes()
        while stage.deltas(asked.text) < 10_000:
            await asyncio.sleep(0.1)
        grown = webs[0].resident_bytes() - before
        slow.resume()
        final = await slow.final(turn, seconds=60)
        await tab.final(turn)
    report(f"the process grew by {grown / 1e6:.1f} MB while one tab watched and one did not read")
    assert final["html"] == tab.page.final[turn]["html"]
    assert grown < 30_000_000
