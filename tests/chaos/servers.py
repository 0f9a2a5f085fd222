"""A PostgreSQL and a Redis that a test may kill, freeze and empty, and a test database in that PostgreSQL."""

import asyncio
import os
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Literal
from urllib.parse import unquote, urlsplit

import redis
from django.conf import settings
from django.core.management import call_command
from django.db import connections
from django.db.backends.postgresql.base import DatabaseWrapper

from config.local.postgres import OWNER
from config.local.process import Child
from core.bridge import in_database
from tests.services import WHOLE_STATEMENTS, Services

Name = Literal["postgres", "redis"]
Absence = Callable[[], AbstractAsyncContextManager[None]]


class OwnServers:
    """The two servers of one test; none runs before `start`."""

    def __init__(self, services: Services) -> None:
        # what was acknowledged has to survive, so this one writes as it does in earnest
        services.cluster = replace(services.cluster, overrides=WHOLE_STATEMENTS)
        self._services = services
        self._children: dict[Name, Child] = {}

    @property
    def database_url(self) -> str:
        return self._services.cluster.url(OWNER)

    @property
    def redis_environment(self) -> dict[str, str]:
        server = self._services.redis
        return {"REDIS_URL": server.url(), "CELERY_BROKER_URL": server.broker_url()}

    async def start(self, name: Name) -> None:
        await asyncio.to_thread(self.start_now, name)

    def start_now(self, name: Name) -> None:
        """Start a server and wait until it answers."""
        server = self._services.cluster if name == "postgres" else self._services.redis
        with (self._services.places.log / f"{name}.log").open("ab") as log:
            self._children[name] = Child(server.program(), log)
        deadline = time.monotonic() + 60
        while not server.ready():
            assert time.monotonic() < deadline, f"{name} does not answer"
            time.sleep(0.02)

    def settle(self) -> None:
        self._services.cluster.settle()

    async def end(self, name: Name, how: signal.Signals) -> None:
        await asyncio.to_thread(self._end, name, how)

    def _end(self, name: Name, how: signal.Signals) -> None:
        child = self._children[name]
        child.send(how)
        deadline = time.monotonic() + 30
        while child.status() is None:
            assert time.monotonic() < deadline, f"{name} does not end"
            time.sleep(0.02)
        child.sweep()

    def absence(self, name: Name, seconds: float) -> Absence:
        """Return what kills the server, and starts it again so many seconds after its block."""

        @asynccontextmanager
        async def away() -> AsyncIterator[None]:
            await self.end(name, signal.SIGKILL)
            yield
            await asyncio.sleep(seconds)
            await self.start(name)

        return away

    def freeze(self, name: Name) -> None:
        """Let the server and all its processes hang: connections stay open, nothing is answered."""
        self._signal(name, signal.SIGSTOP)

    def thaw(self, name: Name) -> None:
        self._signal(name, signal.SIGCONT)

    def _signal(self, name: Name, number: signal.Signals) -> None:
        main = self._children[name]
        main.send(number)
        for process in _children_of(main.pid):  # PostgreSQL's are in sessions of their own
            with suppress(ProcessLookupError):
                os.kill(process, number)

    def empty_redis(self) -> None:
        with redis.Redis(unix_socket_path=str(self._services.redis.places.redis_socket)) as client:
            client.flushall()

    def end_all(self) -> None:
        for name, child in self._children.items():
            if child.status() is None:
                self.thaw(name)
                self._end(name, signal.SIGKILL)


def _children_of(parent: int) -> list[int]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(FileNotFoundError, ProcessLookupError):
            if int(stat.read_text().rpartition(")")[2].split()[1]) == parent:
                found.append(int(stat.parent.name))
    return found


@contextmanager
def own_servers() -> Iterator[OwnServers]:
    """Servers in a folder of their own, which goes with them."""
    services = Services(Path(tempfile.mkdtemp(prefix="parley-chaos-")))
    services.cluster.create()
    own = OwnServers(services)
    try:
        yield own
    finally:
        own.end_all()
        shutil.rmtree(services.folder, ignore_errors=True)


@asynccontextmanager
async def database_of(servers: OwnServers) -> AsyncIterator[str]:
    """Start PostgreSQL and let this process use it as its test database; gives its address."""
    await servers.start("postgres")
    await asyncio.to_thread(servers.settle)
    parts = urlsplit(servers.database_url)
    wanted: dict[str, object] = {
        "NAME": parts.path.removeprefix("/"),
        "USER": parts.username,
        "PASSWORD": parts.password,
        "HOST": unquote(parts.query.removeprefix("host=")),
    }
    former = {name: connections["default"].settings_dict[name] for name in wanted}
    await _use(wanted)
    try:
        await in_database(call_command, "migrate", verbosity=0)
        yield servers.database_url
    finally:
        await _use(former)


async def _use(values: dict[str, object]) -> None:
    """Close what every thread of the bridge keeps, and have the next connections lead there."""
    all_at_once = threading.Barrier(settings.DATABASE_THREADS)

    def close() -> None:
        all_at_once.wait(20)
        connections.close_all()

    await asyncio.gather(*(in_database(close) for _ in range(settings.DATABASE_THREADS)))
    wrapper = connections["default"]
    assert isinstance(wrapper, DatabaseWrapper)
    wrapper.close_pool()
    wrapper.settings_dict.update(values)
