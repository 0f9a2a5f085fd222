"""The services of docker-compose.yml as processes: their very commands and environments against real servers.

No Docker engine is needed. PostgreSQL is initialised with the file's arguments and deploy/postgres/roles.sql, Redis
runs from deploy/redis.sh; only hosts, ports and folders differ from the containers'.
"""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, LiteralString

import psycopg
import pytest
import redis

from config.local.accounts import Account, me, service_account
from config.local.binaries import PostgresBinaries, postgres_binaries, redis_binary
from config.local.keys import read_keys
from config.local.places import find_places
from config.local.postgres import ADMIN, Cluster
from tests.compose_file import ROOT, SECRETS, read

pytestmark = pytest.mark.timeout(300)

STARTUP_SECONDS = 90
# beat asks for work every 15 seconds
BEAT_SECONDS = 40
BEAT_FOLDER = "/tmp/"  # noqa: S108  (the container's, replaced here)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _until(predicate: Callable[[], bool], seconds: float, what: str) -> None:
    deadline = time.monotonic() + seconds
    while not predicate():
        assert time.monotonic() < deadline, f"{what} within {seconds} seconds"
        time.sleep(0.1)


@dataclass
class Machine:
    """Where the services run here instead of in containers, and what runs."""

    folder: Path
    servers: Account
    postgres: PostgresBinaries
    redis: Path
    database_port: int = field(default_factory=_free_port)
    redis_port: int = field(default_factory=_free_port)
    web_port: int = field(default_factory=_free_port)
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    services: dict[str, Any] = field(default_factory=lambda: read()["services"])

    def adapt(self, text: str) -> str:
        """Hosts, ports and folders of the containers → those of here."""
        return {"8000": str(self.web_port), "0.0.0.0": "127.0.0.1"}.get(
            text,
            text.replace("@postgres:5432", f"@127.0.0.1:{self.database_port}")
            .replace("@redis:6379", f"@127.0.0.1:{self.redis_port}")
            .replace(BEAT_FOLDER, f"{self.folder}/")
            .replace("/deploy/redis.sh", str(ROOT / "deploy/redis.sh")),
        )

    def environment(self, service: str) -> dict[str, str]:
        given = {name: self.adapt(value) for name, value in self.services[service]["environment"].items()}
        paths = [Path(sys.executable).parent, self.postgres.tree / "bin", self.redis.parent]
        ours = {
            "PATH": ":".join([*map(str, paths), os.defpath]),
            "HOME": str(self.folder),
            "PYTHONUNBUFFERED": "1",
            "DJANGO_SETTINGS_MODULE": "config.settings",
            # the image has no .env
            "ENV_FILE": os.devnull,
        }
        if "DATA_DIR" in given:
            ours["DATA_DIR"] = str(self.folder / "data")
        return {**given, **ours}

    def start(self, service: str, *more: str, as_servers: bool = False, **environment: str) -> None:
        command = [self.adapt(part) for part in self.services[service]["command"]]
        with (self.folder / f"{service}.log").open("ab") as log:
            self.running[service] = subprocess.Popen(
                [*command, *more],
                cwd=self.folder if as_servers else ROOT,
                env={**self.environment(service), **environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                **(self.servers.popen_arguments() if as_servers else {}),
            )

    def is_healthy(self, service: str, *more: str) -> bool:
        kind, *test = self.services[service]["healthcheck"]["test"]
        command = ["sh", "-c", *test] if kind == "CMD-SHELL" else [*map(self.adapt, test), *more]
        environment = {**self.environment(service), "REDISCLI_OPTS": "", "PGPORT": str(self.database_port)}
        if service == "redis":
            command[-1] = command[-1].replace("redis-cli", f"redis-cli -p {self.redis_port}")
        assert self.running[service].poll() is None, self.log(service)
        ended = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, check=False, timeout=30)
        return ended.returncode == 0

    def log(self, service: str) -> str:
        return (self.folder / f"{service}.log").read_text(errors="replace")[-4000:]

    def connect(self, role: str, password: str) -> psycopg.Connection[tuple[Any, ...]]:
        address = f"postgresql://{role}:{password}@127.0.0.1:{self.database_port}/parley"
        return psycopg.connect(address, autocommit=True)

    def count(self, query: LiteralString) -> int:
        with self.connect("parley_app", SECRETS["POSTGRES_APP_PASSWORD"]) as connection:
            row = connection.execute(query).fetchone()
        assert row
        return int(row[0])

    def stop(self, service: str) -> int:
        process = self.running.pop(service)
        process.send_signal(getattr(signal, self.services[service].get("stop_signal", "SIGTERM")))
        try:
            code = process.wait(timeout=_seconds(self.services[service]["stop_grace_period"]))
            _until(lambda: not _lives(process.pid), STARTUP_SECONDS, f"nothing is left of {service}")
            return code
        finally:
            if _lives(process.pid):
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def _lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def _seconds(text: str) -> int:
    number, unit = re.fullmatch(r"(\d+)([sm])", text).groups()  # type: ignore[union-attr]
    return int(number) * {"s": 1, "m": 60}[unit]


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    """PostgreSQL and Redis run, `migrate` has ended well."""
    servers = service_account("parley") if me().uid == 0 else me()
    software = find_places(Path(os.environ["PARLEY_TEST_SERVICES"])).software
    folder = Path(tempfile.mkdtemp(prefix="parley-compose-"))
    folder.chmod(0o755)
    here = Machine(folder, servers, postgres_binaries(software, servers), redis_binary(software, servers))
    try:
        _start_postgres(here)
        _start_redis(here)
        _migrate(here)
        yield here
    finally:
        for service in ("web", "worker", "beat", "redis", "postgres"):
            if service in here.running:
                here.stop(service)
        shutil.rmtree(folder, ignore_errors=True)


