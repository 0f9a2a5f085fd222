"""Addresses of the embedded servers, as every library that reads them understands them; and the network guard."""

import socket
from pathlib import Path

import environ
import psycopg.conninfo
import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st

from config.local.accounts import me
from config.local.binaries import PostgresBinaries
from config.local.errors import SettingError, Unreachable
from config.local.external import check_database, check_redis
from config.local.keys import Keys
from config.local.places import Places
from config.local.postgres import OWNER, Cluster
from config.local.redis import RedisServer
from config.local.web import check_port
from tests.network import expect_refusal, is_local

KEYS = Keys(secret_key="s", postgres_admin="a-1", postgres_owner="o_2", postgres_app="p-3")


def places(run: str) -> Places:
    return Places(Path("/data"), Path(run))


@pytest.mark.parametrize("run", ["/run/parley", "/srv/with space", "/srv/ümlaut+&?#%41"])
def test_the_database_url_means_the_same_to_libpq_and_to_the_settings(run: str) -> None:
    cluster = Cluster(places=places(run), binaries=PostgresBinaries(Path("/bin")), account=me(), keys=KEYS)
    url = cluster.url(OWNER)
    libpq = psycopg.conninfo.conninfo_to_dict(url)
    assert libpq == {"user": OWNER, "password": "o_2", "dbname": "parley", "host": run}
    django = environ.Env.db_url_config(url)
    assert (django["USER"], django["PASSWORD"], django["NAME"]) == (OWNER, "o_2", "parley")
    assert django["OPTIONS"] == {"host": run}


@pytest.mark.parametrize("run", ["/run/parley", "/srv/with space"])
def test_the_redis_url_leads_to_the_socket(run: str) -> None:
    server = RedisServer(places=places(run), binary=Path("/bin/redis"), account=me())
    pool = redis.ConnectionPool.from_url(server.url(3))
    assert pool.connection_kwargs["path"] == f"{run}/redis.sock"
    assert pool.connection_kwargs["db"] == 3


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_database_that_is_away_is_one_sentence_without_the_password() -> None:
    port = closed_port()
    with pytest.raises(Unreachable) as refused:
        check_database("DATABASE_URL", f"postgres://parley:hunter2@127.0.0.1:{port}/parley")
    sentence = str(refused.value)
    assert sentence.startswith(f"PostgreSQL at 127.0.0.1:{port}/parley (DATABASE_URL) cannot be used: ")
    assert "hunter2" not in sentence
    assert "\n" not in sentence


def test_a_redis_that_is_away_is_one_sentence_without_the_password() -> None:
    url = f"redis://:hunter2@127.0.0.1:{closed_port()}/0"
    with pytest.raises(Unreachable, match=r"^Redis at 127\.0\.0\.1:\d+/0 \(REDIS_LOG_URL\) [^\n]+$") as refused:
        check_redis({"REDIS_LOG_URL": url})
    assert "hunter2" not in str(refused.value)


def test_a_port_in_use_is_one_sentence() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(SettingError, match=rf"^Port {port} on 127\.0\.0\.1 is in use [^\n]+$"):
            check_port("127.0.0.1", port)
    check_port("127.0.0.1", port)


def test_the_guard_refuses_what_leaves_the_machine() -> None:
    with expect_refusal(), socket.socket() as away:
        away.connect(("192.0.2.1", 80))
    with expect_refusal():
        socket.getaddrinfo("example.org", 443)
    with socket.socket() as server, socket.socket() as client:
        server.bind(("127.0.0.1", 0))
        server.listen()
        client.connect(server.getsockname())


@given(st.ip_addresses())
def test_only_addresses_of_this_machine_are_local(address: object) -> None:
    text = str(address)
    assert is_local(text) == (text.startswith("127.") or text in {"::1", "0.0.0.0", "::"})
