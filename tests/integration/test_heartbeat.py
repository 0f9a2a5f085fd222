"""A process lives while it says so, whatever else it is busy with, and is dead when it stops."""

import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from django.db import connection, connections
from django.db.models.functions import Now
from django.utils import timezone

from core.heartbeat import ALIVE, INTERVAL, Heartbeat
from core.models import Process
from tests import backends
from tests.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def heartbeat() -> Iterator[Heartbeat]:
    beating = Heartbeat("web")
    yield beating
    beating.stop()


def living_processes() -> list[uuid.UUID]:
    """As whoever takes over turns finds them."""
    return list(Process.objects.filter(seen_at__gt=Now() - ALIVE).values_list("id", flat=True))


def seen_at(heartbeat: Heartbeat) -> float:
    return Process.objects.get(pk=heartbeat.id).seen_at.timestamp()


def test_the_first_beat_is_there_when_start_returns(heartbeat: Heartbeat) -> None:
    heartbeat.start()
    row = Process.objects.get()
    assert (row.id, row.kind, row.pid, row.draining) == (heartbeat.id, "web", os.getpid(), False)
    assert living_processes() == [heartbeat.id]


def test_it_beats_every_second_and_keeps_its_row(heartbeat: Heartbeat) -> None:
    heartbeat.start()
    started = Process.objects.get().started_at
    beats = {seen_at(heartbeat)}

    def gaps() -> list[float]:
        beats.add(seen_at(heartbeat))
        return [later - earlier for earlier, later in pairwise(sorted(beats))]

    # a busy machine makes some late, but none early
    wait_until(lambda: sum(gap == pytest.approx(INTERVAL, abs=0.5) for gap in gaps()) >= 2)
    assert min(gaps()) > INTERVAL - 0.1
    assert Process.objects.get().started_at == started


def test_leaving_removes_the_row_at_once(heartbeat: Heartbeat) -> None:
    heartbeat.start()
    heartbeat.stop()
    assert not Process.objects.exists()


def test_stopping_what_never_started_is_nothing() -> None:
    Heartbeat("web").stop()


def test_who_was_not_seen_for_five_seconds_is_dead() -> None:
    def seen(seconds_ago: float) -> uuid.UUID:
        at = timezone.now() - timedelta(seconds=seconds_ago)
        return Process.objects.create(kind="web", host="h", pid=1, seen_at=at).pk

    living = seen(ALIVE.total_seconds() - 1)
    seen(ALIVE.total_seconds() + 1)
    assert living_processes() == [living]


def test_a_pool_that_is_used_up_is_not_death(heartbeat: Heartbeat) -> None:
    """Every connection of the pool is taken; the beat has its own."""
    heartbeat.start()
    pool = connections["default"].pool  # type: ignore[attr-defined]
    taken = [pool.getconn(timeout=60) for _ in range(pool.max_size - pool.get_stats()["pool_size"])]
    try:
        while pool.get_stats()["pool_available"]:
            taken.append(pool.getconn(timeout=60))
        before = seen_at(heartbeat)
        wait_until(lambda: seen_at(heartbeat) > before)
    finally:
        for held in taken:
            pool.putconn(held)


def test_a_connection_that_is_cut_is_made_again(heartbeat: Heartbeat) -> None:
    heartbeat.start()
    first = seen_at(heartbeat)
    wait_until(lambda: seen_at(heartbeat) > first)
    with connection.cursor() as cursor:
        cursor.execute(
            # the latest: a connection of this process that last did the same for an earlier test may lie idle
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE query LIKE %s AND pid <> pg_backend_pid() AND datname = current_database()"
            " ORDER BY query_start DESC LIMIT 1",
            ["%INSERT INTO core_process%"],
        )
        assert cursor.fetchone() == (True,)
    before = seen_at(heartbeat)
    wait_until(lambda: seen_at(heartbeat) > before)
    assert heartbeat.id in living_processes()


def test_a_row_that_somebody_removed_comes_back(heartbeat: Heartbeat) -> None:
    heartbeat.start()
    Process.objects.all().delete()
    wait_until(Process.objects.exists)


_CHILD = """
import django, time
django.setup()
from django.conf import settings
settings.DATABASES["default"]["NAME"] = {database!r}
from core.heartbeat import Heartbeat
Heartbeat("web").start()
while True:
    sum(range(10**7))  # holds the interpreter: a busy process is no dead process
"""


def test_a_busy_process_lives_and_a_killed_one_dies_within_its_time() -> None:
    code = _CHILD.format(database=connection.settings_dict["NAME"])
    root = Path(__file__).resolve().parent.parent.parent
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "config.settings", backends.NAME: "busy"}
    child = subprocess.Popen([sys.executable, "-c", code], cwd=root, env=environment)
    try:
        wait_until(living_processes)
        row = Process.objects.get()
        wait_until(lambda: Process.objects.get().seen_at - row.started_at > ALIVE + timedelta(seconds=1))
        assert living_processes() == [row.id], "it is busy and lives"
    finally:
        child.kill()
        child.wait(60)
        backends.await_end(backends.database_url(), {"busy"})
    last = Process.objects.get().seen_at
    wait_until(lambda: not living_processes())
    assert timezone.now() - last > ALIVE
