"""The law of restarts."""

from hypothesis import given
from hypothesis import strategies as st

from config.local.backoff import Backoff

short = st.floats(min_value=0, max_value=4.99)
long = st.floats(min_value=5, max_value=1e6)


@given(st.lists(short, min_size=5, max_size=5))
def test_five_short_lives_in_a_row_give_up_and_the_waits_before_double(lives: list[float]) -> None:
    backoff = Backoff()
    assert [backoff.after(life) for life in lives] == [0.5, 1.0, 2.0, 4.0, None]


@given(st.lists(st.tuples(st.lists(short, max_size=4), long), max_size=20))
def test_a_long_life_clears_the_count(history: list[tuple[list[float], float]]) -> None:
    backoff = Backoff()
    for shorts, lasting in history:
        assert all(backoff.after(life) is not None for life in shorts)
        assert backoff.after(lasting) == 0.5


@given(st.integers(min_value=2, max_value=60), st.data())
def test_no_wait_is_longer_than_the_longest(limit: int, data: st.DataObject) -> None:
    backoff = Backoff(limit=limit)
    waits = [backoff.after(data.draw(short)) for _ in range(limit - 1)]
    assert all(wait is not None and 0.5 <= wait <= backoff.longest for wait in waits)
    assert waits == sorted(waits, key=lambda wait: wait or 0)
