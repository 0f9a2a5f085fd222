"""Background work is done once, fairly, by whoever still holds the claim; nothing that happens in between loses it."""

import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
import redis
from celery import current_app
from django.conf import settings as django_settings
from django.db import connection, connections, transaction
from django.utils import timezone
from kombu import pools

from core import outbox, tasks
from core.errors import UnavailableError
from core.models import User, Work
from tests import factories

pytestmark = pytest.mark.django_db(transaction=True)

WAIT = 20


class Recorder:
    """A handler that remembers what it was given, and does what the test says with it."""

    def __init__(self) -> None:
        self.claims: list[outbox.Claim] = []
        self.given_up: list[uuid.UUID] = []
        self.then: Callable[[outbox.Claim], None] = lambda _claim: None
        self.on_given_up: Callable[[uuid.UUID], None] = lambda _subject: None

    def handle(self, claim: outbox.Claim) -> None:
        self.claims.append(claim)
        self.then(claim)

    def give_up(self, subject: uuid.UUID) -> None:
        self.given_up.append(subject)
        self.on_given_up(subject)


_recorders: dict[str, Recorder] = {"test.work": Recorder(), "test.other": Recorder(), "test.plain": Recorder()}


@pytest.fixture(scope="module", autouse=True)
def _registered() -> None:
    for kind in ("test.work", "test.other"):
        recorder = _recorders[kind]
        outbox.register(
            kind,
            lambda claim, kind=kind: _recorders[kind].handle(claim),  # type: ignore[misc]
            on_exhausted=lambda subject, kind=kind: _recorders[kind].give_up(subject),  # type: ignore[misc]
            max_attempts=3,
        )
        assert recorder.claims == []
    outbox.register("test.plain", lambda claim: _recorders["test.plain"].handle(claim), max_attempts=1)


@pytest.fixture(autouse=True)
def _emptied() -> None:
    _recorders.update({kind: Recorder() for kind in _recorders})
    _broker().flushdb()


@pytest.fixture
def recorder() -> Recorder:
    return _recorders["test.work"]


def _broker() -> "redis.Redis":
    socket, _, database = django_settings.CELERY_BROKER_URL.removeprefix("redis+socket://").partition("?virtual_host=")
    return redis.Redis(unix_socket_path=socket, db=int(database))


def messages() -> int:
    """How many "look for work" wait in the broker."""
    return int(_broker().llen(f"{django_settings.REDIS_PREFIX}:celery:celery"))


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


# Asking -----------------------------------------------------------------------------------------------------------


def test_work_is_asked_for_with_the_change_or_not_at_all() -> None:
    subject = uuid.uuid4()
    with transaction.atomic():
        outbox.enqueue(kind="test.work", subject=subject)
        transaction.set_rollback(True)
    assert not Work.objects.exists()
    assert messages() == 0
    with transaction.atomic():
        outbox.enqueue(kind="test.work", subject=subject)
        assert messages() == 0
    assert Work.objects.count() == 1
    assert messages() == 1


def test_asked_for_twice_before_it_began_is_once_and_at_the_earlier_time() -> None:
    subject = uuid.uuid4()
    late = ask(subject=subject, delay=timedelta(hours=1), arguments={"first": True})
    assert messages() == 0
    soon = ask(subject=subject, arguments={"first": False})
    later = ask(subject=subject, delay=timedelta(hours=2))
    assert late.pk == soon.pk == later.pk
    assert soon.run_after < late.run_after
    assert later.run_after == soon.run_after
    assert later.arguments == {"first": True}


def test_asked_for_while_it_runs_is_once_more(recorder: Recorder) -> None:
    subject = ask().subject

    def ask_again(claim: outbox.Claim) -> None:
        if len(recorder.claims) == 1:
            outbox.enqueue(kind="test.work", subject=claim.subject)

    recorder.then = ask_again
    assert [outbox.run_one(), outbox.run_one(), outbox.run_one()] == [True, True, False]
    assert [claim.subject for claim in recorder.claims] == [subject, subject]


