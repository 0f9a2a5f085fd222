"""Parley's own servers and web process in a temporary folder, and what they use of the machine."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from config.local.accounts import me, service_account
from config.local.keys import keep_keys
from config.local.options import BASE_DIR, known_names, read_options
from config.local.places import claim, lay_out
from config.local.process import Child, Program
from config.local.stack import Stack, make_stack
from config.local.waiting import soon
from config.local.web import answers

_SECONDS = 60.0


class Machine:
    """PostgreSQL and Redis as `make up` starts them, with its settings, on a new data folder."""

    def __init__(self, folder: Path, processes: int) -> None:
        account = service_account("parley") if me().uid == 0 else me()
        claim(folder)
        places = lay_out(folder, application=me(), servers=account)
        environment = {name: value for name, value in os.environ.items() if name not in known_names()}
        environment |= {
            "DATA_DIR": str(folder),
            "PORT": str(free_port()),
            "ENV_FILE": os.devnull,
            "WEB_PROCESSES": str(processes),
        }
        self.stack: Stack = make_stack(
            read_options(environment, as_root=False), places, keep_keys(places.keys), account
        )
        self.children: dict[str, Child] = {}

    @property
    def port(self) -> int:
        return self.stack.options.port

    def start_servers(self) -> None:
        cluster, redis = self.stack.cluster, self.stack.redis
        assert cluster is not None and redis is not None  # noqa: PT018 - no setting names others
        cluster.create()
        for program, ready in ((cluster.program(), cluster.ready), (redis.program(), redis.ready)):
            self._start(program)
            _wait(ready, program.name)
        cluster.settle()
        self._step(self.stack.migrate())
        self._step(self.stack.collect_static())

    def start_web(self) -> None:
        options = self.stack.options
        self._start(self.stack.web())
        _wait(lambda: answers(options.host, options.port, options.public_url), "web")

    def start_worker(self) -> None:
        """Start the workers; they take what waits as soon as they are there."""
        self._start(self.stack.worker())

    @property
    def database_url(self) -> str:
        """Where the application's role reaches PostgreSQL."""
        return self.stack.environment()["DATABASE_URL"]

    def stop(self, name: str) -> None:
        self.children.pop(name).stop(soon)

    def run(self, *command: str, as_owner: bool = False) -> str:
        """Run one of our modules with the application's settings, and return what it prints."""
        return subprocess.run(
            [sys.executable, "-m", *command],
            env=self.stack.environment(as_owner=as_owner),
            cwd=BASE_DIR,
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        ).stdout

    def _start(self, program: Program) -> None:
        with (self.stack.places.log / f"{program.name}.log").open("ab") as log:
            self.children[program.name] = Child(program, log)

    def _step(self, program: Program) -> None:
        subprocess.run(
            program.command,
            env=dict(program.environment),
            cwd=program.directory,
            check=True,
            stdout=subprocess.DEVNULL,
        )


@contextmanager
def machine(processes: int) -> Iterator[Machine]:
    """A machine whose servers run; everything is gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="parley-bench-"))
    made = Machine(folder, processes)
    try:
        made.start_servers()
        yield made
    finally:
        for name in reversed(list(made.children)):
            made.stop(name)
        shutil.rmtree(folder, ignore_errors=True)


class Usage:
    """What process trees use between `begin` and `end`: CPU seconds, and RSS in bytes (at both, and the largest)."""

    def __init__(self, roots: Mapping[str, int]) -> None:
        self._roots = {name: psutil.Process(pid) for name, pid in roots.items()}
        self.cpu: dict[str, float] = {}
        self.peak = dict.fromkeys(roots, 0)
        self.at_begin: dict[str, int] = {}
        self.at_end: dict[str, int] = {}
        self.everything = 0.0
        self._ended = threading.Event()
        self._sampler = threading.Thread(target=self._sample, daemon=True)

    def begin(self) -> None:
        self.at_begin = self._rss()
        self._before, self._all = self._cpu(), whole_machine()
        self._sampler.start()

    def end(self) -> None:
        self._ended.set()
        self._sampler.join()
        now = self._cpu()
        self.cpu = {name: now[name] - self._before[name] for name in now}
        self.everything = whole_machine() - self._all
        self.at_end = self._rss()

    def _cpu(self) -> dict[str, float]:
        return {name: sum(map(_cpu_of, _tree(root))) for name, root in self._roots.items()}

    def _rss(self) -> dict[str, int]:
        return {name: sum(map(_rss_of, _tree(root))) for name, root in self._roots.items()}

    def _sample(self) -> None:
        while not self._ended.wait(0.5):
            for name, size in self._rss().items():
                self.peak[name] = max(self.peak[name], size)


def whole_machine() -> float:
    """CPU seconds that all processes of the machine have used."""
    times = psutil.cpu_times()
    return float(times.user + times.nice + times.system)


def _tree(root: psutil.Process) -> list[psutil.Process]:
    return [root, *root.children(recursive=True)]


def _cpu_of(process: psutil.Process) -> float:
    """With that of children that have ended: PostgreSQL's former connections, a worker's jails."""
    with suppress(psutil.NoSuchProcess):
        times = process.cpu_times()
        return float(times.user + times.system + times.children_user + times.children_system)
    return 0.0


def _rss_of(process: psutil.Process) -> int:
    with suppress(psutil.NoSuchProcess):
        return int(process.memory_info().rss)
    return 0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait(ready: Callable[[], bool], name: str) -> None:
    if not soon(ready, _SECONDS):
        raise SystemExit(f"{name} does not answer after {_SECONDS:.0f} seconds")
