"""`/healthz` says which servers answer within two seconds: without PostgreSQL it is 503, without a Redis still 200.
`/livez` asks nobody.
"""

import socket
import time
from collections.abc import Iterator

import pytest
from django.db import connection, connections
from django.test import AsyncClient, Client
from pytest_django import Settings

from core.views import health

pytestmark = pytest.mark.django_db(transaction=True)

NOBODY = "redis://127.0.0.1:1/0"


@pytest.fixture
def silent() -> Iterator[int]:
    """A port that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


async def ask(address: str = "/healthz") -> tuple[int, dict[str, object], float]:
    began = time.monotonic()
    response = await AsyncClient().get(address)
    return response.status_code, response.json(), time.monotonic() - began


async def test_all_is_well() -> None:
    status, said, took = await ask()
    assert (status, said) == (200, {"status": "ok", "away": []})
    assert took < 20


@pytest.mark.parametrize(
    ("setting", "name"),
    [
        ("REDIS_URL", "redis"),
        ("REDIS_LOG_URL", "redis_log"),
        ("REDIS_CHANNEL_URL", "redis_channels"),
        ("CELERY_BROKER_URL", "redis_broker"),
    ],
)
async def test_each_redis_is_told_of_and_takes_nobody_down(settings: Settings, setting: str, name: str) -> None:
    setattr(settings, setting, NOBODY)
    status, said, _took = await ask()
    assert (status, said) == (200, {"status": "degraded", "away": [name]})


async def test_a_redis_that_is_silent_is_given_two_seconds(settings: Settings, silent: int) -> None:
    settings.REDIS_URL = f"redis://127.0.0.1:{silent}/0"
    status, said, took = await ask()
    assert (status, said["away"]) == (200, ["redis"])
    assert 1.5 < took < 20


@pytest.fixture
def postgresql_away() -> Iterator[None]:
    """The address of PostgreSQL is one where nobody listens, for every thread; what was connected is ended."""
    settings_dict = connections["default"].settings_dict
    before = {name: settings_dict[name] for name in ("HOST", "PORT")}

    def move(**address: str) -> None:
        connections.close_all()
        connections["default"].close_pool()  # type: ignore[attr-defined]
        settings_dict.update(address)

    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    move(HOST="127.0.0.1", PORT="1")
    yield
    move(**before)


@pytest.mark.usefixtures("postgresql_away")
async def test_postgresql_away() -> None:
    status, said, took = await ask()
    assert (status, said) == (503, {"status": "unavailable", "away": ["postgresql"]})
    assert took < 20


@pytest.mark.usefixtures("postgresql_away")
async def test_without_both_it_is_unavailable_and_lives(settings: Settings) -> None:
    settings.REDIS_URL = settings.REDIS_LOG_URL = settings.REDIS_CHANNEL_URL = settings.CELERY_BROKER_URL = NOBODY
    status, said, _took = await ask()
    assert (status, said) == (503, {"status": "unavailable", "away": ["postgresql", "redis"]})
    status, said, _took = await ask("/livez")
    assert (status, said) == (200, {"status": "ok"})


def test_one_server_is_asked_once(settings: Settings) -> None:
    settings.REDIS_URL = settings.REDIS_LOG_URL = "redis://:secret@cache.example:6379/0"
    settings.REDIS_CHANNEL_URL = "redis://:secret@cache.example:6379/1"
    settings.CELERY_BROKER_URL = "redis+socket:///run/redis.sock?virtual_host=1"
    assert health._redis_urls() == {
        "redis": "redis://:secret@cache.example:6379/0",
        "redis_broker": "unix:///run/redis.sock",
    }


@pytest.mark.parametrize("address", ["/healthz", "/livez"])
def test_nobody_needs_to_sign_in_and_nothing_is_kept(client: Client, settings: Settings, address: str) -> None:
    settings.SECURE_SSL_REDIRECT = True
    response = client.get(address)
    assert response.status_code == 200
    assert response["Content-Type"] == "application/json"
    assert "no-store" in response["Cache-Control"]
    assert not response.cookies
    assert client.head(address).status_code == 200
    assert client.post(address).status_code == 405


async def test_reasons_are_for_the_log_only(settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    settings.REDIS_URL = "redis://:hunter2@127.0.0.1:1/0"
    _status, said, _took = await ask()
    assert set(said) == {"status", "away"}
    assert any("redis does not answer" in record.getMessage() for record in caplog.records)
    assert "hunter2" not in caplog.text
