"""pytest plugin: a PostgreSQL and a Redis of the suite's own, and an environment that knows nothing of the user's.

Loaded with `-p` (pyproject.toml), since pytest-django reads the settings before any conftest is imported. The first
process of a run starts the servers in a temporary folder and stops them at its end; xdist workers find them through
the environment, and each has its own test database, its own Redis databases and its own prefix.
"""

import atexit
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from config.local.accounts import Account, me, service_account
from config.local.binaries import postgres_binaries, redis_binary
from config.local.keys import Keys, keep_keys
from config.local.options import known_names
from config.local.places import Places, claim, lay_out
from config.local.postgres import OWNER, Cluster
from config.local.process import Child
from config.local.redis import RedisServer
from config.local.waiting import soon

_ROOT = Path(__file__).resolve().parent.parent
_FOLDER = "PARLEY_TEST_SERVICES"
# tests look for tables in what others wait with; usually only the first kilobyte of a statement is told
WHOLE_STATEMENTS = {"track_activity_query_size": "16384"}
_DURABILITY_OFF = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "max_connections": "300"}


def servers_for(
    places: Places, keys: Keys, account: Account, *, overrides: Mapping[str, str] | None = None
) -> tuple[Cluster, RedisServer]:
    """The two servers of `config.local` on a folder that has been laid out."""
    binaries = postgres_binaries(places.software, account)
    cluster = Cluster(places=places, binaries=binaries, account=account, keys=keys, overrides=overrides or {})
    binary = redis_binary(places.software, account)
    return cluster, RedisServer(places=places, binary=binary, account=account, databases=128)


class Services:
    """The two servers of one run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._children: list[Child] = []
        account = service_account("parley") if me().uid == 0 else me()
        claim(folder)
        places = lay_out(folder, application=me(), servers=account)
        keys = keep_keys(places.keys)
        self.cluster, self.redis = servers_for(places, keys, account, overrides=_DURABILITY_OFF | WHOLE_STATEMENTS)

    @property
    def places(self) -> Places:
        return self.cluster.places

    def start(self) -> None:
        self.cluster.create()
        for program in (self.cluster.program(), self.redis.program()):
            with (self.places.log / f"{program.name}.log").open("ab") as log:
                self._children.append(Child(program, log))
        for ready in (self.redis.ready, self.cluster.ready):
            if not soon(ready, 60):
                pytest.exit(f"the servers of the test run do not answer; see {self.places.log}", returncode=3)
        self.cluster.settle(may_create_databases=True)

    def stop(self) -> None:
        while self._children:
            self._children.pop().stop(soon)
        shutil.rmtree(self.folder, ignore_errors=True)


def _forget_the_users_settings() -> None:
    for name in known_names():
        os.environ.pop(name, None)
    os.environ["ENV_FILE"] = os.devnull
    # a title's request would take the script of another one; its own tests switch it on
    os.environ["MODEL_TITLES"] = "false"


def _tell_addresses(services: Services) -> None:
    (services.folder / "app").mkdir()
    os.environ |= {
        _FOLDER: str(services.folder),
        "SECRET_KEY": secrets.token_urlsafe(48),
        "DATABASE_URL": services.cluster.url(OWNER),
        "DATA_DIR": str(services.folder / "app"),
        "PARLEY_TEST_REDIS_SOCKET": str(services.places.redis_socket),
    }


def _take_own_part() -> None:
    """Each worker its own Redis databases; pub/sub knows none, so each has a prefix too, and a name for PostgreSQL."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "")
    number = int(worker.removeprefix("gw")) + 1 if worker else 0
    socket = os.environ["PARLEY_TEST_REDIS_SOCKET"]
    os.environ |= {
        "PGAPPNAME": f"test-{worker or 'main'}",
        "REDIS_PREFIX": f"test-{worker or 'main'}",
        "REDIS_URL": f"unix://{socket}?db={2 * number}",
        "CELERY_BROKER_URL": f"redis+socket://{socket}?virtual_host={2 * number + 1}",
    }


_services: Services | None = None
if _FOLDER not in os.environ:
    _forget_the_users_settings()
    _services = Services(Path(tempfile.mkdtemp(prefix="parley-test-")))
    atexit.register(_services.stop)  # also where pytest ends before it has configured itself
    _tell_addresses(_services)
_take_own_part()


def pytest_configure(config: pytest.Config) -> None:
    # the whole server is thrown away at the end, so no worker needs to drop its database
    config.option.reuse_db = True
    if _services is not None and not (config.option.collectonly or config.option.help):
        _services.start()
        _collect_static()


def _collect_static() -> None:
    """Pages name style sheets and scripts by their content, so the files have to be collected first."""
    command = [sys.executable, str(_ROOT / "manage.py"), "collectstatic", "--noinput", "--verbosity=0"]
    subprocess.run(command, check=True, timeout=120)


def pytest_sessionfinish() -> None:
    """Close the pools: their threads would outlive the interpreter's patience."""
    if "django.db" in sys.modules:
        # importing them needs settings, which need this plugin
        from django.db import connections  # noqa: PLC0415
        from django.db.backends.postgresql.base import DatabaseWrapper  # noqa: PLC0415

        for connection in connections.all(initialized_only=True):
            connection.close()
            if isinstance(connection, DatabaseWrapper):
                connection.close_pool()


@pytest.hookimpl(trylast=True)
def pytest_unconfigure() -> None:
    if _services is not None:
        _services.stop()
