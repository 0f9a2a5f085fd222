"""Background work whose handlers remember what they were given: for tests of `core.outbox`."""

import threading
import uuid
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import cache
from typing import Any

import pytest
import redis
from django.conf import settings as django_settings
from django.db import connections
from django.utils import timezone

from core import outbox
from core.bell import Bell
from core.models import User, Work

WAIT = 60


class Recorder:
    """A handler that remembers what it was given, and does what the test says with it."""

    def __init__(self) -> None:
        self.claims: list[outbox.Claim] = []
        self.groups: list[Sequence[outbox.Claim]] = []
        self.given_up: list[uuid.UUID] = []
        self.then: Callable[[outbox.Claim], None] = lambda _claim: None
        self.on_given_up: Callable[[uuid.UUID], None] = lambda _subject: None

    def handle(self, claim: outbox.Claim) -> None:
        self.claims.append(claim)
        self.then(claim)

    def handle_group(self, claims: Sequence[outbox.Claim]) -> None:
        self.groups.append(claims)
        for claim in claims:
            self.handle(claim)

    def give_up(self, subject: uuid.UUID) -> None:
        self.given_up.append(subject)
        self.on_given_up(subject)


KINDS = ("test.work", "test.other", "test.plain", "test.group")
GROUP = outbox.Group(size=4, weight=100)

_recorders: dict[str, Recorder] = {kind: Recorder() for kind in KINDS}


@cache
def register() -> None:
    """Make the kinds known, once in this process."""
    for kind in ("test.work", "test.other"):
        outbox.register(
            kind,
            lambda claim, kind=kind: _recorders[kind].handle(claim),  # type: ignore[misc]
            on_exhausted=lambda subject, kind=kind: _recorders[kind].give_up(subject),  # type: ignore[misc]
            max_attempts=3,
        )
    outbox.register_group(
        "test.group",
        lambda claims: _recorders["test.group"].handle_group(claims),
        GROUP,
        on_exhausted=lambda subject: _recorders["test.group"].give_up(subject),
    )
    outbox.register("test.plain", lambda claim: _recorders["test.plain"].handle(claim), max_attempts=1)


def begin(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget what an earlier test recorded, and what it left in the broker.

    Workers are asked at each enqueueing: those who ask soon after one another share a ring (`core.bell`), and the one
    before may be of an earlier test.
    """
    register()
    outbox._bell.close()
    monkeypatch.setattr(outbox, "_bell", Bell(outbox.publish, interval=0.0))
    _recorders.update({kind: Recorder() for kind in _recorders})
    broker().flushdb()


def recorder_of(kind: str = "test.work") -> Recorder:
    return _recorders[kind]


def broker() -> "redis.Redis":
    socket, _, database = django_settings.CELERY_BROKER_URL.removeprefix("redis+socket://").partition("?virtual_host=")
    return redis.Redis(unix_socket_path=socket, db=int(database))


def messages() -> int:
    """How many "look for work" wait in the broker."""
    return int(broker().llen(f"{django_settings.REDIS_PREFIX}:celery:celery"))


def ask(owner: User | None = None, *, kind: str = "test.work", **more: Any) -> Work:
    subject = more.pop("subject", None) or uuid.uuid4()
    outbox.enqueue(kind=kind, subject=subject, owner=owner, **more)
    return Work.objects.get(kind=kind, subject=subject, state="waiting")


def expire(**which: Any) -> int:
    return Work.objects.filter(state="running", **which).update(lease_until=timezone.now() - timedelta(seconds=1))


def in_threads(count: int, what: Callable[[], Any]) -> list[Any]:
    """Run `what` in `count` threads that begin together; return what they returned, or raise what one raised."""
    barrier = threading.Barrier(count)
    results: list[Any] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            barrier.wait(WAIT)
            results.append(what())
        except BaseException as error:  # noqa: BLE001  (raised again below)
            errors.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT)
    if errors:
        raise errors[0]
    return results
