"""When a server's count says something about ours, and what."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat.providers.base import Usage
from chat.turns.measuring import HIGHEST, LOWEST, STEP, ratio_of


@pytest.mark.parametrize(
    ("reported", "counted", "ceiling", "ratio"),
    [
        (None, 5_000, 100_000, None),
        (300, 200, 100_000, None),  # a template around a short request
        (600, 500, 2_000, 1.2),  # a quarter of a small window is not short
        (1_100, 1_000, 100_000, 1.1),
        (1_101, 1_000, 100_000, 1.12),
        (500, 1_000, 100_000, LOWEST),
        (90_000, 1_000, 100_000, HIGHEST),
        (10, 0, 0, None),
    ],
)
def test_ratio(reported: int | None, counted: int, ceiling: int, ratio: float | None) -> None:
    assert ratio_of(Usage(input_tokens=reported), counted=counted, ceiling=ceiling) == ratio


@given(st.integers(1_000, 200_000), st.integers(0, 1_000_000))
def test_a_ratio_is_no_less_than_what_was_seen_and_at_most_a_step_more(counted: int, reported: int) -> None:
    ratio = ratio_of(Usage(input_tokens=reported), counted=counted, ceiling=200_000)
    assert ratio is not None
    assert LOWEST <= ratio <= HIGHEST
    seen = min(HIGHEST, max(LOWEST, reported / counted))
    assert seen - 1e-6 <= ratio <= seen + STEP + 1e-6
