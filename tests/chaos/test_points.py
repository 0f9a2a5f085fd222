"""`kill -9` at every point of a turn's way: of the web process, of Redis, of PostgreSQL."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from core.bridge import in_database
from tests.backends import database_url
from tests.chaos.rounds import ENVIRONMENT, POINTS, kill_server, kill_web, until_all_landed
from tests.chaos.servers import database_of, own_servers
from tests.chaos.stage import Stage, make_stage
from tests.chaos.tally import Tallied
from tests.chaos.tools import workshop
from tests.chaos.webs import web_processes
from tests.responses_server import ResponsesServer

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.chaos, pytest.mark.timeout(3600)]
# Seconds that a server stays away.
AWAY = 2.0


@pytest.fixture
async def stage(transactional_db: None, upstream: ResponsesServer) -> AsyncIterator[Stage]:
    async with workshop() as tools:
        yield await in_database(make_stage, upstream, tools)


async def test_web_killed(stage: Stage, tmp_path: Path, times: int, tallied: Tallied) -> None:
    """Its turns are finished by itself when it is back."""
    tally = tallied("web killed, alone")
    async with web_processes(tmp_path, 1, **ENVIRONMENT) as (web,):
        await until_all_landed(tally, times, lambda _: kill_web(stage, database_url(), tally, web))
    tally.assert_clean(POINTS, times)


async def test_one_web_of_two_killed(stage: Stage, tmp_path: Path, times: int, tallied: Tallied) -> None:
    """Its turns are finished by the other process; the next round kills that one."""
    tally = tallied("web killed, another left")
    async with web_processes(tmp_path, 2, **ENVIRONMENT) as webs:

        async def play(number: int) -> None:
            victim, other = webs[number % 2], webs[(number + 1) % 2]
            await kill_web(stage, database_url(), tally, victim, [other])

        await until_all_landed(tally, times, play)
    tally.assert_clean(POINTS, times)


async def test_redis_killed(stage: Stage, tmp_path: Path, times: int, tallied: Tallied) -> None:
    """It is away for two seconds and comes back empty."""
    tally, url = tallied("Redis killed"), database_url()
    with own_servers() as servers:
        await servers.start("redis")
        async with web_processes(tmp_path, 1, **ENVIRONMENT, **servers.redis_environment) as (web,):
            await until_all_landed(
                tally, times, lambda _: kill_server(stage, url, tally, web, servers.absence("redis", AWAY))
            )
    tally.assert_clean(POINTS, times)


async def test_postgresql_killed(
    transactional_db: None, upstream: ResponsesServer, tmp_path: Path, times: int, tallied: Tallied
) -> None:
    """It is away for two seconds; what it had acknowledged is there when it is back."""
    tally = tallied("PostgreSQL killed")
    with own_servers() as servers:
        async with (
            database_of(servers) as url,
            workshop() as tools,
            web_processes(tmp_path, 1, **ENVIRONMENT, DATABASE_URL=url) as (web,),
        ):
            stage = await in_database(make_stage, upstream, tools)
            await until_all_landed(
                tally, times, lambda _: kill_server(stage, url, tally, web, servers.absence("postgres", AWAY))
            )
    tally.assert_clean(POINTS, times)
