"""The question's vector: a weighted sum of what was said, at unit length."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrieval.errors import EmbeddingDimensionError
from retrieval.search.dense import weighted_sum


def vectors(*rows: list[float]) -> "np.ndarray[tuple[int, ...], np.dtype[np.float32]]":
    return np.array(rows, dtype=np.float32)


@given(
    st.lists(
        st.tuples(st.lists(st.floats(-1, 1, width=32), min_size=3, max_size=3), st.floats(0.01, 1)),
        min_size=1,
        max_size=5,
    )
)
def test_it_has_unit_length(said: list[tuple[list[float], float]]) -> None:
    found = weighted_sum(vectors(*(row for row, _ in said)), [weight for _, weight in said], None)
    assert found is None or np.linalg.norm(found) == pytest.approx(1, abs=1e-5)


def test_the_newest_weighs_most() -> None:
    found = weighted_sum(vectors([1, 0], [0, 1]), [1.0, 0.5], 2)
    assert found is not None
    assert found == pytest.approx([2 / 5**0.5, 1 / 5**0.5])


def test_what_cancels_out_points_nowhere() -> None:
    assert weighted_sum(vectors([1, 0], [-1, 0]), [1.0, 1.0], None) is None


def test_another_length_than_the_index_is_an_error() -> None:
    with pytest.raises(EmbeddingDimensionError, match=r"3 numbers.*512"):
        weighted_sum(vectors([1, 0, 0]), [1.0], 512)
