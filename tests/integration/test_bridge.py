"""Asynchronous code and the database: threads and connections of our own, no queue behind a slow query."""

import asyncio
import contextvars
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import pytest
from asgiref.sync import sync_to_async
from django.conf import settings
from django.db import connection, connections

from core.bridge import in_database
from core.models import Milestone
from tests.waiting import PATIENCE

pytestmark = pytest.mark.django_db(transaction=True)

_request = contextvars.ContextVar("request", default="none")


def _sleep(seconds: float) -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_sleep(%s)", [seconds])
    return threading.current_thread().name


@contextmanager
def _held() -> Iterator[Callable[[], None]]:
    """A call that takes as long as this block."""
    over = threading.Event()

    def hold() -> None:
        assert over.wait(PATIENCE)

    try:
        yield hold
    finally:
        over.set()


def _ask() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
        [one] = cursor.fetchone()
    return int(one)


async def test_it_returns_what_the_function_returns_with_its_arguments() -> None:
    await in_database(lambda name, *, details: Milestone.objects.create(name=name, details=details), "m", details=[1])
    assert await in_database(lambda: Milestone.objects.get().details) == [1]


async def test_an_error_is_the_callers() -> None:
    with pytest.raises(Milestone.DoesNotExist):
        await in_database(Milestone.objects.get, name="nothing")
    assert await in_database(_ask) == 1, "the thread still serves"


async def test_it_runs_beside_the_event_loop_on_threads_of_its_own() -> None:
    name = await in_database(_sleep, 0)
    assert name.startswith("database")
    assert threading.current_thread().name != name


async def test_a_slow_query_holds_up_nobody_else() -> None:
    with _held() as hold:
        slow = asyncio.create_task(in_database(hold))
        assert await asyncio.gather(*(in_database(_ask) for _ in range(20))) == [1] * 20
        assert not slow.done()
    await slow


async def test_the_control_with_the_frameworks_default_everybody_waits() -> None:
    with _held() as hold:
        slow = asyncio.create_task(sync_to_async(hold)())
        asking = asyncio.create_task(sync_to_async(_ask)())
        _, waiting = await asyncio.wait({asking}, timeout=0.5)
        assert waiting == {asking}
    await asyncio.gather(slow, asking)
    await sync_to_async(connections.close_all)()


async def test_as_many_at_once_as_there_are_threads_and_no_more() -> None:
    running = 0
    most = 0
    lock = threading.Lock()

    def work() -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        _sleep(0.05)
        with lock:
            running -= 1

    await asyncio.gather(*(in_database(work) for _ in range(5 * settings.DATABASE_THREADS)))
    assert most == settings.DATABASE_THREADS


def _own_backend() -> tuple[str, int]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        [pid] = cursor.fetchone()
    return threading.current_thread().name, int(pid)


def _end(backends: list[int]) -> None:
    with closing(connection), connection.cursor() as cursor:
        cursor.execute("SELECT count(pg_terminate_backend(pid, 5000)) FROM unnest(%s) pid", [backends])


async def _everywhere() -> dict[str, int]:
    """The server process that each thread talks to."""

    def slowly() -> tuple[str, int]:
        _sleep(0.05)
        return _own_backend()

    return dict(await asyncio.gather(*(in_database(slowly) for _ in range(2 * settings.DATABASE_THREADS))))


async def test_each_thread_keeps_its_connection() -> None:
    assert await _everywhere() == await _everywhere()


async def test_a_connection_that_the_server_ended_is_replaced_before_it_is_used() -> None:
    before = await _everywhere()
    await asyncio.to_thread(_end, list(before.values()))
    after = await _everywhere()
    assert set(before.values()).isdisjoint(after.values())


async def test_a_connection_goes_back_after_an_error() -> None:
    def fail() -> None:
        connection.set_autocommit(False)
        _ask()
        raise ValueError("in the middle of a transaction")

    for _ in range(settings.DATABASE_THREADS):
        with pytest.raises(ValueError, match="in the middle"):
            await in_database(fail)
    states = await asyncio.gather(
        *(in_database(lambda: connection.get_autocommit()) for _ in range(settings.DATABASE_THREADS))
    )
    assert all(states)


async def test_context_goes_along() -> None:
    _request.set("this one")
    assert await in_database(_request.get) == "this one"


async def test_a_cancelled_caller_stops_waiting_and_the_work_is_done_to_its_end() -> None:
    begun, done = threading.Event(), threading.Event()
    with _held() as hold:

        def write() -> None:
            begun.set()
            hold()
            Milestone.objects.create(name="written")
            done.set()

        task = asyncio.create_task(in_database(write))
        await asyncio.to_thread(begun.wait, PATIENCE)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not done.is_set()
    assert await asyncio.to_thread(done.wait, PATIENCE)
    assert await in_database(Milestone.objects.filter(name="written").exists)
