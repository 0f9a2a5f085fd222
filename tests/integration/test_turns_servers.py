"""`kill -9` of Redis and of PostgreSQL with turns at every point: each is finished, and nothing is said twice.

The fixed part of `make chaos`, as `test_takeover` is for the web process.
"""

from pathlib import Path

import pytest

from core.bridge import in_database
from tests.backends import database_url
from tests.chaos.rounds import ENVIRONMENT, POINTS, kill_server, until_all_landed
from tests.chaos.servers import database_of, own_servers
from tests.chaos.stage import make_stage
from tests.chaos.tally import Tally
from tests.chaos.tools import workshop
from tests.chaos.webs import web_processes
from tests.responses_server import ResponsesServer

pytestmark = pytest.mark.django_db(transaction=True)
# Seconds that a server stays away.
AWAY = 1.0


async def test_redis_killed(transactional_db: None, tmp_path: Path, upstream: ResponsesServer) -> None:
    tally, url = Tally("Redis killed"), database_url()
    with own_servers() as servers:
        await servers.start("redis")
        async with workshop() as tools, web_processes(tmp_path, 1, **ENVIRONMENT, **servers.redis_environment) as webs:
            stage = await in_database(make_stage, upstream, tools)
            absence = servers.absence("redis", AWAY)
            await until_all_landed(tally, 1, lambda _: kill_server(stage, url, tally, webs[0], absence))
    tally.assert_clean(POINTS, 1)


async def test_postgresql_killed(transactional_db: None, tmp_path: Path, upstream: ResponsesServer) -> None:
    tally = Tally("PostgreSQL killed")
    with own_servers() as servers:
        async with (
            database_of(servers) as url,
            workshop() as tools,
            web_processes(tmp_path, 1, **ENVIRONMENT, DATABASE_URL=url) as webs,
        ):
            stage = await in_database(make_stage, upstream, tools)
            absence = servers.absence("postgres", AWAY)
            await until_all_landed(tally, 1, lambda _: kill_server(stage, url, tally, webs[0], absence))
    tally.assert_clean(POINTS, 1)
