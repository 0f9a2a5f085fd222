"""The bell that asks workers to look: at once, then for many together, and never for nobody."""

import os
import subprocess
import sys
import threading
import time

from core.bell import Bell


class Rings:
    """Counts what a bell rings."""

    def __init__(self) -> None:
        self.times: list[float] = []
        self._more = threading.Condition()

    def __call__(self) -> None:
        with self._more:
            self.times.append(time.monotonic())
            self._more.notify_all()

    def wait_for(self, count: int) -> bool:
        with self._more:
            return self._more.wait_for(lambda: len(self.times) >= count, timeout=20)


def test_the_first_who_asks_is_rung_for_at_once() -> None:
    rings = Rings()
    Bell(rings, interval=3600).ask()
    assert len(rings.times) == 1


def test_those_who_ask_soon_after_share_one_ring() -> None:
    rings = Rings()
    bell = Bell(rings, interval=0.5)
    began = time.monotonic()
    for _ in range(100):
        bell.ask()
    assert rings.wait_for(2)
    assert len(rings.times) <= 2 + (time.monotonic() - began) / 0.5
    assert rings.times[1] >= rings.times[0] + 0.5
    count = len(rings.times)
    bell.ask()
    assert rings.wait_for(count + 1)


def test_who_asks_is_always_followed_by_a_ring() -> None:
    rings = Rings()
    bell = Bell(rings, interval=0.01)
    asked = []
    for _ in range(200):
        asked.append(time.monotonic())
        bell.ask()
    deadline = time.monotonic() + 20
    while rings.times[-1] < asked[-1] and time.monotonic() < deadline:
        rings.wait_for(len(rings.times) + 1)
    assert rings.times[-1] >= asked[-1]


def test_who_waits_when_the_program_ends_is_rung_for() -> None:
    rings = Rings()
    bell = Bell(rings, interval=3600)
    bell.close()
    assert rings.times == []
    bell.ask()
    bell.ask()
    bell.close()
    assert len(rings.times) == 2


def test_a_program_that_ends_rings_first() -> None:
    program = (
        "from core.bell import Bell\n"
        "bell = Bell(lambda: print('rung', flush=True), interval=3600)\n"
        "bell.ask()\n"
        "bell.ask()\n"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert run.stdout.split() == ["rung", "rung"]


def test_a_child_does_not_wait_for_its_parents_thread() -> None:
    rings = Rings()
    bell = Bell(rings, interval=3600)
    bell.ask()
    bell.ask()  # its ring comes in an hour, from a thread that a child does not have
    child = os.fork()
    if child == 0:
        bell.ask()
        os._exit(0 if len(rings.times) == 2 else 1)
    assert os.waitpid(child, 0)[1] == 0
