"""Redis and PostgreSQL that go, hang, are emptied and come back while people watch in two processes."""

import asyncio
import signal
import time
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

from core.bridge import in_database
from tests.chaos.browser import PHONE, browser
from tests.chaos.evidence import Point, where_it_is
from tests.chaos.servers import Name, OwnServers, database_of, own_servers
from tests.chaos.stage import Stage, make_stage
from tests.chaos.tally import Report, Tallied, Tally
from tests.chaos.verdict import judge
from tests.chaos.webs import Web, web_processes
from tests.responses_server import ResponsesServer

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.chaos, pytest.mark.timeout(2400)]
Strike = Callable[[], Coroutine[Any, Any, None]]


@pytest.fixture
def servers() -> Iterator[OwnServers]:
    with own_servers() as own:
        yield own


async def _round(stage: Stage, webs: list[Web], tally: Tally, strike: Strike) -> float:
    """One answer grows while something is broken, one ends, one is asked for; returns the seconds to the last end."""
    first, second = webs
    async with (
        browser([first.port, second.port], stage.session) as writer,
        browser([second.port, first.port], stage.session, user_agent=PHONE) as phone,
    ):
        asked = [await stage.ask(writer, point) for point in (Point.MID_TEXT, "about to end")]
        for one in asked:
            one.turn = await writer.stored(one.client_id)
            await phone.watch(one.conversation, one.turn)
            for tab in (writer, phone):
                await tab.shows(one.turn)
        tally.landed(Point.MID_TEXT, await in_database(where_it_is, stage, asked[0]))
        striking = asyncio.create_task(strike())
        await asyncio.sleep(0.5)
        asked.append(await stage.ask(writer, "meanwhile"))
        await striking
        begun = time.monotonic()
        tally.blame(await judge(stage, asked, port=second.port, watchers=[phone]))
        return time.monotonic() - begun


def _scripts(seconds: float) -> dict[str, dict[str, float]]:
    return {Point.MID_TEXT: {"delay": (seconds + 3) / 70}, "about to end": {"delay": 0.02}}


async def test_redis_is_emptied(
    servers: OwnServers, stage: Stage, tmp_path: Path, times: int, tallied: Tallied
) -> None:
    tally = tallied("Redis emptied")
    stage.scripts = _scripts(2)

    async def strike() -> None:
        await asyncio.to_thread(servers.empty_redis)

    await servers.start("redis")
    async with web_processes(tmp_path, 2, **servers.redis_environment) as webs:
        for _ in range(times):
            await _round(stage, webs, tally, strike)
    assert all(count == 1 for count in stage.requests.values()), stage.requests
    tally.assert_clean([Point.MID_TEXT], times)


def _hanging(servers: OwnServers, name: Name, seconds: float) -> Strike:
    async def strike() -> None:
        servers.freeze(name)
        await asyncio.sleep(seconds)
        servers.thaw(name)

    return strike


@pytest.mark.parametrize("seconds", [10, 60])
async def test_redis_hangs(
    seconds: int, servers: OwnServers, stage: Stage, tmp_path: Path, times: int, tallied: Tallied, report: Report
) -> None:
    """No answer waits for it: what it carries are copies and hints."""
    tally, rounds = tallied(f"Redis hangs for {seconds} s"), _rounds(times, seconds)
    stage.scripts = _scripts(seconds)
    await servers.start("redis")
    async with web_processes(tmp_path, 2, **servers.redis_environment) as webs:
        ends = [await _round(stage, webs, tally, _hanging(servers, "redis", seconds)) for _ in range(rounds)]
    report(f"everything shown {max(ends):.1f} s after it went on, at most")
    assert all(count == 1 for count in stage.requests.values()), stage.requests
    tally.assert_clean([Point.MID_TEXT], rounds)


@pytest.mark.parametrize("seconds", [10, 60])
async def test_postgresql_hangs(
    seconds: int,
    servers: OwnServers,
    transactional_db: None,
    upstream: ResponsesServer,
    tmp_path: Path,
    times: int,
    tallied: Tallied,
    report: Report,
) -> None:
    """Turns wait and go on, by whoever is there."""
    tally, rounds = tallied(f"PostgreSQL hangs for {seconds} s"), _rounds(times, seconds)
    async with database_of(servers) as url, web_processes(tmp_path, 2, DATABASE_URL=url) as webs:
        stage = await in_database(make_stage, upstream)
        stage.scripts = _scripts(seconds)
        ends = [await _round(stage, webs, tally, _hanging(servers, "postgres", seconds)) for _ in range(rounds)]
    report(f"everything shown {max(ends):.1f} s after it went on, at most")
    tally.assert_clean([Point.MID_TEXT], rounds)


def _rounds(times: int, seconds: int) -> int:
    """Long ones are fewer: they differ in what times out meanwhile, not in when they begin."""
    return times if seconds < 30 else max(1, times // 4)


@pytest.mark.parametrize("how", ["killed", "hanging"])
async def test_nobody_waits_for_redis(
    how: str, servers: OwnServers, stage: Stage, tmp_path: Path, times: int, tallied: Tallied, report: Report
) -> None:
    """Pages that are opened while it is away work: their messages are taken and answered before it is back."""
    tally, taken = tallied(f"Redis away, {how}"), []
    await servers.start("redis")
    async with web_processes(tmp_path, 2, **servers.redis_environment) as (first, second):
        for _ in range(times):
            if how == "killed":
                await servers.end("redis", signal.SIGKILL)
            else:
                servers.freeze("redis")
            async with browser([first.port], stage.session) as tab, browser([second.port], stage.session) as other:
                begun = time.monotonic()
                asked = [await stage.ask(one, "meanwhile") for one in (tab, other)]
                tally.blame(await judge(stage, asked, port=second.port))
                taken.append(time.monotonic() - begun)
                tally.landed("opened meanwhile", "opened meanwhile")
            if how == "killed":
                await servers.start("redis")
            else:
                servers.thaw("redis")
    report(f"answered after {max(taken):.1f} s at most")
    tally.assert_clean(["opened meanwhile"], times)
