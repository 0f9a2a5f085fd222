"""Background work: rows written with the change that needs them, claimed by workers, never lost.

`enqueue` writes a row in the caller's transaction and, after commit, asks Celery to look for work. A worker claims
the row that is due, fairly per owner, under a lease that a thread renews. Whatever happens in between (Redis away, a
worker killed), `relay`, every 15 seconds, gives expired claims back and asks again. A row that was claimed
`max_attempts` times without an end is handed to its kind's `on_exhausted` and removed, or kept as failed.

All times are the database's: workers and web processes on several machines need no common clock.

Handlers may run more than once and must be idempotent; `Claim.guard` inside their transaction makes sure that a
claim that was taken over writes nothing.

A kind of which much small work comes at once can be claimed in groups (`register_group`): only first attempts, so that
a piece that kills its workers does so alone and takes no attempts from others.
"""

import json
import logging
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from celery import current_app
from django.db import Error, IntegrityError, connection, transaction
from django.db.models import F
from django.db.models.functions import Now
from kombu.exceptions import OperationalError as BrokerError
from redis.exceptions import RedisError

from core import claims_sql
from core.bell import Bell
from core.errors import ParleyError
from core.models import User, Work

logger = logging.getLogger(__name__)

LOOK_FOR_WORK = "core.tasks.look_for_work"
LEASE = timedelta(seconds=30)
# How long due work waits where a worker is free: one comes at once.
SOON = timedelta(seconds=1)
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
    weight: int = 0

    def guard(self) -> None:
        """Lock the row in the caller's transaction; raise `LostClaimError` if the claim is no longer ours."""
        if not Work.objects.select_for_update().filter(id=self.id, fence=self.fence, state="running").exists():
            raise LostClaimError("The work was taken over.")


@dataclass(frozen=True, slots=True)
class Group:
    """How much of a kind is claimed at once: so many pieces, of so much weight together (see `enqueue`)."""

    size: int
    weight: int


Handler = Callable[[Claim], None]
GroupHandler = Callable[[Sequence[Claim]], None]
OnExhausted = Callable[[uuid.UUID], None]

_ALONE = Group(size=1, weight=0)


@dataclass(frozen=True, slots=True)
class _Kind:
    handler: GroupHandler
    on_exhausted: OnExhausted | None
    max_attempts: int
    group: Group = _ALONE


_kinds: dict[str, _Kind] = {}


def register(kind: str, handler: Handler, *, on_exhausted: OnExhausted | None = None, max_attempts: int = 3) -> None:
    """Say who does this kind of work. `on_exhausted` gets the subject when every attempt ended without an end."""
    _register(kind, _Kind(lambda claims: handler(claims[0]), on_exhausted, max_attempts))


def register_group(
    kind: str, handler: GroupHandler, group: Group, *, on_exhausted: OnExhausted | None = None, max_attempts: int = 3
) -> None:
    """Say who does this kind of work, several pieces at once.

    What goes wrong with one piece the handler has to end itself. What it raises counts for all of them: after that each
    is tried alone.
    """
    _register(kind, _Kind(handler, on_exhausted, max_attempts, group))


def _register(name: str, kind: _Kind) -> None:
    if name in _kinds:
        raise ValueError(f"{name} is registered already")
    _kinds[name] = kind


# A twin that waits already is locked until the caller commits, so that no worker takes it before it can see the
# caller's changes; asked for sooner, it comes sooner.
_ENQUEUE = """
INSERT INTO core_work (
    id, kind, subject, arguments, owner_id, weight, state, attempts, fence, run_after, lease_until, error, created_at
) VALUES (
    %s, %s, %s, %s, %s, %s, 'waiting', 0, 0, clock_timestamp() + %s::interval, NULL, '', clock_timestamp()
) ON CONFLICT (kind, subject) WHERE state = 'waiting'
DO UPDATE SET run_after = least(core_work.run_after, EXCLUDED.run_after)
"""


def enqueue(
    *,
    kind: str,
    subject: uuid.UUID,
    owner: User | uuid.UUID | None = None,
    arguments: dict[str, Any] | None = None,
    weight: int = 0,
    delay: timedelta = timedelta(0),
) -> None:
    """Ask for work in the current transaction.

    `weight` says how much room it takes in a group of its kind, in whatever the kind's `Group` is measured in.

    Asked for again before it began, it stays one piece of work with its first arguments, at the earlier time. Two
    transactions that ask for the same work take turns: ask late in a long transaction.
    """
    values: list[Any] = [
        uuid.uuid4(),
        kind,
        subject,
        json.dumps(arguments or {}),
        owner.pk if isinstance(owner, User) else owner,
        weight,
        delay,
    ]
    with connection.cursor() as cursor:
        cursor.execute(_ENQUEUE, values)
    if not delay:
        transaction.on_commit(_bell.ask, robust=True)


# In the order of the subjects, so that two transactions never wait for each other's rows crosswise.
_ENQUEUE_ALL = """
INSERT INTO core_work (
    id, kind, subject, arguments, owner_id, weight, state, attempts, fence, run_after, lease_until, error, created_at
)
SELECT
    gen_random_uuid(), %s, subject, '{}', owner, weight, 'waiting', 0, 0, clock_timestamp(), NULL, '', clock_timestamp()
FROM unnest(%s::uuid[], %s::uuid[], %s::bigint[]) AS asked (subject, owner, weight) ORDER BY subject
ON CONFLICT (kind, subject) WHERE state = 'waiting'
DO UPDATE SET run_after = least(core_work.run_after, EXCLUDED.run_after)
"""