def test_a_worker_cannot_take_waiting_work_past_a_change_that_asks_for_it_again(recorder: Recorder) -> None:
    """Else it would read the state before the change, and the change would never be worked on."""
    work = ask()
    asked, go_on = threading.Event(), threading.Event()

    def change() -> None:
        try:
            with transaction.atomic():
                outbox.enqueue(kind="test.work", subject=work.subject)
                asked.set()
                assert go_on.wait(WAIT)
        finally:
            connections.close_all()

    thread = threading.Thread(target=change)
    thread.start()
    assert asked.wait(WAIT)
    assert outbox.run_one() is False
    go_on.set()
    thread.join(WAIT)
    assert outbox.run_one() is True
    assert [claim.id for claim in recorder.claims] == [work.pk]


def test_many_asking_at_once_is_one_piece_of_work() -> None:
    subject = uuid.uuid4()
    in_threads(8, lambda: outbox.enqueue(kind="test.work", subject=subject))
    assert Work.objects.count() == 1


# Claiming ---------------------------------------------------------------------------------------------------------


def test_a_claim_carries_what_was_asked_and_counts(recorder: Recorder) -> None:
    work = ask(arguments={"deep": [1, {"ü": None}]})
    claim = outbox.claim_next()
    assert claim == outbox.Claim(work.pk, "test.work", work.subject, {"deep": [1, {"ü": None}]}, 1, 1)
    work.refresh_from_db()
    assert work.lease_until is not None
    assert work.lease_until - timezone.now() > outbox.LEASE - timedelta(seconds=5)


def test_nothing_due_is_nothing_done() -> None:
    assert outbox.run_one() is False
    ask(delay=timedelta(minutes=1))
    assert outbox.run_one() is False


def test_work_that_this_process_does_not_know_is_left_for_others() -> None:
    ask(kind="test.unknown")
    assert outbox.claim_next() is None


def test_each_piece_is_claimed_by_one_of_many_threads() -> None:
    wanted = {ask().pk for _ in range(40)}

    def take() -> list[uuid.UUID]:
        taken = []
        while claim := outbox.claim_next():
            taken.append(claim.id)
        return taken

    taken = in_threads(8, take)
    flat = [work for some in taken for work in some]
    assert Counter(flat) == dict.fromkeys(wanted, 1)
    assert sum(bool(some) for some in taken) > 1, "one thread took everything: nothing was tried at the same time"


def test_a_locked_row_is_passed_over_not_waited_for() -> None:
    first, second = ask(), ask()
    held, go_on = threading.Event(), threading.Event()

    def hold() -> None:
        try:
            with transaction.atomic():
                Work.objects.select_for_update().get(pk=first.pk)
                held.set()
                assert go_on.wait(WAIT)
        finally:
            connections.close_all()

    thread = threading.Thread(target=hold)
    thread.start()
    assert held.wait(WAIT)
    with connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = 2000")
        claim = outbox.claim_next()
        cursor.execute("SET statement_timeout = 0")
    go_on.set()
    thread.join(WAIT)
    assert claim is not None
    assert claim.id == second.pk


def test_owners_take_turns_whatever_one_of_them_piles_up() -> None:
    busy, modest = factories.user(), factories.user()
    for _ in range(5):
        ask(busy)
    late = ask(modest)
    first, second = outbox.claim_next(), outbox.claim_next()
    assert first is not None
    assert second is not None
    assert first.id != late.pk
    assert second.id == late.pk


def test_work_of_nobody_is_one_owner_among_others() -> None:
    for _ in range(3):
        ask(None)
    person = factories.user()
    own = [ask(person).pk for _ in range(3)]
    order = [claim.id for _ in range(6) if (claim := outbox.claim_next())]
    assert [work in own for work in order] == [False, True, False, True, False, True]


def test_the_longest_waiting_comes_first_for_one_owner() -> None:
    person = factories.user()
    asked = [ask(person).pk for _ in range(4)]
    assert [claim.id for _ in range(4) if (claim := outbox.claim_next())] == asked


