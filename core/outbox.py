"""Background work: rows written with the change that needs them, claimed by workers, never lost.

`enqueue` writes a row in the caller's transaction and, after commit, asks Celery to look for work. A worker claims
the row that is due, fairly per owner, under a lease that a thread renews. Whatever happens in between (Redis away, a
worker killed), `relay`, every 15 seconds, gives expired claims back and asks again. A row that was claimed
`max_attempts` times without an end is handed to its kind's `on_exhausted` and removed, or kept as failed.

All times are the database's: workers and web processes on several machines need no common clock.

Handlers may run more than once and must be idempotent; `Claim.guard` inside their transaction makes sure that a
claim that was taken over writes nothing.
"""

import json
import logging
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from celery import current_app
from django.db import Error, IntegrityError, connection, transaction
from django.db.models.functions import Now
from kombu.exceptions import OperationalError as BrokerError
from redis.exceptions import RedisError

from core.bell import Bell
from core.errors import ParleyError
from core.models import User, Work

logger = logging.getLogger(__name__)

LOOK_FOR_WORK = "core.tasks.look_for_work"
LEASE = timedelta(seconds=30)
# Seconds between two messages of one process that there is work: one costs a millisecond, as much as a turn's end.
RING_INTERVAL = 0.25


class LostClaimError(ParleyError):
    """Another worker has taken this work over; whatever was done since is thrown away."""

    code = "claim_lost"


@dataclass(frozen=True, slots=True)
class Claim:
    """One worker's right to do one piece of work. `attempt` counts from 1."""

    id: uuid.UUID
    kind: str
    subject: uuid.UUID
    arguments: dict[str, Any]
    attempt: int
    fence: int

    def guard(self) -> None:
        """Lock the row in the caller's transaction; raise `LostClaimError` if the claim is no longer ours."""
        if not Work.objects.select_for_update().filter(id=self.id, fence=self.fence, state="running").exists():
            raise LostClaimError("The work was taken over.")

    def renew(self) -> bool:
        """Extend the lease; false when the claim was lost."""
        rows = Work.objects.filter(id=self.id, fence=self.fence, state="running")
        return bool(rows.update(lease_until=Now() + LEASE))


Handler = Callable[[Claim], None]
OnExhausted = Callable[[uuid.UUID], None]


@dataclass(frozen=True, slots=True)
class _Kind:
    handler: Handler
    on_exhausted: OnExhausted | None
    max_attempts: int


_kinds: dict[str, _Kind] = {}


def register(kind: str, handler: Handler, *, on_exhausted: OnExhausted | None = None, max_attempts: int = 3) -> None:
    """Say who does this kind of work. `on_exhausted` gets the subject when every attempt ended without an end."""
    if kind in _kinds:
        raise ValueError(f"{kind} is registered already")
    _kinds[kind] = _Kind(handler, on_exhausted, max_attempts)


# A twin that waits already is locked until the caller commits, so that no worker takes it before it can see the
# caller's changes; asked for sooner, it comes sooner.
_ENQUEUE = """
INSERT INTO core_work (
    id, kind, subject, arguments, owner_id, state, attempts, fence, run_after, lease_until, error, created_at
) VALUES (
    %s, %s, %s, %s, %s, 'waiting', 0, 0, clock_timestamp() + %s::interval, NULL, '', clock_timestamp()
) ON CONFLICT (kind, subject) WHERE state = 'waiting'
DO UPDATE SET run_after = least(core_work.run_after, EXCLUDED.run_after)
"""


def enqueue(
    *,
    kind: str,
    subject: uuid.UUID,
    owner: User | uuid.UUID | None = None,
    arguments: dict[str, Any] | None = None,
    delay: timedelta = timedelta(0),
) -> None:
    """Ask for work in the current transaction.

    Asked for again before it began, it stays one piece of work with its first arguments, at the earlier time. Two
    transactions that ask for the same work take turns: ask late in a long transaction.
    """
    values: list[Any] = [
        uuid.uuid4(),
        kind,
        subject,
        json.dumps(arguments or {}),
        owner.pk if isinstance(owner, User) else owner,
        delay,
    ]
    with connection.cursor() as cursor:
        cursor.execute(_ENQUEUE, values)
    if not delay:
        transaction.on_commit(_bell.ask, robust=True)


def publish(count: int = 1) -> None:
    """Ask workers to look for work. A broker that is away is logged only: `relay` asks again."""
    try:
        for _ in range(count):
            current_app.send_task(LOOK_FOR_WORK, expires=60)
    except (BrokerError, RedisError, OSError) as error:
        logger.warning("The broker is away; waiting work is found by the next sweep: %s", error)


_bell = Bell(publish, RING_INTERVAL)


