"""The supervisor over small programs: restarts, giving up, order of the end, and its own violent death."""

import json
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
import pytest

from config.local.errors import StepFailed
from config.local.lock import holder
from config.local.options import BASE_DIR
from config.local.places import lock_path
from config.local.process import Program
from config.local.supervisor import Supervisor
from config.local.terminal import Terminal
from config.local.waiting import soon

# says its name when asked to end, into a file that all share
POLITE = """
import signal, sys, time
name, book = sys.argv[1:]
def end(*_):
    open(book, "a").write(name + "\\n")
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
print("ERROR", name, "listens", flush=True)
while True:
    time.sleep(0.05)
"""
STUBBORN = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("ERROR deaf from now on", flush=True)
time.sleep(600)
"""
PARENT = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import time; time.sleep(600)'])"


@pytest.fixture
def folder() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="parley-local-"))
    path.chmod(0o711)
    yield path / "data"
    shutil.rmtree(path)


class Supervised:
    """A supervisor process and what it has said so far."""

    def __init__(self, folder: Path, programs: list[dict[str, object]]) -> None:
        self.folder = folder
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.supervised", str(folder), json.dumps(programs)],
            cwd=BASE_DIR,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.said: list[str] = []

    def hear(self, wanted: str) -> str:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said.append(line.strip())
            if wanted in line:
                return line.strip()
        raise AssertionError(f"it never said {wanted!r} but {self.said}")

    def hear_each(self, *wanted: str) -> None:
        """All of them, in any order."""
        missing = set(wanted)
        while missing:
            line = self.hear("")
            missing -= {each for each in missing if each in line}

    def pids(self) -> dict[str, int]:
        facts = holder(lock_path(self.folder))
        assert facts is not None
        return dict(facts["programs"])

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        rest, _ = self.process.communicate(timeout=60)
        self.said += rest.split("\n")
        return self.process.returncode


@pytest.fixture
def supervise(folder: Path) -> Iterator[Callable[..., Supervised]]:
    running: list[Supervised] = []

    def start(*programs: dict[str, object]) -> Supervised:
        running.append(Supervised(folder, list(programs)))
        return running[-1]

    yield start
    for one in running:
        if one.process.poll() is None:
            one.end()
        elif one.process.stdout is not None:
            one.process.stdout.close()
    assert marked(folder) == []


def python(name: str, source: str, *arguments: object, seconds: float = 5) -> dict[str, object]:
    return {"name": name, "command": [sys.executable, "-c", source, *map(str, arguments)], "seconds": seconds}


def marked(folder: Path) -> list[int]:
    """Pids of everything that was started on the folder, whatever became of its parents."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("PARLEY_INSTANCE") == str(folder) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process.pid)
        except psutil.Error:
            continue
    return found


def test_what_dies_is_started_again(supervise: Callable[..., Supervised], folder: Path) -> None:
    supervised = supervise(python("web", POLITE, "web", folder / "book"))
    supervised.hear("up")
    first = supervised.pids()["web"]
    os.kill(first, signal.SIGKILL)
    assert supervised.hear("web ended") == "web ended (killed by SIGKILL); starting it again."
    assert soon(lambda: len(marked(folder)) == 1)
    assert marked(folder) != [first]


def test_what_dies_at_once_again_and_again_ends_everything(supervise: Callable[..., Supervised], folder: Path) -> None:
    broken = "import sys; print('no configuration'); sys.exit(3)"
    supervised = supervise(python("web", broken), python("worker", POLITE, "worker", folder / "book"))
    sentence = supervised.hear("times within seconds")
    assert sentence.startswith("web ended 5 times within seconds of its start (exit status 3): no configuration")
    assert supervised.process.wait(timeout=60) == 1
    assert (folder / "book").read_text() == "worker\n"


