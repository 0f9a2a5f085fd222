"""Child processes that cannot outlive the supervisor."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from config.local.accounts import Account, me

# names the data folder in each child's environment, so that the next start finds what a killed one left behind
MARK = "PARLEY_INSTANCE"

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


@dataclass(frozen=True)
class Stage:
    """One way of asking a process to end, and how many seconds it gets."""

    signal: signal.Signals
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Program:
    """What to run, as whom, and how it is asked to end.

    `stop` is tried stage by stage, SIGKILL follows. `orphan_signal` is what the kernel sends when the supervisor dies.
    `shows` tells which lines of its output belong on the terminal, not only in the log. What a `confidential` program
    says is filed only if it fails.
    """

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    directory: Path
    account: Account = field(default_factory=me)
    stop: Sequence[Stage] = (Stage(signal.SIGTERM, 10),)
    orphan_signal: signal.Signals = signal.SIGTERM
    confidential: bool = False
    shows: str = r"(?<![%\w])(WARNING|ERROR|CRITICAL|FATAL|PANIC)\b"


class Child:
    """A running `Program`, in a session of its own: Ctrl-C at the terminal reaches the supervisor only."""

    def __init__(self, program: Program, output: int | IO[bytes]) -> None:
        """Raises `OSError` where the program cannot be started."""
        self.program = program
        self.started = time.monotonic()
        self._process = subprocess.Popen(
            program.command,
            env=dict(program.environment),
            cwd=program.directory,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            # safe: the supervisor has one thread
            preexec_fn=_tie_to_parent(program.orphan_signal),
            **program.account.popen_arguments(),
        )
        self.pid = self._process.pid

    @property
    def lifetime(self) -> float:
        return time.monotonic() - self.started

    def status(self) -> int | None:
        """Exit status (negative: the signal that ended it), or None while it runs."""
        return self._process.poll()

    def send(self, number: signal.Signals) -> None:
        if self.status() is None:
            self._process.send_signal(number)

    def sweep(self) -> None:
        """Kill what the process left in its session; its own children have no work without it."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)

    def stop(self, wait: Callable[[Callable[[], bool], float], bool]) -> None:
        """End it, stage by stage. `wait(predicate, seconds)` returns as soon as the predicate holds."""
        for stage in (*self.program.stop, Stage(signal.SIGKILL, 10)):
            self.send(stage.signal)
            if wait(lambda: self.status() is not None, stage.seconds):
                break
        self.sweep()


def _tie_to_parent(number: signal.Signals) -> Callable[[], None]:
    supervisor = os.getpid()

    def tie() -> None:
        # after the change of user: the kernel forgets the wish when credentials change
        if _libc is not None:
            _libc.prctl(_PR_SET_PDEATHSIG, int(number), 0, 0, 0)
            if os.getppid() != supervisor:
                os.kill(os.getpid(), signal.SIGKILL)

    return tie


def describe(status: int) -> str:
    """ "exit status 3" or "killed by SIGKILL"."""
    if status >= 0:
        return f"exit status {status}"
    try:
        return f"killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"killed by signal {-status}"
