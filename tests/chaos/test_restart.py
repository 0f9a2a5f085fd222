"""Web processes that are asked to end, and many live streams across the end of one."""

import asyncio
import random
import time
from collections import Counter
from contextlib import AsyncExitStack
from itertools import pairwise

import pytest

from core.bridge import in_database
from tests.chaos.browser import PHONE, Browser, browser
from tests.chaos.evidence import Point, owner_pid, turn_row, where_it_is
from tests.chaos.stage import Asked, Stage
from tests.chaos.tally import LEASE, Report, Tallied
from tests.chaos.verdict import judge
from tests.chaos.webs import Web

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.chaos, pytest.mark.timeout(2400)]
STREAMS = 50
# Seconds that a person may see nothing new of an answer (`GAP`), and that running turns get (`chat.turns.runner`).
GAP = 10.0
DRAIN = 20.0


async def _under_way(stage: Stage, tab: Browser, point: str = Point.MID_TEXT) -> Asked:
    """Ask, and wait for some text."""
    asked = await stage.ask(tab, point)
    asked.turn = await tab.stored(asked.client_id)
    await tab.shows(asked.turn, 4)
    return asked


async def _owner(webs: list[Web], asked: Asked) -> tuple[Web, Web]:
    pid = await in_database(owner_pid, asked.turn)
    owner, other = sorted(webs, key=lambda web: web.pid != pid)
    return owner, other


def _longest_gap(tab: Browser, turn: str) -> float:
    return max(later - earlier for earlier, later in pairwise(tab.page.changes[turn]))


async def test_a_drained_process_finishes_its_turns(
    stage: Stage, webs: list[Web], times: int, tallied: Tallied, report: Report
) -> None:
    """A running turn finishes in the process that was asked to end, and its tab follows it in the other one."""
    tally = tallied("web asked to end, within its limit")
    stage.scripts = {Point.MID_TEXT: {"delay": 0.05}}
    gaps = []
    for _ in range(times):
        async with browser([web.port for web in webs], stage.session) as tab:
            asked = await _under_way(stage, tab)
            owner, other = await _owner(webs, asked)
            owner.ask_to_end()
            tally.landed(Point.MID_TEXT, await in_database(where_it_is, stage, asked))
            tally.blame(await judge(stage, [asked], port=other.port))
            gaps.append(_longest_gap(tab, asked.turn))
            await owner.ended(30)
            assert stage.requests[asked.text] == 1, "it was handed over though it had time to finish"
            await owner.start()
    report(f"longest gap in the text {max(gaps):.2f} s")
    tally.assert_clean([Point.MID_TEXT], times)


async def test_a_drained_process_hands_over_what_takes_too_long(
    stage: Stage, webs: list[Web], times: int, tallied: Tallied, report: Report
) -> None:
    tally = tallied("web asked to end, beyond its limit")
    handed = []
    stage.scripts = {Point.MID_TEXT: {"delay": 1.0}}
    for _ in range(times):
        async with browser([web.port for web in webs], stage.session) as tab:
            asked = await _under_way(stage, tab)
            owner, other = await _owner(webs, asked)
            epoch = (await in_database(turn_row, asked.turn)).epoch
            owner.ask_to_end()
            tally.landed(Point.MID_TEXT, await in_database(where_it_is, stage, asked))
            await owner.ended(DRAIN + 20)
            ended = time.monotonic()
            while (await in_database(turn_row, asked.turn)).epoch == epoch:
                await asyncio.sleep(0.02)
            handed.append(time.monotonic() - ended)
            tally.blame(await judge(stage, [asked], port=other.port))
            assert stage.requests[asked.text] == 2, "it was not handed over"
            await owner.start()
    report(f"taken over up to {max(handed):.1f} s after the end of the process")
    assert max(handed) < LEASE, "it was not let go of"
    tally.assert_clean([Point.MID_TEXT], times)


@pytest.mark.parametrize("how", ["killed", "asked to end"])
async def test_fifty_streams_over_a_restart(
    how: str, stage: Stage, webs: list[Web], times: int, tallied: Tallied, report: Report
) -> None:
    tally, gaps = tallied(f"web {how}, 50 streams"), []
    stage.scripts = {Point.MID_TEXT: {"delay": 0.3}}
    # each round has fifty
    for _ in range(max(1, times // 10)):
        async with AsyncExitStack() as tabs:
            opened = [
                await tabs.enter_async_context(browser([web.port for web in webs], stage.session))
                for _ in range(STREAMS)
            ]
            asked = await asyncio.gather(*(_under_way(stage, tab) for tab in opened))
            owners = [await in_database(owner_pid, one.turn) for one in asked]
            victim, other = sorted(webs, key=lambda web: -owners.count(web.pid))
            victim.freeze()
            for one, owner in zip(asked, owners, strict=True):
                where = await in_database(where_it_is, stage, one)
                tally.landed(Point.MID_TEXT, where if owner == victim.pid else "run by the other process")
            if how == "killed":
                victim.kill()
            else:
                victim.ask_to_end()
                victim.thaw()
            tally.blame(await judge(stage, asked, port=other.port))
            gaps += [_longest_gap(one.tab, one.turn) for one in asked]
            await victim.ended(DRAIN + 20)
            await victim.start()
    report(f"longest gap {max(gaps):.1f} s, median {sorted(gaps)[len(gaps) // 2]:.1f} s over {len(gaps)} streams")
    assert max(gaps) <= GAP
    # the tabs of all of them were there; most were also run there
    tally.assert_clean([Point.MID_TEXT], STREAMS * max(1, times // 10) // 2)


async def test_killed_around_the_end(
    stage: Stage, webs: list[Web], times: int, tallied: Tallied, report: Report
) -> None:
    """Some milliseconds after the upstream's last byte, wherever that is."""
    tally, landed = tallied("web killed"), Counter[str]()
    for _ in range(times):
        ports = [web.port for web in webs]
        async with browser(ports, stage.session) as tab, browser(ports[::-1], stage.session, user_agent=PHONE) as phone:
            asked = await stage.ask(tab, "around the end")
            asked.turn = await tab.stored(asked.client_id)
            await phone.watch(asked.conversation, asked.turn)
            victim, other = await _owner(webs, asked)
            while not stage.has_answered(asked.text):
                await asyncio.sleep(0.001)
            await asyncio.sleep(random.random() * 0.03)  # noqa: S311 - nothing secret
            victim.freeze()
            await asyncio.sleep(0.05)
            landed[await in_database(where_it_is, stage, asked)] += 1
            tally.landed("around the end", "around the end")
            victim.kill()
            victim.begin()
            tally.blame(await judge(stage, [asked], port=other.port, watchers=[phone]))
            await victim.answers()
    report(f"killed at {dict(landed)}")
    tally.assert_clean(["around the end"], times)
