"""Small work of one kind is claimed together: fairly, within limits, and what fails once goes alone."""

import threading
from collections import Counter
from contextlib import suppress
from datetime import timedelta

import pytest
from django.db import transaction
from django.utils import timezone

from core import outbox
from core.errors import UnavailableError
from core.models import User, Work
from tests import factories
from tests.recorded_work import GROUP, Recorder, ask, begin, expire, in_threads, recorder_of

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def recorder(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    begin(monkeypatch)
    return recorder_of("test.group")


def small(owner: User | None = None, *, weight: int = 10) -> Work:
    return ask(owner, kind="test.group", weight=weight)


def sizes(recorder: Recorder) -> list[int]:
    while outbox.run_one():
        pass
    return [len(group) for group in recorder.groups]


def test_what_is_due_is_done_together_and_gone(recorder: Recorder) -> None:
    wanted = {small().pk for _ in range(GROUP.size)}
    assert outbox.run_one() is True
    (group,) = recorder.groups
    assert {claim.id for claim in group} == wanted
    assert {(claim.attempt, claim.fence, claim.weight) for claim in group} == {(1, 1, 10)}
    assert not Work.objects.exists()


def test_a_group_has_a_size(recorder: Recorder) -> None:
    for _ in range(GROUP.size + 1):
        small()
    assert sizes(recorder) == [GROUP.size, 1]


def test_a_group_has_a_weight(recorder: Recorder) -> None:
    for _ in range(4):
        small(weight=40)
    assert sizes(recorder) == [2, 2]


def test_what_fills_a_group_goes_alone_and_holds_up_no_small_work(recorder: Recorder) -> None:
    first, large, last = small(), small(weight=GROUP.weight), small()
    assert sizes(recorder) == [2, 1]
    assert [claim.id for claim in recorder.claims] == [first.pk, last.pk, large.pk]


def test_large_work_whose_turn_it_is_takes_nobody_along(recorder: Recorder) -> None:
    large, _other = small(weight=5 * GROUP.weight), small()
    assert sizes(recorder) == [1, 1]
    assert recorder.claims[0].id == large.pk


def test_owners_take_turns_within_a_group(recorder: Recorder) -> None:
    busy, modest = factories.user(), factories.user()
    for _ in range(20):
        small(busy)
    late = [small(modest).pk for _ in range(2)]
    outbox.run_one()
    assert len(recorder.claims) == GROUP.size
    assert sorted(claim.id for claim in recorder.claims if claim.id in late) == sorted(late)


def test_other_kinds_and_what_is_not_due_stay(recorder: Recorder) -> None:
    small()
    other = ask(kind="test.other")
    later = ask(kind="test.group", delay=timedelta(hours=1))
    outbox.run_one()
    assert [len(group) for group in recorder.groups] == [1]
    assert set(Work.objects.values_list("pk", "state")) == {(other.pk, "waiting"), (later.pk, "waiting")}


def test_what_failed_once_is_tried_alone(recorder: Recorder) -> None:
    """Three of them die with a worker: from then on each has its attempts for itself."""
    wanted = {small().pk for _ in range(3)}
    assert len(outbox.claim_group()) == 3
    expire()
    outbox.relay()
    fresh = {small().pk for _ in range(2)}
    assert sorted(sizes(recorder)) == [1, 1, 1, 2]
    assert {claim.id for claim in recorder.claims if claim.attempt == 2} == wanted
    assert {claim.id for claim in recorder.groups[-1]} == fresh


def test_only_what_kills_its_workers_is_given_up(recorder: Recorder) -> None:
    poison, healthy = small(), [small() for _ in range(3)]

    def die(claim: outbox.Claim) -> None:
        if claim.id == poison.pk:
            raise KeyError("a mistake of ours")

    recorder.then = die
    while Work.objects.exists():
        with suppress(KeyError):
            sizes(recorder)
        expire()
        outbox.relay()
    assert recorder.given_up == [poison.subject]
    done = Counter(claim.id for claim in recorder.claims if claim.attempt == 2)
    assert {work.pk for work in healthy} <= set(done)


def test_a_retryable_error_puts_all_of_them_back(recorder: Recorder) -> None:
    wanted = {small().pk for _ in range(3)}

    def away(_claim: outbox.Claim) -> None:
        raise UnavailableError("The embedding server does not answer.")

    recorder.then = away
    assert outbox.run_one() is True
    rows = Work.objects.filter(state="waiting", attempts=1, run_after__gt=timezone.now())
    assert set(rows.values_list("pk", flat=True)) == wanted


def test_one_that_was_taken_over_is_left_to_its_new_owner(recorder: Recorder) -> None:
    lost, _kept = small(), small()
    recorder.then = lambda _claim: Work.objects.filter(pk=lost.pk).update(fence=99) and None
    assert outbox.run_one() is True
    assert list(Work.objects.values_list("pk", "state", "fence")) == [(lost.pk, "running", 99)]


def test_all_leases_are_renewed_while_the_handler_works(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "LEASE", timedelta(seconds=0.9))  # a length of time, not a behaviour
    for _ in range(3):
        small()
    waiting = threading.Event()
    seen: list[list[str]] = []

    def long_work(_claim: outbox.Claim) -> None:
        waiting.wait(0.7)
        outbox.relay()
        seen.append(list(Work.objects.values_list("state", flat=True)))

    recorder.then = long_work
    assert outbox.run_one() is True
    assert seen == [["running"] * 3] * 3


def test_each_piece_is_in_one_group_of_many_threads() -> None:
    wanted = {small().pk for _ in range(40)}

    def take() -> list[outbox.Claim]:
        taken: list[outbox.Claim] = []
        while claims := outbox.claim_group():
            taken += claims
        return taken

    taken = [claim.id for some in in_threads(6, take) for claim in some]
    assert Counter(taken) == dict.fromkeys(wanted, 1)


def test_guarding_all_tells_which_are_still_ours() -> None:
    for _ in range(3):
        small()
    claims = outbox.claim_group()
    Work.objects.filter(pk=claims[1].id).update(fence=99)
    with transaction.atomic():
        assert outbox.guard_all(claims) == {claims[0].id, claims[2].id}
