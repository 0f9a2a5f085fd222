"""Threads of which the one that worked last works next."""

import threading
import time
from concurrent.futures import wait

import pytest

from core.threads import Threads
from tests.waiting import wait_until


def name() -> str:
    return threading.current_thread().name


def test_work_that_comes_after_work_stays_with_one_thread() -> None:
    threads = Threads(4, "worker")
    together = threading.Barrier(4)
    busy = [threads.submit(lambda: (together.wait(60), name())[1]) for _ in range(4)]
    assert len({one.result(60) for one in busy}) == 4
    names = set()
    for _ in range(50):
        wait_until(lambda: len(threads._idle) == 4)  # whoever has worked is ready again a moment after its result
        names.add(threads.submit(name).result(60))
    assert len(names) == 1


def test_no_more_threads_than_allowed_and_nothing_is_left_waiting() -> None:
    threads = Threads(3, "worker")
    names = [threads.submit(lambda: (time.sleep(0.01), name())[1]) for _ in range(60)]
    assert {one.result(60) for one in names} == {"worker_1", "worker_2", "worker_3"}


def test_results_and_errors_are_the_callers() -> None:
    threads = Threads(1, "worker")
    assert threads.submit(lambda: 1).result(60) == 1
    with pytest.raises(ZeroDivisionError):
        threads.submit(lambda: 1 / 0).result(60)
    assert threads.submit(lambda: 2).result(60) == 2


def test_what_is_cancelled_while_it_waits_is_never_run() -> None:
    threads = Threads(1, "worker")
    held, ran = threading.Event(), []
    first = threads.submit(lambda: held.wait(60))
    second, third = threads.submit(lambda: ran.append(2)), threads.submit(lambda: ran.append(3))
    assert second.cancel()
    held.set()
    wait([first, third], timeout=60)
    assert ran == [3]