def test_a_stop_goes_in_order(supervise: Callable[..., Supervised], folder: Path) -> None:
    names = ["redis", "web", "beat", "worker"]
    supervised = supervise(*(python(name, POLITE, name, folder / "book") for name in names))
    supervised.hear_each(*(f"{name} listens" for name in names))
    assert supervised.end(signal.SIGINT) == 0
    assert (folder / "book").read_text().split() == ["web", "worker", "beat", "redis"]


def test_what_does_not_end_is_killed_with_its_children(supervise: Callable[..., Supervised], folder: Path) -> None:
    supervised = supervise(python("web", STUBBORN, seconds=0.5), python("worker", PARENT, seconds=0.5))
    supervised.hear("deaf")
    assert soon(lambda: len(marked(folder)) == 3)
    assert supervised.end() == 0
    assert marked(folder) == []


def test_a_second_signal_hurries(supervise: Callable[..., Supervised], folder: Path) -> None:
    supervised = supervise(python("web", STUBBORN, seconds=200))
    supervised.hear("deaf")
    supervised.process.send_signal(signal.SIGINT)
    time.sleep(0.5)
    begun = time.monotonic()
    assert supervised.end(signal.SIGINT) == 0
    assert time.monotonic() - begun < 60


def test_children_die_with_a_killed_supervisor(supervise: Callable[..., Supervised], folder: Path) -> None:
    supervised = supervise(
        python("web", POLITE, "web", folder / "book"), python("beat", "import time; time.sleep(600)")
    )
    supervised.hear("up")
    assert len(marked(folder)) == 2
    supervised.end(signal.SIGKILL)
    assert soon(lambda: not marked(folder))


def test_the_next_start_ends_what_outlived_a_killed_supervisor(
    supervise: Callable[..., Supervised], folder: Path
) -> None:
    first = supervise(python("web", STUBBORN))
    first.hear("deaf")
    (outliving,) = marked(folder)
    first.end(signal.SIGKILL)
    assert marked(folder) == [outliving]
    second = supervise(python("web", POLITE, "web", folder / "book"))
    assert second.hear("ended") == "ended 1"
    second.hear("up")
    assert outliving not in marked(folder)


def test_a_second_supervisor_on_the_same_folder_is_refused(supervise: Callable[..., Supervised], folder: Path) -> None:
    first = supervise(python("web", POLITE, "web", folder / "book"))
    first.hear("up")
    second = supervise(python("web", POLITE, "web", folder / "book"))
    assert "already running" in second.hear(str(first.process.pid))
    assert second.process.wait(timeout=60) == 1


def test_output_goes_to_a_log_and_errors_to_the_terminal(supervise: Callable[..., Supervised], folder: Path) -> None:
    source = "import time; print('quiet'); print('ERROR loud', flush=True); time.sleep(600)"
    supervised = supervise(python("web", source))
    assert supervised.hear("loud") == "web | ERROR loud"
    supervised.end()
    assert (folder / "log" / "web.log").read_text() == "quiet\nERROR loud\n"
    assert not any("quiet" in line for line in supervised.said)


def test_what_a_confidential_step_says_is_returned_and_not_filed(folder: Path) -> None:
    folder.mkdir()
    program = Program(
        name="bootstrap",
        command=[sys.executable, "-c", "print('https://localhost/link')"],
        environment=dict(os.environ),
        directory=folder,
        confidential=True,
    )
    with Supervisor(Terminal(), folder) as supervisor:
        assert supervisor.run_steps([program], seconds=60) == {"bootstrap": ["https://localhost/link"]}
    assert (folder / "bootstrap.log").read_text() == ""


def test_a_step_that_fails_says_why(folder: Path) -> None:
    folder.mkdir()
    source = "raise SystemExit('CommandError: the disk is full')"
    program = Program(
        name="migrate", command=[sys.executable, "-c", source], environment=dict(os.environ), directory=folder
    )
    with (
        Supervisor(Terminal(), folder) as supervisor,
        pytest.raises(StepFailed, match=r"^migrate failed: the disk is full \("),
    ):
        supervisor.run_steps([program], seconds=60)
