"""Threads of which the one that worked last works next."""

import threading
import time
from concurrent.futures import wait

import pytest

from core.threads import Threads


def name() -> str:
    return threading.current_thread().name


def test_work_that_comes_after_work_stays_with_one_thread() -> None:
    threads = Threads(4, "worker")
    busy = [threads.submit(lambda: (time.sleep(0.05), name())[1]) for _ in range(4)]
    assert len({one.result(5) for one in busy}) == 4
    time.sleep(0.05)
    assert len({threads.submit(name).result(5) for _ in range(50)}) == 1


def test_no_more_threads_than_allowed_and_nothing_is_left_waiting() -> None:
    threads = Threads(3, "worker")
    names = [threads.submit(lambda: (time.sleep(0.01), name())[1]) for _ in range(60)]
    assert {one.result(10) for one in names} == {"worker_1", "worker_2", "worker_3"}


def test_results_and_errors_are_the_callers() -> None:
    threads = Threads(1, "worker")
    assert threads.submit(lambda: 1).result(5) == 1
    with pytest.raises(ZeroDivisionError):
        threads.submit(lambda: 1 / 0).result(5)
    assert threads.submit(lambda: 2).result(5) == 2


def test_what_is_cancelled_while_it_waits_is_never_run() -> None:
    threads = Threads(1, "worker")
    held, ran = threading.Event(), []
    first = threads.submit(lambda: held.wait(5))
    second, third = threads.submit(lambda: ran.append(2)), threads.submit(lambda: ran.append(3))
    assert second.cancel()
    held.set()
    wait([first, third], timeout=5)
    assert ran == [3]