# Ends -------------------------------------------------------------------------------------------------------------


def test_done_work_is_gone(recorder: Recorder) -> None:
    ask()
    assert outbox.run_one() is True
    assert not Work.objects.exists()
    assert len(recorder.claims) == 1


def test_a_retryable_error_puts_it_back_with_a_growing_delay(recorder: Recorder) -> None:
    work = ask()

    def away(_claim: outbox.Claim) -> None:
        raise UnavailableError("The embedding server does not answer.")

    recorder.then = away
    delays = []
    for attempt in (1, 2):
        assert outbox.run_one() is True
        work.refresh_from_db()
        assert (work.state, work.attempts, work.error) == ("waiting", attempt, "The embedding server does not answer.")
        delays.append((work.run_after - timezone.now()).total_seconds())
        Work.objects.update(run_after=timezone.now() - timedelta(seconds=1))
    assert delays == [pytest.approx(2, abs=0.5), pytest.approx(4, abs=0.5)]
    assert recorder.given_up == []
    assert outbox.run_one() is True
    assert recorder.given_up == [work.subject]
    assert not Work.objects.exists()


def test_any_other_error_is_raised_and_counts_when_the_lease_has_run_out(recorder: Recorder) -> None:
    work = ask()

    def broken(_claim: outbox.Claim) -> None:
        raise KeyError("a mistake of ours")

    recorder.then = broken
    with pytest.raises(KeyError):
        outbox.run_one()
    work.refresh_from_db()
    assert work.state == "running"
    assert outbox.run_one() is False
    assert expire() == 1
    outbox.relay()
    work.refresh_from_db()
    assert (work.state, work.attempts) == ("waiting", 1)


def test_an_error_longer_than_anybody_reads_is_cut(recorder: Recorder) -> None:
    work = ask()

    def long(_claim: outbox.Claim) -> None:
        raise UnavailableError("x" * 5000)

    recorder.then = long
    outbox.run_one()
    work.refresh_from_db()
    assert len(work.error) == 2000


# Leases, fences, takeovers ----------------------------------------------------------------------------------------


def test_an_expired_lease_is_given_back_and_the_next_claim_has_a_higher_fence() -> None:
    ask()
    first = outbox.claim_next()
    assert first is not None
    assert outbox.relay() == 0
    assert outbox.claim_next() is None, "the lease still holds"
    expire()
    assert outbox.relay() == 1
    second = outbox.claim_next()
    assert second is not None
    assert (second.id, second.attempt, second.fence) == (first.id, 2, first.fence + 1)


@transaction.atomic
def _write_under(claim: outbox.Claim, person: User) -> None:
    User.objects.filter(pk=person.pk).update(first_name=f"fence {claim.fence}")
    claim.guard()


def test_a_claim_that_was_taken_over_can_write_nothing() -> None:
    person = factories.user()
    ask()
    first = outbox.claim_next()
    assert first is not None
    _write_under(first, person)
    User.objects.filter(pk=person.pk, first_name="fence 1").update(first_name="")
    expire()
    outbox.relay()
    second = outbox.claim_next()
    assert second is not None
    with pytest.raises(outbox.LostClaimError):
        _write_under(first, person)
    person.refresh_from_db()
    assert person.first_name == ""
    _write_under(second, person)
    person.refresh_from_db()
    assert person.first_name == "fence 2"
    assert first.renew() is False
    assert second.renew() is True


def test_a_worker_that_was_taken_over_ends_quietly_and_removes_nothing(recorder: Recorder) -> None:
    work, person = ask(), factories.user()
    taken: list[outbox.Claim] = []

    def fall_asleep(claim: outbox.Claim) -> None:
        if claim.attempt == 1:
            expire()
            outbox.relay()
            taken.append(outbox.claim_next())  # type: ignore[arg-type]
            _write_under(claim, person)

    recorder.then = fall_asleep
    assert outbox.run_one() is True
    work.refresh_from_db()
    assert (work.state, work.fence) == ("running", taken[0].fence)


