"""Web processes that are killed or asked to end, and tabs in several of them."""

import asyncio
import random
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable
from itertools import pairwise
from pathlib import Path

import pytest

from core.bridge import in_database
from tests.chaos.browser import browser
from tests.chaos.rounds import Figures, assert_all_whole, kill_at_every_point
from tests.chaos.stage import Stage, assert_whole, make_stage, owner_pid, where_it_is
from tests.chaos.webs import Web, web_processes
from tests.responses_server import ResponsesServer

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.chaos, pytest.mark.timeout(1800)]
Report = Callable[[str], None]


@pytest.fixture
async def stage(transactional_db: None, upstream: ResponsesServer) -> Stage:
    return await in_database(make_stage, upstream)


@pytest.fixture
async def webs(stage: Stage, tmp_path: Path) -> AsyncIterator[list[Web]]:
    async with web_processes(tmp_path) as started:
        yield started


async def test_killed_at_every_point(stage: Stage, tmp_path: Path, times: int, report: Report) -> None:
    """Each round the process that has all the turns is killed, and the next one is started."""
    figures = Figures()
    async with web_processes(tmp_path, 1) as (web,), browser([web.port], stage.session) as tab:
        for _ in range(times):
            killing = asyncio.create_task(kill_at_every_point(stage, tab, web, figures))
            while web.is_running and not killing.done():
                await asyncio.sleep(0.05)
            web.begin()
            await web.answers()
            await assert_all_whole(stage, tab, await killing)
    report(str(figures))


async def test_killed_around_the_end(stage: Stage, webs: list[Web], times: int, report: Report) -> None:
    """Some milliseconds after the upstream's last byte, wherever that is."""
    landed: Counter[str] = Counter()
    first, second = webs
    async with browser([first.port, second.port], stage.session) as tab:
        for _ in range(times):
            asked = await stage.ask(tab, "the end")
            while not stage.has_answered(asked):
                await asyncio.sleep(0.001)
            await asyncio.sleep(random.random() * 0.03)  # noqa: S311 - nothing secret
            pid = await in_database(owner_pid, await tab.stored(asked.client_id))
            victim = second if pid == second.pid else first
            victim.kill()
            landed[await in_database(where_it_is, asked)] += 1
            await assert_whole(tab, asked)
            await victim.start()
    report(str(dict(landed)))


async def test_sigterm_drains(stage: Stage, webs: list[Web], times: int, report: Report) -> None:
    """A running turn finishes in the process that was asked to end, and its tab follows it in the other one."""
    stage.scripts = {"mid text": {"delay": 0.05}}
    gaps = []
    for _ in range(times):
        async with browser([web.port for web in webs], stage.session) as tab:
            asked = await stage.ask(tab, "mid text")
            turn = await tab.stored(asked.client_id)
            await tab.until(lambda shown=tab.page, turn=turn: len(shown.changes.get(turn, [])) > 3)
            pid = await in_database(owner_pid, turn)
            victim = next(web for web in webs if web.pid == pid)
            victim.ask_to_end()
            await assert_whole(tab, asked)
            changes = tab.page.changes[turn]
            gaps.append(max(later - earlier for earlier, later in pairwise(changes)))
            await victim.ended(30)
            await victim.start()
            assert stage.requests[asked.text] == 1, "it was handed over though it had time to finish"
    report(f"longest gap in the text {max(gaps):.2f} s")


async def test_tabs_in_two_processes_see_the_same_live(stage: Stage, webs: list[Web], times: int) -> None:
    stage.scripts = {"mid text": {"delay": 0.05}}
    first, second = webs
    for _ in range(times):
        async with (
            browser([first.port], stage.session) as writer,
            browser([second.port], stage.session) as reader,
        ):
            asked = await stage.ask(writer, "mid text")
            turn = await writer.stored(asked.client_id)
            await reader.subscribe(f"conversation:{asked.conversation}")
            await writer.until(lambda tab=writer, turn=turn: len(tab.page.changes.get(turn, [])) > 3)
            async with browser([second.port], stage.session) as reloaded:
                await reloaded.subscribe(f"conversation:{asked.conversation}")
                tabs = (writer, reader, reloaded)
                finals = [await tab.final(turn) for tab in tabs]
                await assert_whole(writer, asked)
                assert len({final["html"] for final in finals}) == 1
                assert len({tab.page.text(turn) for tab in tabs}) == 1
                ended = next(entry.finished for entry in stage.upstream.requests if asked.text in str(entry.body))
                for tab in tabs:
                    live = [at for at in tab.page.changes[turn] if at < (ended or 0)]
                    assert len(live) > 10, "it was not followed live"


async def test_stop_from_another_process(stage: Stage, webs: list[Web], times: int, report: Report) -> None:
    stage.scripts = {"stopped": {"delay": 0.2}}
    taken = []
    async with (
        browser([webs[0].port], stage.session) as writer,
        browser([webs[1].port], stage.session) as other,
    ):
        for _ in range(times):
            asked = await stage.ask(writer, "stopped")
            turn = await writer.stored(asked.client_id)
            await other.subscribe(f"conversation:{asked.conversation}")
            await other.until(lambda turn=turn: len(other.page.changes.get(turn, [])) > 2)
            pid = await in_database(owner_pid, turn)
            stopper = other if pid == webs[0].pid else writer
            entry = next(entry for entry in stage.upstream.requests if asked.text in str(entry.body))
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
    words = " ".join(f"{number:0>60}" + "\n\n" * (number % 50 == 0) for number in range(14_000))
    stage.scripts = {"long": {"text": words, "delay": 0.003}, "short": {}}
    async with browser([webs[0].port], stage.session) as tab, browser([webs[0].port], stage.session) as slow:
        warm = await stage.ask(tab, "short")
        await assert_whole(tab, warm)
        conversation = uuid.uuid4()
        asked = await stage.ask(tab, "long", conversation)
        turn = await tab.stored(asked.client_id)
        await slow.subscribe(f"conversation:{conversation}")
        await slow.until(lambda: len(slow.page.changes.get(turn, [])) > 1)
        slow.pause()
        before = webs[0].resident_bytes()
        while stage.deltas(asked) < 10_000:
            await asyncio.sleep(0.1)
        grown = webs[0].resident_bytes() - before
        slow.resume()
        final = await slow.final(turn, seconds=60)
        await tab.final(turn)
    report(f"the process grew by {grown / 1e6:.1f} MB while one tab watched and one did not read")
    assert final["html"] == tab.page.final[turn]["html"]
    assert grown < 30_000_000
