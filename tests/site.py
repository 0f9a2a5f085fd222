"""The site as people meet it: a web process and a worker, started with their own commands, on the test database."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError

from tests import backends

ROOT = Path(__file__).resolve().parent.parent
STARTUP_SECONDS = 60
# What its connections to PostgreSQL are called.
APPLICATION = "site"


@dataclass(frozen=True, slots=True)
class Site:
    """Where it answers, and its processes."""

    url: str
    web: "subprocess.Popen[bytes]"
    worker: "subprocess.Popen[bytes]"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _start(log: Path, environment: dict[str, str], *command: str) -> "subprocess.Popen[bytes]":
    with log.open("ab") as output:
        return subprocess.Popen(
            [sys.executable, "-m", *command],
            cwd=ROOT,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _stop(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(timeout=15)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _wait_for(url: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + STARTUP_SECONDS
    while True:
        assert process.poll() is None, log.read_text()[-3000:]
        try:
            with urllib.request.urlopen(url, timeout=2):  # noqa: S310 - an address of our own making
                return
        except (URLError, OSError):
            assert time.monotonic() < deadline, log.read_text()[-3000:]
            time.sleep(0.1)


@contextmanager
def running_site(folder: Path, **settings: str) -> Iterator[Site]:
    """Start web and worker; the caller has set up the test database. `settings` go into their environment.

    They take whatever turn or work is in the database, so no test may run beside them that does not want that.
    """
    port = _free_port()
    environment = {
        "DATABASE_URL": backends.database_url(),
        "PORT": str(port),
        "PUBLIC_URL": f"http://localhost:{port}",
        backends.NAME: APPLICATION,
        **settings,
    }
    web_log, worker_log = folder / "web.log", folder / "worker.log"
    web = _start(
        web_log, environment, "uvicorn", "config.asgi:application", "--ws", "websockets-sansio", "--lifespan", "on",
        "--port", str(port), "--log-level", "warning",
    )  # fmt: skip
    worker = _start(
        worker_log, environment, "celery", "-A", "config", "worker", "--concurrency", "1", "--loglevel", "warning"
    )
    try:
        _wait_for(f"http://localhost:{port}/healthz", web, web_log)
        yield Site(f"http://localhost:{port}", web, worker)
    finally:
        _stop(web)
        _stop(worker)
        backends.await_end(backends.database_url(), {APPLICATION})
