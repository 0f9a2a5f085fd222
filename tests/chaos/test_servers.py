"""Redis and PostgreSQL that end and come back under running turns. Both are the test's own."""

import asyncio
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
import redis
from django.core.management import call_command
from django.db import connections
from django.db.backends.postgresql.base import DatabaseWrapper

from chat.models import Turn
from config.local.postgres import OWNER
from config.local.process import Child
from config.local.redis import RedisServer
from core.bridge import in_database
from tests.chaos.browser import browser
from tests.chaos.stage import Stage, assert_whole, make_stage
from tests.chaos.webs import web_processes
from tests.responses_server import ResponsesServer
from tests.services import Services

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.chaos, pytest.mark.timeout(1800)]
Report = Callable[[str], None]
# Seconds that a server stays away.
AWAY = 2.0


class OwnServers:
    """A PostgreSQL and a Redis that a test may break."""

    def __init__(self, services: Services) -> None:
        # what was acknowledged has to survive, so this one writes as it does in earnest
        services.cluster = replace(services.cluster, overrides={})
        self._services = services
        self._children: dict[str, Child] = {}

    @property
    def redis(self) -> RedisServer:
        return self._services.redis

    @property
    def database_url(self) -> str:
        return self._services.cluster.url(OWNER)

    def settle(self) -> None:
        self._services.cluster.settle()

    def start(self, name: str) -> None:
        server = self._services.cluster if name == "postgres" else self._services.redis
        with (self._services.places.log / f"{name}.log").open("ab") as log:
            self._children[name] = Child(server.program(), log)
        deadline = time.monotonic() + 60
        while not server.ready():
            assert time.monotonic() < deadline, f"{name} does not answer"
            time.sleep(0.02)

    def end(self, name: str, how: signal.Signals) -> None:
        child = self._children[name]
        child.send(how)
        deadline = time.monotonic() + 30
        while child.status() is None:
            assert time.monotonic() < deadline, f"{name} does not end"
            time.sleep(0.02)
        child.sweep()

    def end_all(self) -> None:
        for name, child in self._children.items():
            if child.status() is None:
                self.end(name, signal.SIGKILL)


@pytest.fixture
def servers() -> Iterator[OwnServers]:
    services = Services(Path(tempfile.mkdtemp(prefix="parley-chaos-")))
    services.cluster.create()
    own = OwnServers(services)
    try:
        yield own
    finally:
        own.end_all()
        shutil.rmtree(services.folder, ignore_errors=True)


@pytest.fixture
async def stage(transactional_db: None, upstream: ResponsesServer) -> Stage:
    return await in_database(make_stage, upstream)


def _redis_environment(server: RedisServer) -> dict[str, str]:
    return {"REDIS_URL": server.url(), "CELERY_BROKER_URL": server.broker_url()}


def _empty(server: RedisServer) -> None:
    with redis.Redis(unix_socket_path=str(server.places.redis_socket)) as client:
        client.flushall()


@pytest.mark.parametrize("broken", ["restarted", "emptied"])
async def test_redis_mid_text(
    broken: str, servers: OwnServers, stage: Stage, tmp_path: Path, times: int, report: Report
) -> None:
    """The turn finishes; watchers in its own and in another process end with the stored text."""
    stage.scripts = {"mid text": {"delay": 0.08}}
    await asyncio.to_thread(servers.start, "redis")
    late = []
    async with web_processes(tmp_path, **_redis_environment(servers.redis)) as (first, second):
        for _ in range(times):
            async with (
                browser([first.port, second.port], stage.session) as writer,
                browser([second.port, first.port], stage.session) as reader,
            ):
                asked = await stage.ask(writer, "mid text")
                turn = await writer.stored(asked.client_id)
                await reader.subscribe(f"conversation:{asked.conversation}")
                await reader.until(lambda tab=reader, turn=turn: len(tab.page.changes.get(turn, [])) > 3)
                if broken == "emptied":
                    await asyncio.to_thread(_empty, servers.redis)
                else:
                    await asyncio.to_thread(servers.end, "redis", signal.SIGKILL)
                    await asyncio.sleep(AWAY)
                    await asyncio.to_thread(servers.start, "redis")
                await assert_whole(writer, asked)
                ended = time.monotonic()
                final = await reader.final(turn)
                late.append(time.monotonic() - ended)
                assert final["html"] == writer.page.final[turn]["html"]
                assert stage.requests[asked.text] == 1
    report(f"the other process showed the end up to {max(late):.1f} s later")


@contextmanager
def _database_of(servers: OwnServers) -> Iterator[str]:
    """Let this process use the test's own cluster; gives its address."""
    url = servers.database_url
    parts = urlsplit(url)
    wanted = {
        "NAME": parts.path.removeprefix("/"),
        "USER": parts.username,
        "PASSWORD": parts.password,
        "HOST": unquote(parts.query.removeprefix("host=")),
    }
    former = {name: connections["default"].settings_dict[name] for name in wanted}

    def use(values: dict[str, object]) -> None:
        wrapper = connections["default"]
        assert isinstance(wrapper, DatabaseWrapper)
        wrapper.close()
        wrapper.close_pool()
        wrapper.settings_dict.update(values)

    use(wanted)
    try:
        call_command("migrate", verbosity=0)
        yield url
    finally:
        use(former)


@pytest.fixture
def own_database(transactional_db: None, servers: OwnServers) -> Iterator[str]:
    servers.start("postgres")
    servers.settle()
    with _database_of(servers) as url:
        yield url


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL], ids=["stopped", "killed"])
async def test_postgresql_mid_text(
    how: signal.Signals,
    servers: OwnServers,
    own_database: str,
    upstream: ResponsesServer,
    tmp_path: Path,
    times: int,
    report: Report,
) -> None:
    """One turn is in the middle when the database comes back, one ends while it is away, one is sent meanwhile."""
    stage = await in_database(make_stage, upstream)
    stage.scripts = {"long": {"delay": 0.1}, "short": {"delay": 0.02}}
    recovered = []
    async with (
        web_processes(tmp_path, DATABASE_URL=own_database) as webs,
        browser([web.port for web in webs], stage.session) as tab,
    ):
        for _ in range(times):
            asked = [await stage.ask(tab, point) for point in ("long", "short")]
            for one in asked:
                one.turn = await tab.stored(one.client_id)
                await tab.until(lambda turn=one.turn: tab.page.changes.get(turn))
            await asyncio.to_thread(servers.end, "postgres", how)
            asked.append(await stage.ask(tab, "meanwhile"))
            await asyncio.sleep(AWAY)
            await asyncio.to_thread(servers.start, "postgres")
            begun = time.monotonic()
            for one in asked:
                await assert_whole(tab, one)
            recovered.append(time.monotonic() - begun)
            assert not await in_database(Turn.objects.exclude(status__in=Turn.FINAL).exists)
    report(f"everything final {max(recovered):.1f} s after the server was back, at most")
