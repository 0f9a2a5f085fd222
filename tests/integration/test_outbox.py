"""Background work is asked for with the change, done once, fairly; and what the broker has to do with it."""

import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta

import pytest
from celery import current_app
from django.conf import settings as django_settings
from django.db import connection, connections, transaction
from django.utils import timezone
from kombu import pools

from core import outbox, tasks
from core.errors import UnavailableError
from core.models import Work
from tests import factories
from tests.recorded_work import WAIT, Recorder, ask, begin, broker, expire, in_threads, messages, recorder_of

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def recorder(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    begin(monkeypatch)
    return recorder_of()


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
    before = timezone.now()
    claim = outbox.claim_next()
    assert claim == outbox.Claim(work.pk, "test.work", work.subject, {"deep": [1, {"ü": None}]}, 1, 1)
    work.refresh_from_db()
    assert work.lease_until is not None
    assert before + outbox.LEASE <= work.lease_until <= timezone.now() + outbox.LEASE


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
    assert time.monotonic() - began < 20, "the library's own patience is minutes"
    assert any("broker is away" in record.getMessage() for record in caplog.records)
    work.refresh_from_db()
    assert work.state == "waiting"
    assert outbox.relay() == 1


def test_the_sweep_asks_for_what_is_due_within_reason() -> None:
    for _ in range(20):
        ask()
    ask(delay=timedelta(hours=1))
    broker().flushdb()
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
