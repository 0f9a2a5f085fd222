"""Where the jail's children come from: what one of them has is not there for the next, and nobody stays behind."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from core import jail
from core.jail import Failure, Limits, Value, starter
from core.jail.starter import JOBS
from tests.compose_file import ROOT

EVAL = "builtins:eval"
EXEC = "builtins:exec"
LONG = Limits(wall_seconds=600, cpu_seconds=60)
# Tells that it runs, then stays.
STAY = b"import time\nfrom core.jail.progress import report\nreport(1, 2)\ntime.sleep(600)"


class Enough(Exception):
    """Ends a job that stays."""


@contextlib.contextmanager
def staying(data: bytes | Path = STAY) -> Iterator[psutil.Process]:
    """A job that runs as long as the block does: its process."""
    runs, enough = threading.Event(), threading.Event()
    before = set(children())

    def listen(_done: int, _total: int) -> None:
        runs.set()
        enough.wait(300)
        raise Enough

    def stay() -> None:
        with pytest.raises(Enough):
            jail.run(EXEC, data=data, limits=LONG, on_progress=listen)

    with ThreadPoolExecutor(1) as pool:
        job = pool.submit(stay)
        try:
            assert runs.wait(120)
            (born,) = set(children()) - before
            yield born
        finally:
            enough.set()
            job.result(300)


def evaluate(code: str) -> object:
    outcome = jail.run(EVAL, data=code.encode(), limits=LONG)
    assert isinstance(outcome, Value), outcome
    return outcome.result


def told(code: str) -> str:
    """What the code raises in a job."""
    outcome = jail.run(EXEC, data=code.encode(), limits=LONG)
    assert isinstance(outcome, Failure), outcome
    return outcome.message


def children() -> list[psutil.Process]:
    """Nurseries of this process, and their jobs."""
    found = psutil.Process().children()
    return [one for one in found if one.status() != psutil.STATUS_ZOMBIE and "core.jail.nursery" in one.cmdline()]


def nursery() -> psutil.Process:
    """The nursery of this process. No job may be running."""
    evaluate("1")
    (only,) = children()
    return only


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.02)


def script(code: str) -> str:
    """What a process of its own prints."""
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.strip()


# Files are told apart by where they are.
SEEN = """
import os
seen = []
for descriptor in range(1000):
    try:
        found = os.fstat(descriptor)
    except OSError:
        continue
    seen.append((found.st_dev, found.st_ino))
"""


def test_a_job_has_nothing_open_of_another(tmp_path: Path) -> None:
    private = tmp_path / "private"
    private.write_bytes(STAY)
    identity = str((private.stat().st_dev, private.stat().st_ino))
    with private.open("rb") as file:
        os.set_inheritable(file.fileno(), True)
        command = [sys.executable, "-c", f"{SEEN}\nprint(seen)"]
        careless = subprocess.run(command, close_fds=False, capture_output=True, text=True, check=True)
    assert identity in careless.stdout
    mother = nursery()
    with staying(private) as busy:
        assert identity in str([(s.st_dev, s.st_ino) for s in _files(busy)])
        seen = told(f"{SEEN}\nraise ValueError(str(seen))")
        assert seen.count("(") == 4, "the standard streams and the answer"
        assert identity not in seen
        # nor has the nursery, from which the next one comes: three times /dev/null, and its socket
        assert len(_files(mother)) == 4
        assert identity not in str([(s.st_dev, s.st_ino) for s in _files(mother)])


def _files(process: psutil.Process) -> list[os.stat_result]:
    folder = f"/proc/{process.pid}/fd"
    return [os.stat(f"{folder}/{name}") for name in os.listdir(folder)]


def test_a_job_has_nothing_in_memory_of_another() -> None:
    mother = nursery()
    # put together there, so that only who has run it holds the word
    code = STAY.replace(b"import time", b"import sys, time\nsys.kept = 'hush' + '-' * 3 + 'hush'", 1)
    with staying(code) as busy:
        assert _holds(busy, b"hush---hush")
        assert not _holds(mother, b"hush---hush")
        # what a request carries goes by the nursery unread
        assert _holds(busy, b"sys.kept = ")
        assert not _holds(mother, b"sys.kept = ")
        assert evaluate("hasattr(__import__('sys'), 'kept')") is False
        for process in (busy, mother):
            for name in ("mem", "environ", "fd/0"):
                path = f"/proc/{process.pid}/{name}"
                assert subprocess.run([sys.executable, "-c", f"open({path!r}, 'rb')"], check=False).returncode == 0
                assert "Permission denied" in told(f"open({path!r}, 'rb').read(1)")


def _holds(process: psutil.Process, words: bytes) -> bool:
    with open(f"/proc/{process.pid}/maps") as maps, open(f"/proc/{process.pid}/mem", "rb", buffering=0) as memory:
        for line in maps:
            place, rights, *_ = line.split()
            if rights.startswith("rw") and "[v" not in line:
                low, high = (int(end, 16) for end in place.split("-"))
                memory.seek(low)
                if words in memory.read(high - low):
                    return True
    return False


def test_the_nursery_knows_nothing_and_does_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_KEY", "hush-hush")
    shown = (
        "import psutil; from core import jail; "
        "jail.run('builtins:eval', data=b'1'); (one,) = psutil.Process().children(); "
        "print(one.environ().get('SECRET_KEY'), one.environ().get('LANG'), one.num_threads())"
    )
    assert "hush-hush" in script("import os; print(os.environ)")
    assert script(shown) == "None C.UTF-8 1"


def test_a_job_outlives_a_nursery_that_is_killed_and_the_next_gets_another() -> None:
    mother = nursery()
    with staying() as busy:
        mother.kill()
        wait_until(lambda: not mother.is_running() or mother.status() == psutil.STATUS_ZOMBIE)
        assert evaluate("2") == 2
        assert busy.is_running()
        assert busy.status() != psutil.STATUS_ZOMBIE
    assert nursery() != mother
    assert not mother.is_running(), "reaped"


def test_a_nursery_that_is_stuck_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    evaluate("1")
    stuck = nursery()
    monkeypatch.setattr(starter, "BIRTH_SECONDS", 0.5)
    stuck.suspend()
    try:
        assert evaluate("1 + 1") == 2
        assert not stuck.is_running()
    finally:
        with contextlib.suppress(psutil.NoSuchProcess):
            stuck.resume()


def test_who_is_asking_when_the_nursery_is_killed_asks_the_next() -> None:
    mother = nursery()
    mother.suspend()
    with ThreadPoolExecutor(3) as pool:
        asked = [pool.submit(evaluate, str(number)) for number in range(3)]
        time.sleep(0.2)
        assert not any(one.done() for one in asked)
        mother.kill()
        assert [one.result(300) for one in asked] == [0, 1, 2]
    assert nursery() != mother


MANY = """
import os
import threading
from core import jail
def stay():
    long = jail.Limits(wall_seconds=600)
    jail.run("builtins:exec", data=%r, limits=long, on_progress=lambda *_: os.write(1, b"runs\\n"))
