"""What is a filter, and what is none: the sentence says where."""

from typing import Any

import pytest

from retrieval.search.filters import (
    MAX_COMPARISONS,
    MAX_DEPTH,
    Comparison,
    FilterError,
    InConversation,
    Joined,
    besides_conversations,
    both,
    parse_filter,
)

YEAR = {"type": "eq", "key": "year", "value": 2026}


def nested(depth: int) -> dict[str, Any]:
    inner: dict[str, Any] = YEAR
    for _ in range(depth):
        inner = {"type": "or", "filters": [inner]}
    return inner


def test_the_shape_of_the_responses_api() -> None:
    data = {
        "type": "and",
        "filters": [YEAR, {"type": "or", "filters": [{"type": "nin", "key": "area", "value": ["hr", "law"]}]}],
    }
    area = Comparison("nin", "area", ("hr", "law"))
    assert parse_filter(data) == Joined("and", (Comparison("eq", "year", 2026), Joined("or", (area,))))
    assert parse_filter(nested(MAX_DEPTH - 1))


@pytest.mark.parametrize(
    ("data", "where"),
    [
        (None, "filter:"),
        ([YEAR], "filter:"),
        ({}, "filter.type:"),
        ({"type": ["eq"]}, "filter.type:"),
        ({"type": "like", "key": "a", "value": "b"}, "filter.type:"),
        ({**YEAR, "values": [1]}, "filter.values:"),
        ({**YEAR, "key": ""}, "filter.key:"),
        ({**YEAR, "key": "k" * 65}, "filter.key:"),
        ({**YEAR, "key": 7}, "filter.key:"),
        ({"type": "eq", "key": "a"}, "filter.value:"),
        ({**YEAR, "value": None}, "filter.value:"),
        ({**YEAR, "value": ["a"]}, "filter.value:"),
        ({**YEAR, "value": {"a": 1}}, "filter.value:"),
        ({**YEAR, "value": "v" * 513}, "filter.value:"),
        ({**YEAR, "value": "a\0b"}, "filter.value:"),
        ({**YEAR, "value": "\ud800"}, "filter.value:"),
        ({**YEAR, "value": float("nan")}, "filter.value:"),
        ({**YEAR, "value": 10**30}, "filter.value:"),
        ({**YEAR, "type": "gt", "value": True}, "filter.value:"),
        ({**YEAR, "type": "in"}, "filter.value:"),
        ({**YEAR, "type": "in", "value": []}, "filter.value:"),
        ({**YEAR, "type": "in", "value": [1, [2]]}, "filter.value.1:"),
        ({"type": "and", "filters": []}, "filter.filters:"),
        ({"type": "and", "filters": YEAR}, "filter.filters:"),
        ({"type": "and", "filters": [YEAR, 3]}, "filter.filters.1:"),
        ({"type": "and", "filters": [YEAR], "key": "a"}, "filter.key:"),
        ({"type": "or", "filters": [YEAR] * (MAX_COMPARISONS + 1)}, f"filter.filters.{MAX_COMPARISONS}:"),
        (nested(MAX_DEPTH), "filters.0.filters:"),
    ],
)
def test_what_is_none_is_said_where(data: object, where: str) -> None:
    with pytest.raises(FilterError) as caught:
        parse_filter(data)
    assert where in caught.value.message


def test_joining() -> None:
    one, other = Comparison("eq", "a", 1), Comparison("eq", "b", 2)
    assert both(None, None) is None
    assert both(one, None) == both(None, one) == one
    assert both(one, other) == Joined("and", (one, other))
    assert besides_conversations(None) is None
    assert besides_conversations(one) == Joined("or", (InConversation(), one))
