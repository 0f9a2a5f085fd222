"""`python -m config.local …` as a person uses it: what is wrong is one sentence, soon, and nothing stays running."""

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from config.local.lock import hold
from config.local.options import BASE_DIR
from config.local.places import lock_path


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="parley-local-") as name:
        Path(name).chmod(0o711)
        yield Path(name)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def command(*arguments: str, **settings: object) -> "subprocess.CompletedProcess[str]":
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return subprocess.run(
        [sys.executable, "-m", "config.local", *arguments],
        cwd=BASE_DIR,
        env={**kept, "ENV_FILE": os.devnull, "PORT": str(free_port()), **{k: str(v) for k, v in settings.items()}},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def sentence(ended: "subprocess.CompletedProcess[str]") -> str:
    """The one line that was said about what is wrong."""
    (line,) = ended.stderr.strip().split("\n")
    assert "Traceback" not in ended.stdout
    assert line.endswith(".")
    return line


def test_a_wrong_setting(folder: Path) -> None:
    ended = command("up", DATA_DIR=folder / "data", PORT="80a")
    assert ended.returncode == 2
    assert sentence(ended) == "PORT has to be a whole number from 1 to 65535; it is '80a'."
    assert not (folder / "data").exists()


def test_a_port_in_use(folder: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        ended = command("up", DATA_DIR=folder / "data", PORT=port)
    assert ended.returncode == 2
    assert sentence(ended).startswith(f"Port {port} on 127.0.0.1 is in use by another program; ")


@pytest.mark.parametrize(
    ("name", "scheme", "server"), [("DATABASE_URL", "postgresql", "PostgreSQL"), ("REDIS_URL", "redis", "Redis")]
)
def test_a_server_that_is_away(folder: Path, name: str, scheme: str, server: str) -> None:
    port = free_port()
    begun = time.monotonic()
    ended = command("up", DATA_DIR=folder / "data", **{name: f"{scheme}://:hunter2@127.0.0.1:{port}/0"})
    assert time.monotonic() - begun < 20
    assert ended.returncode == 1
    assert sentence(ended).startswith(f"{server} at 127.0.0.1:{port}/0 ({name}) cannot be used: ")
    assert "hunter2" not in ended.stdout + ended.stderr


def test_a_folder_with_other_things(folder: Path) -> None:
    (folder / "letters").mkdir()
    ended = command("up", DATA_DIR=folder)
    assert ended.returncode == 2
    assert "holds other things (letters)" in sentence(ended)


def test_a_second_start(folder: Path) -> None:
    with hold(lock_path(folder)) as lock:
        lock.tell(url="http://localhost:1")
        ended = command("up", DATA_DIR=folder)
        assert ended.returncode == 1
        assert f"already running on {folder} (process {os.getpid()})" in sentence(ended)
        assert f"process {os.getpid()}" in command("status", DATA_DIR=folder).stdout


@pytest.mark.parametrize("name", ["status", "down"])
def test_nothing_runs(folder: Path, name: str) -> None:
    ended = command(name, DATA_DIR=folder / "data")
    assert (ended.returncode, ended.stdout) == (0, f"Parley is not running on {folder / 'data'}.\n")


@pytest.mark.parametrize("arguments", [["env"], ["manage", "migrate", "--plan"]])
def test_a_django_command_needs_running_servers(folder: Path, arguments: list[str]) -> None:
    ended = command(*arguments, DATA_DIR=folder / "data")
    assert ended.returncode == 1
    assert "start it with `make up` first" in sentence(ended)


def test_a_wrong_setting_of_django_is_one_sentence_too(folder: Path) -> None:
    ended = command("up", DATA_DIR=folder / "data", TURN_MAX_STEPS="many")
    assert ended.returncode == 1
    assert "TURN_MAX_STEPS has to be a whole number; it is 'many'." in ended.stderr
    assert "Traceback" not in ended.stderr + ended.stdout
