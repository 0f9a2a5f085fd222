"""How many frames a socket may send, on a clock of the test's own."""

from itertools import accumulate

from hypothesis import example, given
from hypothesis import strategies as st

from chat.consumers.allowance import MAX_FRAMES, MAX_REFUSED, PATIENCE, Allowance

PERIOD = 10.0
GAPS = st.lists(st.sampled_from([0.0, 0.001, 0.01, 0.1, 0.17, 1.0, 9.0]), min_size=1, max_size=400)


@given(GAPS)
def test_no_period_holds_more_frames_than_allowed_and_none_is_refused_without_need(gaps: list[float]) -> None:
    allowance = Allowance(PERIOD)
    taken: list[float] = []
    for now in accumulate(gaps):
        wait = allowance.wait(now)
        recent = [at for at in taken if at + PERIOD - now > 0]
        assert (wait == 0) == (len(recent) < MAX_FRAMES)
        if wait:
            assert 0 < wait <= PERIOD
        else:
            taken.append(now)


@given(GAPS)
@example([0.001, 9.0, 1.0, 9.0])
def test_a_refused_frame_is_taken_after_its_wait(gaps: list[float]) -> None:
    allowance = Allowance(PERIOD)
    now, wait = 0.0, 0.0
    for now in accumulate([*gaps, *[0.0] * (MAX_FRAMES + 1)]):
        wait = allowance.wait(now)
    assert wait > 0
    assert allowance.wait(now + wait + 1e-6) == 0


def test_who_keeps_to_the_pace_is_never_refused() -> None:
    allowance = Allowance(PERIOD)
    pace = 1.001 * PERIOD / MAX_FRAMES
    assert not any(allowance.wait(number * pace) for number in range(1_000))


def test_only_who_goes_on_and_on_is_cut_off() -> None:
    allowance = Allowance(PERIOD)
    for _ in range(MAX_FRAMES + MAX_REFUSED - 1):
        allowance.wait(0.0)
        assert not allowance.is_abused(0.0)
    allowance.wait(0.0)
    assert allowance.is_abused(0.0)
    assert not allowance.is_abused(PATIENCE * PERIOD), "what is long ago is forgiven"