threads = [threading.Thread(target=stay) for _ in range(3)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
"""


def test_nobody_outlives_the_process_that_asked() -> None:
    command = [sys.executable, "-c", MANY % STAY]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as parent:
        try:
            assert parent.stdout is not None
            assert [parent.stdout.readline() for _ in range(3)] == ["runs\n"] * 3
            family = psutil.Process(parent.pid).children(recursive=True)
            assert len(family) == 4, "the nursery and three jobs"
        finally:
            parent.kill()
    wait_until(lambda: not any(one.is_running() and one.status() != psutil.STATUS_ZOMBIE for one in family))


THREADS = """
import os, threading, time
from core import jail
first_may_end, first_is_over = threading.Event(), threading.Event()
def first():
    jail.run("builtins:eval", data=b"1")
    own.append(threading.get_native_id())
    ready.set()
    first_may_end.wait()
own, ready = [], threading.Event()
starter = threading.Thread(target=first)
starter.start()
ready.wait()
def let_it_end(*_):
    first_may_end.set()
    starter.join()
    while os.path.exists(f"/proc/self/task/{own[0]}"):
        time.sleep(0.01)
code = b"import time; from core.jail.progress import report; report(1, 2); time.sleep(2)"
print(type(jail.run("builtins:exec", data=code, on_progress=let_it_end)).__name__)
"""


def test_a_job_outlives_the_thread_that_started_the_nursery() -> None:
    assert script(THREADS) == "Value"


FORK = """
import os, psutil
from core import jail
def ask():
    outcome = jail.run("builtins:eval", data=b"40 + 2")
    return outcome.result, [one.pid for one in psutil.Process().children() if one.status() != "zombie"]
_, (mother,) = ask()
pid = os.fork()
if pid == 0:
    result, (other,) = ask()
    os._exit(0 if result == 42 and other != mother else 1)
_, status = os.waitpid(pid, 0)
print(status, ask() == (42, [mother]))
"""


def test_a_fork_has_a_nursery_of_its_own() -> None:
    assert script(FORK) == "0 True"


def test_many_jobs_leave_neither_processes_nor_descriptors() -> None:
    mother = nursery()
    before = psutil.Process().num_fds()
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda number: evaluate(f"{number} * 2"), range(200)))
    assert results == [number * 2 for number in range(200)]
    assert psutil.Process().num_fds() == before
    left = [one for one in psutil.Process().children() if one != nursery()]
    assert [one for one in left if one.status() == psutil.STATUS_ZOMBIE or "core.jail.nursery" in one.cmdline()] == []
    assert JOBS < 200
    assert nursery() != mother, "another one with another layout of memory"


ADDRESSES = "id(__import__('sys').modules), id(object)"


def test_a_layout_of_memory_lasts_for_so_many_jobs() -> None:
    seen = [str(evaluate(ADDRESSES)) for _ in range(JOBS + 1)]
    assert len(set(seen)) == 2


def test_an_interrupted_caller_leaves_nobody() -> None:
    mother = nursery()
    mother.suspend()

    def alarm(*_: object) -> None:
        mother.resume()
        raise KeyboardInterrupt

    previous = signal.signal(signal.SIGALRM, alarm)
    signal.setitimer(signal.ITIMER_REAL, 0.3)
    try:
        with pytest.raises(KeyboardInterrupt):
            jail.run(EXEC, data=STAY, limits=LONG)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
        mother.resume()
    assert children() == [mother]


def test_modules_are_loaded_once_for_those_who_need_them() -> None:
    loaded = "'colorsys' in __import__('sys').modules"
    assert evaluate(loaded) is False
    for modules in (["colorsys", "no.such.module"], []):
        outcome = jail.run(EVAL, data=loaded.encode(), limits=LONG, modules=modules)
        assert isinstance(outcome, Value)
        assert outcome.result is True
