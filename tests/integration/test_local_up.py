"""The real thing: `python -m config.local up`, from an empty folder to a served page, killed and started again."""

import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from config.local.lock import holder
from config.local.options import BASE_DIR
from config.local.places import lock_path
from config.local.waiting import soon

pytestmark = pytest.mark.timeout(240)


class Machine:
    """One data folder and one port, and Parley started on them as often as a test likes."""

    def __init__(self, data: Path) -> None:
        self.data = data
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.process: subprocess.Popen[str] | None = None
        self.said_first: list[str] = []

    def environment(self) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        return {**kept, "ENV_FILE": os.devnull, "PORT": str(self.port), "DATA_DIR": str(self.data)}

    def command(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", "config.local", *arguments],
            cwd=BASE_DIR,
            env=self.environment(),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def start(self) -> list[str]:
        """Lines that were said up to the one with the address."""
        self.process = subprocess.Popen(
            [sys.executable, "-m", "config.local", "up"],
            cwd=BASE_DIR,
            env=self.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert self.process.stdout is not None
        said = []
        for line in self.process.stdout:
            said.append(line.strip())
            if line.startswith("Parley is ready"):
                return said
        raise AssertionError("\n".join(said))

    def end(self, number: signal.Signals) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        self.process.communicate(timeout=90)
        return self.process.returncode

    def get(self, path: str) -> int:
        return self._ask(path)[0]

    def health(self) -> str:
        """What the health page says of the web process and its servers; empty where nobody answers."""
        _status, body = self._ask("/healthz")
        return str(json.loads(body)["status"]) if body else ""

    def _ask(self, path: str) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read()
        except OSError:
            return 0, b""
        finally:
            connection.close()

    def pids(self) -> dict[str, int]:
        facts = holder(lock_path(self.data))
        assert facts is not None
        return dict(facts["programs"])

    def processes(self) -> list[int]:
        """Everything that was started on the data folder or works in it."""
        found = []
        for process in psutil.process_iter(["cwd", "status"]):
            inside = str(process.info["cwd"] or "").startswith(str(self.data))
            try:
                ours = inside or process.environ().get("PARLEY_INSTANCE") == str(self.data)
            except psutil.Error:
                ours = inside
            if ours and process.info["status"] != psutil.STATUS_ZOMBIE:
                found.append(process.pid)
        return found


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    folder = Path(tempfile.mkdtemp(prefix="parley-local-"))
    folder.chmod(0o711)
    made = Machine(folder / "data")
    made.said_first = made.start()
    yield made
    if made.process and made.process.poll() is None:
        made.end(signal.SIGTERM)
    assert made.processes() == []
    shutil.rmtree(folder)


def test_an_empty_folder_becomes_a_served_page_and_a_sign_in_link(machine: Machine) -> None:
    said = machine.said_first
    assert said[-1].startswith(f"Parley is ready: http://localhost:{machine.port} ")
    (link,) = [line for line in said if line.startswith(f"http://localhost:{machine.port}/sign-in/")]
    assert machine.health() == "ok"
    assert machine.get(link.removeprefix(f"http://localhost:{machine.port}")) == 200
    told = "".join(path.read_text() for path in (machine.data / "log").iterdir())
    assert link not in told
    assert set(machine.pids()) == {"postgres", "redis", "web", "worker", "beat"}


def test_the_other_commands_know_the_running_instance(machine: Machine) -> None:
    assert f"Parley is running: http://localhost:{machine.port}" in machine.command("status").stdout
    assert "[X] 0001_initial" in machine.command("manage", "showmigrations", "core").stdout
    assert "export DATABASE_URL=" in machine.command("env").stdout
    assert machine.command("manage", "migrate", "--check").returncode == 0


@pytest.mark.parametrize("name", ["web", "postgres", "redis"])
def test_a_killed_process_comes_back_and_the_page_with_it(machine: Machine, name: str) -> None:
    former = machine.pids()[name]
    os.kill(former, signal.SIGKILL)
    assert soon(lambda: not psutil.pid_exists(former))
    assert soon(lambda: machine.health() == "ok")


def test_nothing_outlives_a_killed_supervisor(machine: Machine) -> None:
    machine.end(signal.SIGKILL)
    assert soon(lambda: machine.processes() == [])
    assert machine.get("/healthz") == 0
    machine.start()


def test_a_second_start_finds_everything_and_a_stop_is_clean(machine: Machine) -> None:
    machine.end(signal.SIGTERM)
    begun = time.monotonic()
    said = machine.start()
    assert time.monotonic() - begun < 30
    assert not any(line.startswith("Making a database") for line in said)
    assert machine.health() == "ok"
    assert machine.end(signal.SIGINT) == 0
    assert machine.processes() == []
    assert machine.command("status").stdout == f"Parley is not running on {machine.data}.\n"
