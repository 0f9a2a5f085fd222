"""A worker that is gone, late or taken over: whoever holds the claim writes; nothing is lost or done twice."""

import threading
import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.db import connections, transaction

from core import outbox
from core.errors import UnavailableError
from core.models import User, Work
from tests import factories
from tests.recorded_work import WAIT, Recorder, ask, begin, expire, in_threads, recorder_of

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def recorder(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    begin(monkeypatch)
    return recorder_of()


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
    assert outbox.renew([first]) == 0
    assert outbox.renew([second]) == 1


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