@pytest.mark.parametrize("attempts_before", [0, 2])
def test_a_failure_after_the_takeover_changes_nothing_for_the_new_owner(
    recorder: Recorder, attempts_before: int
) -> None:
    """Neither put back nor given up: with `attempts_before` 2 the failing attempt is the last that is allowed."""
    work = ask()
    Work.objects.update(attempts=attempts_before)

    def fail_late(_claim: outbox.Claim) -> None:
        Work.objects.update(fence=99)
        raise UnavailableError("too late")

    recorder.then = fail_late
    assert outbox.run_one() is True
    work.refresh_from_db()
    assert (work.state, work.fence, work.error) == ("running", 99, "")
    assert recorder.given_up == []


def test_done_after_the_takeover_leaves_the_row_to_the_new_owner(recorder: Recorder) -> None:
    work = ask()
    recorder.then = lambda _claim: Work.objects.update(fence=99) and None
    assert outbox.run_one() is True
    work.refresh_from_db()
    assert work.state == "running"


def test_the_lease_is_renewed_while_the_handler_works(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "LEASE", timedelta(seconds=0.9))  # a length of time, not a behaviour
    work = ask()
    ended = threading.Event()
    seen: list[Any] = []

    def long_work(_claim: outbox.Claim) -> None:
        for _ in range(5):
            ended.wait(0.4)
            outbox.relay()
            work.refresh_from_db()
            seen.append((work.state, work.lease_until))

    recorder.then = long_work
    assert outbox.run_one() is True
    assert [state for state, _until in seen] == ["running"] * 5
    assert len({until for _state, until in seen}) >= 4
    assert not [thread for thread in threading.enumerate() if thread.name == "lease"]


def test_put_back_merges_with_a_twin_that_waits_already() -> None:
    first = ask()
    claim = outbox.claim_next()
    twin = ask(subject=first.subject)
    assert claim is not None
    assert twin.pk != first.pk
    expire()
    outbox.relay()
    assert list(Work.objects.values_list("pk", "state")) == [(twin.pk, "waiting")]


def test_put_back_merges_with_a_twin_that_is_being_written_at_this_moment() -> None:
    first = ask()
    assert outbox.claim_next() is not None
    expire()
    written, go_on = threading.Event(), threading.Event()

    def ask_again() -> None:
        try:
            with transaction.atomic():
                outbox.enqueue(kind="test.work", subject=first.subject)
                written.set()
                go_on.wait(1)  # long enough for the sweep to come upon the row that is not committed yet
        finally:
            connections.close_all()

    thread = threading.Thread(target=ask_again)
    thread.start()
    assert written.wait(WAIT)
    outbox.relay()
    thread.join(WAIT)
    [left] = Work.objects.all()
    assert (left.state, left.pk != first.pk) == ("waiting", True)


def test_two_sweeps_at_once_give_back_once() -> None:
    for _ in range(10):
        ask()
        assert outbox.claim_next() is not None
    expire()
    in_threads(4, outbox.relay)
    assert Work.objects.filter(state="waiting", attempts=1).count() == 10


# Giving up --------------------------------------------------------------------------------------------------------


def exhausted(kind: str = "test.work") -> Work:
    work = ask(kind=kind)
    Work.objects.filter(pk=work.pk).update(attempts=2)
    assert outbox.claim_next() is not None
    expire()
    return work


def test_what_never_ends_is_handed_over_after_its_last_attempt(recorder: Recorder) -> None:
    work = exhausted()
    assert outbox.relay() == 0
    assert recorder.given_up == [work.subject]
    assert not Work.objects.exists()


def test_one_attempt_less_is_tried_again(recorder: Recorder) -> None:
    work = ask()
    Work.objects.update(attempts=1)
    assert outbox.claim_next() is not None
    expire()
    assert outbox.relay() == 1
    assert recorder.given_up == []
    work.refresh_from_db()
    assert work.state == "waiting"