def enqueue_all(*, kind: str, work: Sequence[tuple[uuid.UUID, uuid.UUID | None, int]]) -> None:
    """Ask for work on many different subjects at once, as `enqueue` does for one: each with its owner and weight."""
    if not work:
        return
    subjects, owners, weights = ([row[column] for row in work] for column in range(3))
    values: list[Any] = [kind, subjects, owners, weights]
    with connection.cursor() as cursor:
        cursor.execute(_ENQUEUE_ALL, values)
    transaction.on_commit(_bell.ask, robust=True)


def publish(count: int = 1) -> None:
    """Ask workers to look for work. A broker that is away is logged only: `relay` asks again."""
    try:
        for _ in range(count):
            current_app.send_task(LOOK_FOR_WORK, expires=60)
    except (BrokerError, RedisError, OSError) as error:
        logger.warning("The broker is away; waiting work is found by the next sweep: %s", error)


_bell = Bell(publish, RING_INTERVAL)


def claim_next() -> Claim | None:
    """Take the next piece of work that is due: of the owner with the least running, the longest waiting."""
    claims = _claim(claims_sql.CLAIM, [list(_kinds), LEASE])
    return claims[0] if claims else None


def claim_group() -> list[Claim]:
    """Take what `claim_next` takes and, where its kind is done in groups, others of its kind; empty where none is due.

    One that was tried before, or fills the group by itself, stays alone.
    """
    first = claim_next()
    if first is None:
        return []
    group = _kinds[first.kind].group
    room = group.weight - first.weight
    if first.attempt > 1 or room <= 0:
        return [first]
    return [first, *_claim(claims_sql.JOIN, [first.id, first.kind, group.weight, group.size - 1, room, LEASE])]


def _claim(statement: str, values: list[Any]) -> list[Claim]:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        rows = cursor.fetchall()
    return [
        Claim(work, kind, subject, json.loads(arguments), attempt, fence, weight)
        for work, kind, subject, arguments, attempt, fence, weight in rows
    ]


def guard_all(claims: Sequence[Claim]) -> set[uuid.UUID]:
    """Lock the rows in the caller's transaction; returns the ids of the claims that are still ours."""
    with connection.cursor() as cursor:
        cursor.execute(claims_sql.GUARD, _keys(claims))
        return {work for (work,) in cursor.fetchall()}


def renew(claims: Sequence[Claim]) -> int:
    """Extend the leases; returns how many claims are still ours."""
    with connection.cursor() as cursor:
        values: list[Any] = [LEASE, *_keys(claims)]
        cursor.execute(claims_sql.RENEW, values)
        return int(cursor.rowcount)


def end(claims: Sequence[Claim]) -> None:
    """Remove work that is done, where the claims are still ours."""
    with connection.cursor() as cursor:
        cursor.execute(claims_sql.END, _keys(claims))


def _keys(claims: Sequence[Claim]) -> list[Any]:
    return [[claim.id for claim in claims], [claim.fence for claim in claims]]


@contextmanager
def _kept(claims: Sequence[Claim]) -> Iterator[None]:
    """Renew the leases from a thread while the handler runs."""
    done = threading.Event()

    def keep() -> None:
        while not done.wait(LEASE.total_seconds() / 3):
            try:
                if not renew(claims):
                    return
            except Error as error:
                logger.warning("A lease was not renewed: %s", error)
            finally:
                connection.close()

    thread = threading.Thread(target=keep, name="lease", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join(timeout=5)


def run_one() -> bool:
    """Claim and do what is due next, a piece of work or a group of them; false when nothing is.

    A retryable error puts it back with a growing delay. Any other error is the handler's fault: the claim is left to
    expire and counts as an attempt.
    """
    claims = claim_group()
    if not claims:
        return False
    kind = _kinds[claims[0].kind]
    try:
        with _kept(claims):
            kind.handler(claims)
    except LostClaimError:
        logger.warning("%s %s was taken over", claims[0].kind, claims[0].subject)
    except ParleyError as error:
        if not error.retryable:
            raise
        for claim in claims:
            if claim.attempt >= kind.max_attempts:
                _exhaust(claim.id, claim.fence, error=error.message)
            else:
                _put_back(claim.id, claim.fence, delay=timedelta(seconds=2**claim.attempt), error=error.message)
    else:
        end(claims)
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


def lighter_waits(claim: Claim) -> bool:
    """Whether lighter work waits that no worker has been free to take."""
    due = Work.objects.filter(state="waiting", run_after__lte=Now() - SOON, kind__in=_kinds)
    return due.filter(weight__lt=claim.weight).exists()


def give_way(claim: Claim, arguments: dict[str, Any]) -> None:
    """Put work back behind all that waits, in the caller's transaction, which holds the guard. No attempt is lost."""
    waiting: dict[str, Any] = {"state": Work.State.WAITING, "lease_until": None, "run_after": Now()}
    try:
        with transaction.atomic():
            rows = Work.objects.filter(id=claim.id)
            rows.update(**waiting, attempts=F("attempts") - 1, arguments=arguments)
    except IntegrityError:
        Work.objects.filter(id=claim.id).delete()  # it was asked for again meanwhile; that row does the work


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
        enqueue(kind=row.kind, subject=row.subject, owner=row.owner_id, arguments=row.arguments, weight=row.weight)
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