def _start_postgres(here: Machine) -> None:
    """As the image's entry point: initdb, the database, the scripts of docker-entrypoint-initdb.d, the command."""
    service = here.services["postgres"]
    given = service["environment"]
    place = here.folder / "postgres"
    place.mkdir(mode=0o700)
    os.chown(place, here.servers.uid, here.servers.gid)
    (here.folder / "password").write_text(given["POSTGRES_PASSWORD"] + "\n")
    shared: dict[str, Any] = {"cwd": "/", "check": True, "capture_output": True, **here.servers.popen_arguments()}
    command = [str(here.postgres.initdb), "--no-sync", "-D", str(place), f"--username={given['POSTGRES_USER']}"]
    command += [f"--pwfile={here.folder / 'password'}", *given["POSTGRES_INITDB_ARGS"].split()]
    subprocess.run(command, env=here.environment("postgres"), **shared)
    where = ["-c", f"port={here.database_port}", "-c", f"unix_socket_directories={place}", "-c", "fsync=off"]
    here.start("postgres", *where, as_servers=True, PGDATA=str(place))
    _until(lambda: here.is_healthy("postgres"), STARTUP_SECONDS, "PostgreSQL answers")
    login = {"PGPASSWORD": given["POSTGRES_PASSWORD"], "PGUSER": given["POSTGRES_USER"], "PGHOST": "127.0.0.1"}
    login |= {**here.environment("postgres"), "PGPORT": str(here.database_port)}
    psql = [str(here.postgres.tree / "bin/psql"), "-v", "ON_ERROR_STOP=1", "--no-psqlrc", "--quiet"]
    shared = {"env": login, "check": True, "stderr": subprocess.PIPE, "stdout": subprocess.PIPE}
    subprocess.run([*psql, "-d", "postgres", "-c", f"CREATE DATABASE {given['POSTGRES_DB']}"], **shared)
    [script] = [volume.split(":")[0] for volume in service["volumes"] if "initdb.d" in volume]
    subprocess.run([*psql, "-d", given["POSTGRES_DB"], "-f", str(ROOT / script)], **shared)


def _start_redis(here: Machine) -> None:
    here.start("redis", as_servers=True, REDIS_PORT=str(here.redis_port), REDIS_DIR="/")
    _until(lambda: here.is_healthy("redis"), STARTUP_SECONDS, "Redis answers")


def _migrate(here: Machine) -> None:
    for volume in ("files", "static"):
        (here.folder / "data" / volume).mkdir(parents=True)
    here.start("migrate")
    assert here.running["migrate"].wait(timeout=120) == 0, here.log("migrate")
    del here.running["migrate"]


