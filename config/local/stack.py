"""Which programs make up Parley on one machine, with which environment each."""

import dataclasses
import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass

from config.local.accounts import Account
from config.local.binaries import postgres_binaries, redis_binary
from config.local.commands import (
    TURN_DRAIN_SECONDS,
    WEB_DRAIN_SECONDS,
    beat_command,
    manage_command,
    web_command,
    worker_command,
)
from config.local.keys import Keys
from config.local.options import BASE_DIR, Options
from config.local.places import Places
from config.local.postgres import OWNER, Cluster
from config.local.process import MARK, Program, Stage
from config.local.redis import RedisServer

# requests first, then background work, then what both need
STOP_ORDER = ("web", "worker", "beat", "redis", "postgres")

_SILENT = r"(?!)"


@dataclass(frozen=True, kw_only=True)
class Stack:
    """The programs; `cluster` and `redis` are None where the settings name servers of one's own."""

    options: Options
    places: Places
    keys: Keys
    cluster: Cluster | None
    redis: RedisServer | None

    def environment(self, *, as_owner: bool = False) -> dict[str, str]:
        """What Django's settings read. `as_owner` takes the role that may change tables."""
        given = {**self.options.environment}
        given |= {
            "DATA_DIR": str(self.places.data),
            "PORT": str(self.options.port),
            "PUBLIC_URL": self.options.public_url,
            "SECRET_KEY": given.get("SECRET_KEY") or self.keys.secret_key,
            "DJANGO_SETTINGS_MODULE": "config.settings",
            # what it holds is here already, and the children's user may not be able to read it
            "ENV_FILE": os.devnull,
        }
        if self.cluster:
            given |= {"DATABASE_URL": self.cluster.url(), "DATABASE_OWNER_URL": self.cluster.url(OWNER)}
        if self.redis:
            ours = {"REDIS_URL": self.redis.url(), "CELERY_BROKER_URL": self.redis.broker_url()}
            given |= {name: url for name, url in ours.items() if not given.get(name)}
        if as_owner:
            given["DATABASE_URL"] = given.get("DATABASE_OWNER_URL") or given["DATABASE_URL"]
        return given

    def migrate(self) -> Program:
        return self._step("migrate", "migrate", "--no-input", as_owner=True)

    def collect_static(self) -> Program:
        return self._step("collectstatic", "collectstatic", "--no-input")

    def bootstrap(self) -> Program:
        step = self._step("bootstrap", "bootstrap")
        # a sign-in link belongs on the terminal, not in a file; what else matters it says itself, not in log lines
        return dataclasses.replace(step, confidential=True, environment={**step.environment, "LOG_LEVEL": "ERROR"})

    def web(self) -> Program:
        command = web_command(host=self.options.host, port=self.options.port, processes=self.options.web_processes)
        return Program(
            name="web",
            command=command,
            environment=self._child_environment(),
            directory=BASE_DIR,
            stop=(Stage(signal.SIGTERM, WEB_DRAIN_SECONDS + TURN_DRAIN_SECONDS),),
        )

    def worker(self) -> Program:
        return Program(
            name="worker",
            command=worker_command(concurrency=self.options.worker_concurrency),
            environment=self._child_environment(),
            directory=BASE_DIR,
            # finishes what it has begun, then gives it back
            stop=(Stage(signal.SIGTERM, 20), Stage(signal.SIGQUIT, 8)),
            orphan_signal=signal.SIGQUIT,
        )

    def beat(self) -> Program:
        return Program(
            name="beat",
            command=beat_command(schedule=self.places.beat_schedule),
            environment=self._child_environment(),
            directory=BASE_DIR,
            stop=(Stage(signal.SIGTERM, 5),),
        )

    def _step(self, name: str, *arguments: str, as_owner: bool = False) -> Program:
        return Program(
            name=name,
            command=manage_command(*arguments),
            environment=self._child_environment(as_owner=as_owner),
            directory=BASE_DIR,
            shows=_SILENT,
        )

    def _child_environment(self, *, as_owner: bool = False) -> Mapping[str, str]:
        return {
            **self.environment(as_owner=as_owner),
            "PYTHONUNBUFFERED": "1",
            MARK: str(self.places.data),
        }


def make_stack(options: Options, places: Places, keys: Keys, servers: Account) -> Stack:
    """Raises `LocalError` where a server's program is missing."""
    cluster = redis = None
    if options.database_is_ours:
        binaries = postgres_binaries(places.software, servers)
        cluster = Cluster(places=places, binaries=binaries, account=servers, keys=keys)
    if options.redis_is_ours:
        redis = RedisServer(places=places, binary=redis_binary(places.software, servers), account=servers)
    return Stack(options=options, places=places, keys=keys, cluster=cluster, redis=redis)
