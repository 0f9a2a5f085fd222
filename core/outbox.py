"""Background work: rows written with the change that needs them, claimed by workers, never lost.

`enqueue` writes a row in the caller's transaction and, after commit, asks Celery to look for work. A worker claims
the row that is due, fairly per owner, under a lease that a thread renews. Whatever happens in between (Redis away, a
worker killed), `relay`, every 15 seconds, gives expired claims back and asks again. A row that was claimed
`max_attempts` times without an end is handed to its kind's `on_exhausted` and removed.

Handlers may run more than once and must be idempotent; `Claim.guard` inside their transaction makes sure that a
claim that was taken over writes nothing.
"""

import logging
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from celery import current_app
from django.db import Error, connection, transaction
from django.utils import timezone
from kombu.exceptions import OperationalError as BrokerError

from core.errors import ParleyError
from core.models import User, Work

logger = logging.getLogger(__name__)

LOOK_FOR_WORK = "core.tasks.look_for_work"
LEASE = timedelta(seconds=30)


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
        return bool(rows.update(lease_until=timezone.now() + LEASE))


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


def enqueue(
    *,
    kind: str,
    subject: uuid.UUID,
    owner: User | uuid.UUID | None = None,
    arguments: dict[str, Any] | None = None,
    delay: timedelta = timedelta(0),
) -> None:
    """Ask for work in the current transaction. Asked for again before it began, it stays one piece of work."""
    work = Work(
        kind=kind,
        subject=subject,
        owner_id=owner.pk if isinstance(owner, User) else owner,
        arguments=arguments or {},
        run_after=timezone.now() + delay,
    )
    Work.objects.bulk_create([work], ignore_conflicts=True)
    if not delay:
        transaction.on_commit(publish, robust=True)


def publish(count: int = 1) -> None:
    """Ask workers to look for work. A broker that is away is logged only: `relay` asks again."""
    try:
        for _ in range(count):
            current_app.send_task(LOOK_FOR_WORK, expires=60)
    except BrokerError as error:
        logger.warning("The broker is away; waiting work is found by the next sweep: %s", error)


_CLAIM = """
WITH busy AS (
    SELECT owner_id, count(*) AS running FROM core_work WHERE state = 'running' GROUP BY owner_id
), next AS (
    SELECT waiting.id FROM core_work waiting
    LEFT JOIN busy ON busy.owner_id = waiting.owner_id
    WHERE waiting.state = 'waiting' AND waiting.run_after <= now() AND waiting.kind = ANY(%s)
    ORDER BY coalesce(busy.running, 0), waiting.run_after
    LIMIT 1 FOR UPDATE OF waiting SKIP LOCKED
)
UPDATE core_work SET state = 'running', attempts = attempts + 1, fence = fence + 1, lease_until = now() + %s::interval
FROM next WHERE core_work.id = next.id
RETURNING core_work.id
"""


def claim_next() -> Claim | None:
    """Take the next piece of work that is due: of the owner with the least running, the longest waiting."""
    with connection.cursor() as cursor:
        cursor.execute(_CLAIM, [list(_kinds), f"{LEASE.total_seconds()} seconds"])
        row = cursor.fetchone()
    if row is None:
        return None
    work = Work.objects.get(id=row[0])
    return Claim(work.id, work.kind, work.subject, work.arguments, work.attempts, work.fence)


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
            _exhaust(claim.id, claim.kind, claim.subject)
        else:
            _put_back(claim.id, claim.fence, delay=timedelta(seconds=2**claim.attempt), error=error.message)
    else:
        Work.objects.filter(id=claim.id, fence=claim.fence).delete()
    return True


def _put_back(work: uuid.UUID, fence: int, *, delay: timedelta, error: str) -> None:
    with transaction.atomic():
        row = Work.objects.select_for_update().filter(id=work, fence=fence, state="running").first()
        if row is None:
            return
        if Work.objects.filter(kind=row.kind, subject=row.subject, state="waiting").exists():
            row.delete()  # it was asked for again meanwhile; that row does the work
            return
        row.state, row.lease_until, row.error = Work.State.WAITING, None, error[:2000]
        row.run_after = timezone.now() + delay
        row.save()


def _exhaust(work: uuid.UUID, kind: str, subject: uuid.UUID) -> None:
    logger.error("%s %s ended without an end too often", kind, subject)
    registered = _kinds.get(kind)
    with transaction.atomic():
        if registered is not None and registered.on_exhausted is not None:
            registered.on_exhausted(subject)
        Work.objects.filter(id=work).delete()


def relay() -> int:
    """Give expired claims back, hand over what cannot succeed, and ask for what is due; returns how much is due."""
    expired = Work.objects.filter(state="running", lease_until__lt=timezone.now())
    for work in expired.order_by("lease_until")[:500]:
        registered = _kinds.get(work.kind)
        if registered is not None and work.attempts >= registered.max_attempts:
            _exhaust(work.id, work.kind, work.subject)
        else:
            _put_back(work.id, work.fence, delay=timedelta(0), error="The worker that had it is gone.")
    due = Work.objects.filter(state="waiting", run_after__lte=timezone.now()).count()
    publish(min(due, 16))
    return due
