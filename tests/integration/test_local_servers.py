"""The embedded PostgreSQL and Redis: rights of the roles, violent deaths, and starts after them."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import psycopg
import pytest
import redis
from kombu import Connection
from psycopg import errors

from config.local.keys import read_keys
from config.local.leftovers import end_leftovers
from config.local.options import BASE_DIR
from config.local.places import cluster_path, find_places
from config.local.postgres import APP, OWNER, Cluster
from config.local.redis import RedisServer
from tests.services import servers_for
from tests.supervised import servers_account


class Installation:
    """A supervised pair of servers on one data folder, started and ended as often as a test likes."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.process: subprocess.Popen[str] | None = None
        self.seconds = 0.0

    def start(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.supervised", str(self.data), "[]"],
            cwd=BASE_DIR,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        said = []
        for line in self.process.stdout:
            said.append(line)
            if line.startswith("seconds"):
                self.seconds = float(line.split()[1])
            if line == "up\n":
                return
        raise AssertionError(f"it did not start: {said}")

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        self.process.communicate(timeout=60)
        return self.process.returncode

    @property
    def cluster(self) -> Cluster:
        return self._servers()[0]

    @property
    def redis(self) -> RedisServer:
        return self._servers()[1]

    def _servers(self) -> tuple[Cluster, RedisServer]:
        places = find_places(self.data)
        return servers_for(places, read_keys(places.keys), servers_account())

    def postmaster(self) -> int:
        return int((cluster_path(self.data) / "postmaster.pid").read_text().split("\n")[0])

    def processes(self) -> list[psutil.Process]:
        """Every process of PostgreSQL or Redis that works in the data folder."""
        found = []
        for process in psutil.process_iter(["cwd", "status"]):
            inside = str(process.info["cwd"] or "").startswith(str(self.data))
            if inside and process.info["status"] != psutil.STATUS_ZOMBIE:
                found.append(process)
        return found


@pytest.fixture(scope="module")
def one_folder() -> Iterator[Installation]:
    folder = Path(tempfile.mkdtemp(prefix="parley-local-"))
    folder.chmod(0o711)
    made = Installation(folder / "data")
    yield made
    if made.process and made.process.poll() is None:
        made.end()
    assert made.processes() == []
    shutil.rmtree(folder)


@pytest.fixture
def installation(one_folder: Installation) -> Installation:
    """Running, whatever the test before has done to it."""
    if one_folder.process is None or one_folder.process.poll() is not None:
        one_folder.start()
    return one_folder


def soon(predicate: Callable[[], bool], seconds: float = 20) -> bool:
    deadline = time.monotonic() + seconds
    while not predicate():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def connect(installation: Installation, role: str) -> "psycopg.Connection[tuple[object, ...]]":
    return psycopg.connect(installation.cluster.url(role), autocommit=True)


def test_the_database_is_what_the_design_asks_for(installation: Installation) -> None:
    with connect(installation, APP) as connection:
        row = connection.execute(
            """SELECT current_setting('server_version_num')::int / 10000, current_setting('data_checksums'),
                      current_setting('listen_addresses'), current_setting('fsync'), pg_encoding_to_char(encoding),
                      datlocprovider::text, datlocale, (SELECT extversion FROM pg_extension WHERE extname = 'vector')
               FROM pg_database WHERE datname = current_database()"""
        ).fetchone()
    assert row is not None
    assert row[:7] == (18, "on", "", "on", "UTF8", "b", "C.UTF-8")
    assert str(row[7]) >= "0.8"


def test_letters_of_any_language_have_a_lower_case(installation: Installation) -> None:
    with connect(installation, APP) as connection:
        row = connection.execute("SELECT lower('ÄÖÜ ŁÓDŹ ΑΘΗΝΑ'), 'É' ILIKE 'é'").fetchone()
    assert row == ("äöü łódź αθηνα", True)


def test_the_application_reads_and_writes_rows_but_changes_no_tables(installation: Installation) -> None:
    with connect(installation, OWNER) as owner, connect(installation, APP) as app:
        owner.execute("CREATE TABLE things (id bigint GENERATED BY DEFAULT AS IDENTITY, name text)")
        owner.execute("CREATE SEQUENCE numbers")
        app.execute("INSERT INTO things (name) VALUES ('a'), ('b')")
        app.execute("UPDATE things SET name = 'c' WHERE name = 'b'")
        app.execute("DELETE FROM things WHERE name = 'a'")
        assert app.execute("SELECT name, nextval('numbers') FROM things").fetchall() == [("c", 1)]
        for forbidden in (
            "CREATE TABLE others (id int)",
            "ALTER TABLE things ADD COLUMN more int",
            "DROP TABLE things",
            "TRUNCATE things",
            "CREATE INDEX ON things (name)",
            "CREATE SCHEMA mine",
            "CREATE DATABASE another",
            "CREATE ROLE another",
            "CREATE EXTENSION plpgsql",
            "SELECT pg_read_file('PG_VERSION')",
            "COPY things TO PROGRAM 'true'",
        ):
            with pytest.raises((errors.InsufficientPrivilege, errors.DuplicateObject)):
                app.execute(forbidden)
        owner.execute("DROP TABLE things; DROP SEQUENCE numbers")
        for forbidden in ("CREATE DATABASE another", "CREATE ROLE another", "COPY pg_class TO PROGRAM 'true'"):
            with pytest.raises(errors.InsufficientPrivilege):
                owner.execute(forbidden)


@pytest.mark.parametrize("url", ["postgresql://parley_app:wrong@", "postgresql://parley_admin@"])
def test_nobody_gets_in_without_the_password(installation: Installation, url: str) -> None:
    host = installation.cluster.url().partition("@")[2]
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(url + host)


def test_the_passwords_are_in_no_log_and_no_command_line(installation: Installation) -> None:
    keys = installation.cluster.keys
    told = "".join(path.read_text() for path in (installation.data / "log").iterdir())
    told += " ".join(word for process in installation.processes() for word in process.cmdline())
    assert "postgres" in told
    assert not any(secret in told for secret in (keys.postgres_admin, keys.postgres_owner, keys.postgres_app))


def test_redis_carries_messages_and_refuses_rather_than_forgets(installation: Installation) -> None:
    client = redis.Redis.from_url(installation.redis.url(0))
    with Connection(installation.redis.broker_url(1)) as broker, broker.SimpleQueue("look") as queue:
        queue.put({"look": "for work"})
        message = queue.get(timeout=5)
        assert message.payload == {"look": "for work"}
        message.ack()
    assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
    assert client.config_get("port") == {"port": "0"}
    client.close()


def keep_a_row(installation: Installation) -> None:
    with connect(installation, OWNER) as owner:
        owner.execute("CREATE TABLE IF NOT EXISTS kept (id int)")
        owner.execute("TRUNCATE kept")
        owner.execute("INSERT INTO kept VALUES (1)")


def test_a_killed_postgresql_is_started_again_with_all_that_was_committed(installation: Installation) -> None:
    keep_a_row(installation)
    former = installation.postmaster()
    os.kill(former, signal.SIGKILL)
    assert soon(lambda: not psutil.pid_exists(former))
    assert soon(lambda: installation.cluster.ready())
    assert installation.postmaster() != former
    with connect(installation, APP) as app:
        assert app.execute("SELECT id FROM kept").fetchall() == [(1,)]


def test_a_killed_redis_is_started_again(installation: Installation) -> None:
    (server,) = [process for process in installation.processes() if "redis" in process.name()]
    server.kill()
    assert soon(lambda: not server.is_running() or server.status() == psutil.STATUS_ZOMBIE)
    assert soon(lambda: installation.redis.ready())


def test_nothing_outlives_a_killed_supervisor_and_the_next_start_is_fast(installation: Installation) -> None:
    keep_a_row(installation)
    assert installation.end(signal.SIGKILL) == -signal.SIGKILL
    assert soon(lambda: not installation.processes())
    installation.start()
    assert installation.seconds < 5
    with connect(installation, APP) as app:
        assert app.execute("SELECT id FROM kept").fetchall() == [(1,)]


def test_all_killed_at_once_is_no_obstacle(installation: Installation) -> None:
    assert installation.process is not None
    # stopped first, none of them can tidy up while the others are killed
    everyone = [psutil.Process(installation.process.pid), *installation.processes()]
    for process in everyone:
        process.suspend()
    for process in everyone:
        process.kill()
    installation.process.communicate(timeout=10)
    assert (cluster_path(installation.data) / "postmaster.pid").exists()
    installation.start()
    assert installation.cluster.ready()


def test_a_pid_file_whose_number_now_belongs_to_another_process_is_no_obstacle(installation: Installation) -> None:
    installation.end()
    cluster = installation.cluster
    with subprocess.Popen(["sleep", "600"], **cluster.account.popen_arguments()) as other:
        folder = cluster_path(installation.data)
        (folder / "postmaster.pid").write_text(f"{other.pid}\n{folder}\n")
        try:
            installation.start()
            assert other.poll() is None
        finally:
            other.kill()
    assert installation.postmaster() != other.pid


def test_servers_that_outlived_their_supervisor_are_found_and_ended(installation: Installation) -> None:
    installation.end()
    programs = [installation.cluster.program(), installation.redis.program()]
    outliving = [
        subprocess.Popen(
            program.command,
            env=dict(program.environment),
            cwd=program.directory,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            **program.account.popen_arguments(),
        )
        for program in programs
    ]
    assert soon(lambda: installation.cluster.ready() and installation.redis.ready())
    assert end_leftovers(installation.data) >= 2
    assert [process.wait(timeout=10) for process in outliving] == [0, 0]
    assert installation.processes() == []


def test_a_stop_is_clean(installation: Installation) -> None:
    assert installation.end() == 0
    assert installation.processes() == []
    assert end_leftovers(installation.data) == 0
    assert not (cluster_path(installation.data) / "postmaster.pid").exists()
    log = (installation.data / "log" / "postgres.log").read_text()
    assert log.rstrip().endswith("database system is shut down")