def test_migrate_prints_the_first_sign_in_link(machine: Machine) -> None:
    assert re.search(r"http://localhost:8000/sign-in/\S+", machine.log("migrate"))


def test_the_application_cannot_change_tables(machine: Machine) -> None:
    with (
        machine.connect("parley_app", SECRETS["POSTGRES_APP_PASSWORD"]) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute("ALTER TABLE core_work ADD COLUMN more int")


def test_roles_and_rights_are_those_of_the_embedded_server(machine: Machine) -> None:
    places = find_places(Path(os.environ["PARLEY_TEST_SERVICES"]))
    embedded = Cluster(places=places, binaries=machine.postgres, account=machine.servers, keys=read_keys(places.keys))
    with (
        psycopg.connect(embedded.url(ADMIN)) as theirs,
        machine.connect("parley_admin", SECRETS["POSTGRES_ADMIN_PASSWORD"]) as ours,
    ):
        for query in _RIGHTS:
            found = ours.execute(query).fetchall()
            assert found, query
            assert found == theirs.execute(query).fetchall()


# `may_create_databases` of the test run is left out: only tests need it
_RIGHTS = (
    "SELECT rolname, rolsuper, rolcreaterole, rolcanlogin FROM pg_roles "
    "WHERE rolname IN ('parley_owner', 'parley_app') ORDER BY 1",
    "SELECT datacl::text, pg_get_userbyid(datdba), datlocprovider, datlocale, encoding FROM pg_database "
    "WHERE datname = 'parley'",
    "SELECT pg_get_userbyid(defaclrole), defaclobjtype, defaclacl::text FROM pg_default_acl ORDER BY 2",
    "SELECT nspacl::text, pg_get_userbyid(nspowner) FROM pg_namespace WHERE nspname = 'public'",
)


def test_redis_wants_the_password(machine: Machine) -> None:
    with (
        redis.Redis(host="127.0.0.1", port=machine.redis_port) as client,
        pytest.raises(redis.AuthenticationError),
    ):
        client.ping()
    with redis.Redis(host="127.0.0.1", port=machine.redis_port, password=SECRETS["REDIS_PASSWORD"]) as client:
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
        assert client.config_get("save") == {"save": ""}


def test_web_is_well_and_ends_in_time(machine: Machine) -> None:
    machine.start("web")
    _until(lambda: machine.is_healthy("web"), STARTUP_SECONDS, "web answers /healthz")
    assert machine.stop("web") in {0, -signal.SIGTERM}, machine.log("web")


def test_the_health_check_says_no_where_nobody_answers(machine: Machine) -> None:
    command = [sys.executable, "deploy/healthcheck.py", str(_free_port())]
    ended = subprocess.run(command, cwd=ROOT, env={"PUBLIC_URL": "http://localhost:8000"}, check=False)
    assert ended.returncode == 1


def test_beat_publishes_and_the_worker_does_what_waits(machine: Machine) -> None:
    waiting = machine.count("SELECT count(*) FROM core_work WHERE state = 'waiting'")
    assert waiting, "bootstrap leaves documents to be read"
    broker = redis.Redis.from_url(machine.environment("beat")["CELERY_BROKER_URL"])
    with broker:
        broker.flushall()  # what bootstrap rang for is lost; the rows are not
        machine.start("beat")
        _until(lambda: _queued(broker) > 0, BEAT_SECONDS, "beat publishes")
    machine.start("worker")
    _until(lambda: machine.count("SELECT count(*) FROM core_work") == 0, STARTUP_SECONDS, "the worker is done")
    assert machine.count("SELECT count(*) FROM retrieval_document WHERE state = 'ready'") >= waiting
    assert machine.count("SELECT count(*) FROM retrieval_document WHERE state <> 'ready'") == 0
    assert machine.stop("worker") == 0, machine.log("worker")
    assert machine.stop("beat") == 0, machine.log("beat")


def _queued(broker: "redis.Redis") -> int:
    return int(broker.llen("parley:celery:celery"))  # type: ignore[arg-type]
