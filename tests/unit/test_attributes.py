"""Attributes as people write them down: one a line, and read back as they were."""

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from core.errors import InvalidInputError
from retrieval.services.attributes import check_attributes, read_attributes, written

NAMES = st.text(st.characters(codec="utf-8"), min_size=1, max_size=8)
TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), max_size=8)
VALUES = TEXTS | st.integers(-9, 9) | st.floats(allow_nan=False, allow_infinity=False) | st.booleans() | st.lists(TEXTS)


@given(st.dictionaries(NAMES, VALUES, max_size=4))
@example({"a": "1", "b": "true", "c": "null", "d": '"x"', "e": "[]", "f": "{}", "g": "NaN", "h": "", "i": " x"})
@example({"a": "b: c", "list": ["x, y", '"', "\u2028"]})
def test_what_is_written_is_read_as_it_was(attributes: dict[str, Any]) -> None:
    try:
        check_attributes(attributes, known={})
    except InvalidInputError:
        return
    assert read_attributes(written(attributes)) == attributes


def test_as_people_write() -> None:
    text = (
        'area: HR\r\n  year : 2026\n\ndraft: false\nuntil: 2027-01-01\ntags: ["a", "b"]\n'
        "room: '12'\nnote: see: page 3"
    )
    assert read_attributes(text) == {
        "area": "HR", "year": 2026, "draft": False, "until": "2027-01-01", "tags": ["a", "b"], "room": "'12'",
        "note": "see: page 3",
    }  # fmt: skip
    assert read_attributes("") == {}
    assert read_attributes('{"year": 2026, "area": "HR"}') == {"year": 2026, "area": "HR"}


@pytest.mark.parametrize("text", ["area", ": HR", "area:", "area: HR\narea: IT"])
def test_what_is_none(text: str) -> None:
    with pytest.raises(InvalidInputError):
        read_attributes(text)