def test_without_anybody_to_hand_it_to_it_stays_as_failed() -> None:
    work = exhausted("test.plain")
    outbox.relay()
    work.refresh_from_db()
    assert (work.state, work.lease_until) == ("failed", None)
    assert work.error
    assert outbox.run_one() is False


def test_handing_over_and_removing_are_one_transaction(recorder: Recorder) -> None:
    """A hand-over that fails writes nothing, keeps the work as failed, and holds up nobody else's work."""
    person = factories.user()
    poisoned = exhausted()
    healthy = ask(kind="test.other")
    assert outbox.claim_next() is not None
    expire()

    def half_done(_subject: uuid.UUID) -> None:
        User.objects.filter(pk=person.pk).update(first_name="half done")
        raise KeyError("a mistake of ours")

    recorder.on_given_up = half_done
    with pytest.raises(KeyError):
        outbox.relay()
    person.refresh_from_db()
    poisoned.refresh_from_db()
    healthy.refresh_from_db()
    assert person.first_name == ""
    assert (poisoned.state, healthy.state) == ("failed", "waiting")
    assert outbox.relay() == 1


def test_failed_work_gets_another_round(recorder: Recorder) -> None:
    work = exhausted("test.plain")
    outbox.relay()
    work.refresh_from_db()
    assert outbox.retry(work) is True
    assert outbox.retry(work) is False
    [again] = Work.objects.all()
    assert (again.state, again.attempts, again.subject) == ("waiting", 0, work.subject)


def test_waiting_work_is_not_retried() -> None:
    work = ask()
    assert outbox.retry(work) is False
    assert Work.objects.get().pk == work.pk


# The broker -------------------------------------------------------------------------------------------------------


@pytest.fixture
def broker_away() -> Iterator[None]:
    """Celery with an address where nobody listens."""
    before = current_app.conf.broker_url, current_app.conf.broker_write_url

    def turn_to(url: str | None, write_url: str | None) -> None:
        current_app.conf.update(broker_url=url, broker_write_url=write_url)
        pools.reset()
        current_app._pool = current_app.amqp._producer_pool = None

    turn_to("redis://127.0.0.1:1/0", "redis://127.0.0.1:1/0")
    yield
    turn_to(*before)


@pytest.mark.usefixtures("broker_away")
def test_a_broker_that_is_away_is_logged_and_holds_nobody_up(caplog: pytest.LogCaptureFixture) -> None:
    began = time.monotonic()
    with transaction.atomic():
        work = ask()
    assert time.monotonic() - began < 1.5
    assert any("broker is away" in record.getMessage() for record in caplog.records)
    work.refresh_from_db()
    assert work.state == "waiting"
    assert outbox.relay() == 1


def test_the_sweep_asks_for_what_is_due_within_reason() -> None:
    for _ in range(20):
        ask()
    ask(delay=timedelta(hours=1))
    _broker().flushdb()
    assert outbox.relay() == 20
    assert messages() == 16


def test_a_worker_that_is_told_to_look_does_all_that_is_due(recorder: Recorder) -> None:
    for _ in range(5):
        ask()
    late = ask(delay=timedelta(hours=1))
    tasks.look_for_work()
    assert len(recorder.claims) == 5
    assert list(Work.objects.values_list("pk", flat=True)) == [late.pk]


def test_beat_asks_for_the_sweep_more_often_than_leases_end() -> None:
    every = django_settings.CELERY_BEAT_SCHEDULE["look-for-work"]
    assert every["task"] == tasks.relay.name
    assert every["schedule"] < outbox.LEASE.total_seconds()
    ask()
    assert outbox.claim_next() is not None
    expire()
    tasks.relay()
    assert Work.objects.get().state == "waiting"
    assert messages() > 0


def test_a_kind_has_one_handler() -> None:
    with pytest.raises(ValueError, match=r"test\.work"):
        outbox.register("test.work", lambda _claim: None)
