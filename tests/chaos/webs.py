"""Web processes with their own commands and ports, on the test database, to be killed and started again."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.error import URLError

from tests import backends

ROOT = Path(__file__).resolve().parent.parent.parent
STARTUP_SECONDS = 60


class Web:
    """One web process: `start`, `kill`, `start` again on the same port."""

    # the module that serves, and what it serves
    server: Sequence[str] = ("uvicorn", "config.asgi:application")

    def __init__(self, folder: Path, name: str, environment: Mapping[str, str]) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.log = folder / f"{name}.log"
        self._environment = {**os.environ, **environment, "PORT": str(self.port)}
        self._process: subprocess.Popen[bytes] | None = None
        self._starts = 0

    @property
    def application(self) -> str:
        """What its connections to PostgreSQL are named; another name after each start."""
        return self._named(self._starts)

    @property
    def applications(self) -> list[str]:
        """What they were named after each of its starts."""
        return [self._named(start) for start in range(1, self._starts + 1)]

    def _named(self, start: int) -> str:
        return f"{self.log.stem} {start}"

    @property
    def pid(self) -> int:
        return self._running.pid

    @property
    def _running(self) -> "subprocess.Popen[bytes]":
        assert self._process is not None, "it was not started"
        return self._process

    def begin(self) -> None:
        """Start without waiting for its answer."""
        command = [
            sys.executable, "-m", *self.server, "--ws", "websockets-sansio",
            "--lifespan", "on", "--port", str(self.port), "--log-level", "warning",
        ]  # fmt: skip
        self._starts += 1
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                command,
                cwd=ROOT,
                env={**self._environment, backends.NAME: self.application},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    async def answers(self) -> None:
        """Wait until it answers; what it said is in the assertion where it does not."""
        async with asyncio.timeout(STARTUP_SECONDS):
            while not await asyncio.to_thread(self._is_healthy):
                assert self._running.poll() is None, self.log.read_text()[-3000:]
                await asyncio.sleep(0.1)

    async def start(self) -> None:
        self.begin()
        await self.answers()

    def _is_healthy(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/healthz", timeout=2):
                return True
        except (URLError, OSError):
            return False

    def kill(self) -> None:
        """As `kill -9` does: at once, and nothing of it is left."""
        self._running.kill()
        self._running.wait(10)

    def freeze(self) -> None:
        """Let it do nothing more, so that one can look where it is."""
        self._running.send_signal(signal.SIGSTOP)
        state = Path(f"/proc/{self.pid}/stat")
        while state.read_text().rpartition(")")[2].split()[0] != "T":
            time.sleep(0.001)

    def thaw(self) -> None:
        self._running.send_signal(signal.SIGCONT)

    def ask_to_end(self) -> None:
        self._running.terminate()

    async def ended(self, seconds: float) -> int:
        return await asyncio.to_thread(self._running.wait, seconds)

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def resident_bytes(self) -> int:
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def stop(self) -> None:
        """End it, if need be by force; nothing that it began goes on in the test's database afterwards."""
        if self.is_running:
            self._running.terminate()
            try:
                self._running.wait(timeout=5)
            except subprocess.TimeoutExpired:
                os.killpg(self.pid, signal.SIGKILL)
                self._running.wait()
        backends.await_end(self._environment["DATABASE_URL"], self.applications)


@asynccontextmanager
async def web_processes(
    folder: Path, count: int = 2, *, kind: type[Web] = Web, **environment: str
) -> AsyncIterator[list[Web]]:
    """Start web processes on the test database; `environment` goes over what the tests run with."""
    values = {"DATABASE_URL": backends.database_url(), "PUBLIC_URL": "http://localhost", **environment}
    webs = [kind(folder, f"web{number}", values) for number in range(count)]
    try:
        for web in webs:
            web.begin()
        for web in webs:
            await web.answers()
        yield webs
    finally:
        await asyncio.gather(*(asyncio.to_thread(web.stop) for web in webs))