# Work of nobody in particular counts as one owner's.
_CLAIM = """
WITH busy AS (
    SELECT owner_id, count(*) AS running FROM core_work WHERE state = 'running' GROUP BY owner_id
), next AS (
    SELECT waiting.id FROM core_work waiting
    LEFT JOIN busy ON busy.owner_id IS NOT DISTINCT FROM waiting.owner_id
    WHERE waiting.state = 'waiting' AND waiting.run_after <= clock_timestamp() AND waiting.kind = ANY(%s)
    ORDER BY coalesce(busy.running, 0), waiting.run_after
    LIMIT 1 FOR UPDATE OF waiting SKIP LOCKED
)
UPDATE core_work SET state = 'running', attempts = attempts + 1, fence = fence + 1,
    lease_until = clock_timestamp() + %s::interval
FROM next WHERE core_work.id = next.id
RETURNING core_work.id, kind, subject, arguments, attempts, fence
"""


def claim_next() -> Claim | None:
    """Take the next piece of work that is due: of the owner with the least running, the longest waiting."""
    values: list[Any] = [list(_kinds), LEASE]
    with connection.cursor() as cursor:
        cursor.execute(_CLAIM, values)
        row = cursor.fetchone()
    if row is None:
        return None
    work, kind, subject, arguments, attempt, fence = row
    return Claim(work, kind, subject, json.loads(arguments), attempt, fence)


@contextmanager
def _kept(claim: Claim) -> Iterator[None]:
    """Renew the lease from a thread while the handler runs."""
    done = threading.Event()

    def renew() -> None:
        while not done.wait(LEASE.total_seconds() / 3):
            try:
                if not claim.renew():
                    return
            except Error as error:
                logger.warning("A lease was not renewed: %s", error)
            finally:
                connection.close()

    thread = threading.Thread(target=renew, name="lease", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join(timeout=5)


def run_one() -> bool:
    """Claim and do one piece of work; false when none is due.

    A retryable error puts it back with a growing delay. Any other error is the handler's fault: the claim is left to
    expire and counts as an attempt.
    """
    claim = claim_next()
    if claim is None:
        return False
    kind = _kinds[claim.kind]
    try:
        with _kept(claim):
            kind.handler(claim)
    except LostClaimError:
        logger.warning("%s %s was taken over", claim.kind, claim.subject)
    except ParleyError as error:
        if not error.retryable:
            raise
        if claim.attempt >= kind.max_attempts:
            _exhaust(claim.id, claim.fence, error=error.message)
        else:
            _put_back(claim.id, claim.fence, delay=timedelta(seconds=2**claim.attempt), error=error.message)
    else:
        Work.objects.filter(id=claim.id, fence=claim.fence).delete()
    return True


def _held(work: uuid.UUID, fence: int) -> Work | None:
    """The claimed row, locked in the caller's transaction; None when the claim is no longer what it was."""
    return Work.objects.select_for_update().filter(id=work, fence=fence, state="running").first()


def _put_back(work: uuid.UUID, fence: int, *, delay: timedelta, error: str) -> None:
    with transaction.atomic():
        row = _held(work, fence)
        if row is None:
            return
        try:
            with transaction.atomic():
                Work.objects.filter(id=work).update(
                    state=Work.State.WAITING, lease_until=None, error=error[:2000], run_after=Now() + delay
                )
        except IntegrityError:
            row.delete()  # it was asked for again meanwhile; that row does the work


def _exhaust(work: uuid.UUID, fence: int, *, error: str) -> None:
    """Hand the work to its kind's `on_exhausted` and remove it; where there is none, or it fails, keep it as failed."""
    handed_over = False
    try:
        with transaction.atomic():
            row = _held(work, fence)
            if row is None:
                handed_over = True
                return
            logger.error("%s %s ended without an end too often: %s", row.kind, row.subject, error)
            registered = _kinds.get(row.kind)
            if registered is not None and registered.on_exhausted is not None:
                registered.on_exhausted(row.subject)
                row.delete()
                handed_over = True
    finally:
        if not handed_over:
            rows = Work.objects.filter(id=work, fence=fence, state="running")
            rows.update(state=Work.State.FAILED, lease_until=None, error=error[:2000])


def retry(work: Work) -> bool:
    """Put failed work back for another round of attempts; false where it is not failed, or waits again already."""
    with transaction.atomic():
        row = Work.objects.select_for_update().filter(id=work.pk, state="failed").first()
        if row is None:
            return False
        enqueue(kind=row.kind, subject=row.subject, owner=row.owner_id, arguments=row.arguments)
        row.delete()
    return True


def relay() -> int:
    """Give expired claims back, ask for what is due, hand over what cannot succeed; returns how much is due."""
    expired = Work.objects.filter(state="running", lease_until__lt=Now()).order_by("lease_until")
    hopeless = []
    for work in expired[:500]:
        registered = _kinds.get(work.kind)
        if registered is not None and work.attempts >= registered.max_attempts:
            hopeless.append(work)
        else:
            _put_back(work.id, work.fence, delay=timedelta(0), error="The worker that had it is gone.")
    due = Work.objects.filter(state="waiting", run_after__lte=Now()).count()
    publish(min(due, 16))
    for work in hopeless:  # last, since what it calls may fail
        _exhaust(work.id, work.fence, error="The workers that had it are gone.")
    return due
