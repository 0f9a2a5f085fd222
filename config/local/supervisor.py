"""Starts programs, keeps them running, files their output, and stops them in order. One thread, one loop.

One thread on purpose: the kernel ties a child's life to the thread that started it (see `process`).
"""

import os
import selectors
import signal
import socket
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from config.local.backoff import Backoff
from config.local.errors import GaveUp, StepFailed, Stopped
from config.local.logs import Lines, LogFile, Shown
from config.local.process import Child, Program, describe
from config.local.terminal import Terminal

_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def _nothing() -> None:
    """What happens before a start unless told otherwise."""


@dataclass
class Post:
    """One program's place under the supervisor, over all its lives."""

    program: Program
    log: LogFile
    shown: Shown
    lines: Lines = field(default_factory=Lines)
    backoff: Backoff = field(default_factory=Backoff)
    keep: bool = True
    before_start: Callable[[], None] = _nothing
    child: Child | None = None
    pipe: int | None = None
    due: float | None = None
    last_status: int | None = None


class Supervisor:
    """To be used as a context: leaving it stops everything, in the reverse order of the starts unless told otherwise.

    `stop_order` names programs that are stopped first, in that order.
    """

    def __init__(self, terminal: Terminal, logs: Path, *, stop_order: Sequence[str] = ()) -> None:
        self._terminal = terminal
        self._logs = logs
        self._stop_order = list(stop_order)
        self._posts: dict[str, Post] = {}
        self._selector = selectors.DefaultSelector()
        self._asked = 0
        self._stopping = False

    def __enter__(self) -> "Supervisor":
        self._wakeup, waker = socket.socketpair()
        self._waker = waker
        for end in (self._wakeup, waker):
            end.setblocking(False)
        self._selector.register(self._wakeup, selectors.EVENT_READ)
        self._former_wakeup = signal.set_wakeup_fd(waker.fileno(), warn_on_full_buffer=False)
        self._former = {number: signal.signal(number, self._on_stop_signal) for number in _STOP_SIGNALS}
        self._former[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, _ignore)
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        signal.set_wakeup_fd(self._former_wakeup)
        for number, handler in self._former.items():
            signal.signal(number, handler)
        self._selector.close()
        self._wakeup.close()
        self._waker.close()

    @property
    def pids(self) -> Mapping[str, int]:
        """Pids of what runs now, by name."""
        return {name: post.child.pid for name, post in self._posts.items() if post.child is not None}

    def keep(self, program: Program, *, before_start: Callable[[], None] = _nothing) -> None:
        """Start the program, and start it again whenever it ends."""
        post = self._post(program)
        post.before_start = before_start
        self._start(post)

    def run_steps(self, programs: Iterable[Program], *, seconds: float) -> dict[str, list[str]]:
        """Run programs that end by themselves, side by side; returns the last lines each has said, by name.

        Raises `StepFailed` with what the first that failed had to say, `Stopped`.
        """
        posts = [self._post(program, keep=False) for program in programs]
        for post in posts:
            self._start(post)
        if not self.wait(lambda: all(post.child is None for post in posts), seconds):
            late = next(post for post in posts if post.child is not None)
            raise StepFailed(f"{late.program.name} took longer than {seconds:.0f} seconds; see {late.log.path}.")
        for post in posts:
            if post.last_status:
                said = _reason(list(post.lines.last))
                raise StepFailed(f"{post.program.name} failed: {said} (more in {post.log.path})")
        return {post.program.name: list(post.lines.last) for post in posts}

    def wait(self, predicate: Callable[[], bool], seconds: float, *, every: float = 0.05) -> bool:
        """Look after everything until the predicate holds (true) or the seconds are over (false).

        The predicate is asked each `every` seconds.

        Raises `Stopped` when a signal asks to stop, `GaveUp` when a program cannot be kept running.
        """
        deadline = time.monotonic() + seconds
        while not predicate():
            if time.monotonic() >= deadline:
                return False
            again = min(deadline, time.monotonic() + every)
            while (left := again - time.monotonic()) > 0:
                self._tick(left)
                if self._asked and not self._stopping:
                    raise Stopped("Stopped.")
        return True

    def run(self) -> None:
        """Look after everything until a signal asks to stop. Raises `GaveUp`."""
        with suppress(Stopped):
            self.wait(lambda: False, float("inf"), every=5.0)

    def stop(self) -> None:
        """Stop what runs, one after the other; a second signal shortens the time each one gets."""
        self._stopping = True
        asked_before = self._asked

        def wait(predicate: Callable[[], bool], seconds: float) -> bool:
            started = time.monotonic()

            def enough() -> bool:
                hurried = self._asked > max(asked_before, 1) and time.monotonic() - started > 1
                return hurried or predicate()

            self.wait(enough, seconds)
            return predicate()

        for post in self._posts.values():
            post.keep, post.due = False, None
        for post in self._in_stop_order():
            if post.child is not None:
                post.child.stop(wait)
                self._collect(post)
            post.log.close()
        self._posts.clear()

    def _in_stop_order(self) -> list[Post]:
        first = [self._posts[name] for name in self._stop_order if name in self._posts]
        return first + [post for post in reversed(self._posts.values()) if post not in first]

    def _post(self, program: Program, *, keep: bool = True) -> Post:
        log = LogFile(self._logs / f"{program.name}.log")
        post = Post(program, log, Shown(program.shows), keep=keep)
        self._posts[program.name] = post
        return post

    def _start(self, post: Post) -> None:
        post.due = None
        post.before_start()
        reading, writing = os.pipe()
        os.set_blocking(reading, False)
        try:
            post.child = Child(post.program, writing)
        except (OSError, ValueError) as error:
            os.close(reading)
            raise StepFailed(f"{post.program.name} cannot be started: {error}") from error
        finally:
            os.close(writing)
        post.pipe = reading
        self._selector.register(reading, selectors.EVENT_READ, post)

    def _tick(self, seconds: float) -> None:
        now = time.monotonic()
        due = [post.due - now for post in self._posts.values() if post.due is not None]
        for key, _ in self._selector.select(max(0.0, min([seconds, *due]))):
            if key.data is None:
                with suppress(BlockingIOError):
                    self._wakeup.recv(4096)
            else:
                self._read(key.data)
        for post in list(self._posts.values()):
            if post.child is not None and post.child.status() is not None:
                self._on_end(post)
            elif post.due is not None and post.due <= time.monotonic():
                self._start(post)

    def _read(self, post: Post) -> bool:
        """Take one piece of a program's output; false where there is none now."""
        if post.pipe is None:
            return False
        with suppress(BlockingIOError):
            data = os.read(post.pipe, 65536)
            if data:
                self._file(post, post.lines.feed(data))
                return True
            self._close_pipe(post)
        return False

    def _file(self, post: Post, lines: list[bytes]) -> None:
        for line in lines:
            if not post.program.confidential:
                post.log.write(line)
            text = line.decode(errors="replace")
            if not self._stopping and post.shown.admits(text):
                self._terminal.say(f"{post.program.name} | {text}")

    def _close_pipe(self, post: Post) -> None:
        if post.pipe is not None:
            self._selector.unregister(post.pipe)
            os.close(post.pipe)
            post.pipe = None

    def _collect(self, post: Post) -> None:
        """Take what an ended program said last."""
        while self._read(post):
            pass
        self._close_pipe(post)
        self._file(post, post.lines.finish())
        if post.child is not None:
            post.last_status = post.child.status()
            post.child = None
            if post.program.confidential and post.last_status:
                for line in post.lines.last:
                    post.log.write(line.encode())

    def _on_end(self, post: Post) -> None:
        child = post.child
        assert child is not None  # noqa: S101  (the caller has looked)
        child.sweep()
        self._collect(post)
        if not post.keep:
            return
        ended = describe(child.status() or 0)
        delay = post.backoff.after(child.lifetime)
        if delay is None:
            raise GaveUp(
                f"{post.program.name} ended {post.backoff.limit} times within seconds of its start ({ended}): "
                f"{_reason(list(post.lines.last))} (more in {post.log.path})"
            )
        self._terminal.say(f"{post.program.name} ended ({ended}); starting it again.")
        post.due = time.monotonic() + delay

    def _on_stop_signal(self, number: int, frame: FrameType | None) -> None:
        self._asked += 1


def _ignore(number: int, frame: FrameType | None) -> None:
    """A handler of our own makes the signal write to the wake-up socket."""


def _reason(lines: list[str]) -> str:
    """The most telling of a program's last lines. Errors that are sentences for people lose their class name."""
    said = [line.strip() for line in lines if line.strip()]
    if not said:
        return "it said nothing"
    kind, _, message = said[-1].partition(": ")
    return message if kind.endswith(("ImproperlyConfigured", "CommandError")) else said[-1]
