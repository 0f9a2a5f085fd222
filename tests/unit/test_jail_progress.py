"""What a jailed function tells of its progress: heard while it runs, and believed only where it can be true."""

import os
import struct
import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import jail
from core.jail import Failure, FailureCode, Limits, Value
from core.jail.progress import ALLOWANCE_BYTES, MOST, Listener, report

EXEC = "builtins:exec"
LIMITS = Limits(wall_seconds=60, cpu_seconds=20)
# What a child that wants to harm would do: write what it likes to every descriptor it finds but the answer's.
WRITE = (
    "import os, struct\ndef tell(data):\n for d in range(3, 500):\n  try: os.write(d, data)\n  except OSError: pass\n"
)

Told = list[tuple[int, int]]


def heard(code: str) -> tuple[Told, jail.Outcome]:
    told: Told = []
    outcome = jail.run(EXEC, data=code.encode(), limits=LIMITS, on_progress=lambda *pair: told.append(pair))
    return told, outcome


def test_it_is_heard_while_the_function_runs() -> None:
    code = "import time\nfrom core.jail.progress import report\nreport(1, 3)\ntime.sleep(600)"

    class Enough(Exception):
        pass

    def stop(done: int, total: int) -> None:
        raise Enough(f"{done} of {total}")

    started = time.monotonic()
    with pytest.raises(Enough, match="1 of 3"):
        jail.run(EXEC, data=code.encode(), limits=Limits(wall_seconds=600), on_progress=stop)
    assert time.monotonic() - started < 300


def test_the_first_and_the_last_are_told_and_not_all_between() -> None:
    code = "from core.jail.progress import report\nfor n in range(1, 100_001): report(n, 100_000)"
    told, outcome = heard(code)
    assert isinstance(outcome, Value)
    assert told[-1] == (100_000, 100_000)
    assert told == sorted(told)
    assert len(told) < 1_000


def test_without_a_listener_nothing_is_told() -> None:
    outcome = jail.run(EXEC, data=b"from core.jail.progress import report\nreport(1, 1)", limits=LIMITS)
    assert isinstance(outcome, Value)
    report(1, 1)  # nor outside of the jail


@pytest.mark.parametrize(
    ("done", "total"), [(2, 1), (0, MOST + 1), (MOST + 1, MOST + 1), (2**64 - 1, 2**64 - 1), (5, 0)]
)
def test_what_cannot_be_true_is_not_believed(done: int, total: int) -> None:
    told, _ = heard(f"{WRITE}tell(struct.pack('<QQ', {done}, {total}))\ntell(struct.pack('<QQ', 3, 3))\nos._exit(0)")
    assert told == [(3, 3)]


def test_a_flood_neither_holds_up_nor_is_held() -> None:
    flood = f"{WRITE}block = struct.pack('<QQ', 1, 1) * 4096\nfor _ in range(2_000): tell(block)\nos._exit(0)"
    told, outcome = heard(flood)
    assert told == [(1, 1)]
    assert isinstance(outcome, Failure)
    # it also wrote to the answer's pipe, which is bounded too
    assert outcome.code in {FailureCode.CRASH, FailureCode.OUTPUT_LIMIT}


def test_half_a_frame_is_no_harm() -> None:
    told, _ = heard(f"{WRITE}tell(b'half a fr')\nos._exit(0)")
    assert told == []


def test_no_descriptor_is_left_open() -> None:
    heard("pass")
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        heard("pass")
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ours, theirs = os.pipe()
    try:
        yield ours, theirs
    finally:
        os.close(ours)
        os.close(theirs)


def test_nobody_listens_for_ever(pipe: tuple[int, int]) -> None:
    listener, heard_bytes = Listener(pipe[0], lambda *_: None), 0
    block = bytes(1 << 15)
    while os.write(pipe[1], block) and listener.read():
        heard_bytes += len(block)
    assert ALLOWANCE_BYTES - len(block) <= heard_bytes <= ALLOWANCE_BYTES


@given(st.binary(max_size=400), st.integers(1, 40))
def test_any_bytes_make_numbers_that_can_be_true(data: bytes, step: int) -> None:
    told: Told = []
    ours, theirs = os.pipe()
    listener = Listener(ours, lambda *pair: told.append(pair))
    for start in range(0, len(data), step):
        os.write(theirs, data[start : start + step])
        listener.read()
    os.write(theirs, bytes(-len(data) % 16) + struct.pack("<QQ", MOST, MOST))
    listener.read()
    os.close(ours)
    os.close(theirs)
    assert all(0 <= done <= total <= MOST for done, total in told)
    assert told[-1] == (MOST, MOST)
    assert [done for done, _ in told] == sorted({done for done, _ in told})
