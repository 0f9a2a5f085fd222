"""Which documents a search may find, by what is known of them: the filter of the Responses API's file search.

A filter is a comparison `{"type": "eq", "key": "year", "value": 2026}` or joins filters, `{"type": "and", "filters":
[…]}`. It is held against the attributes of a document, and under some names against what is known of it anyway
(`BUILT_IN`). Only a value of the same kind compares: a number is no text and `true` is not 1; what a document lacks
equals nothing and is neither above nor below anything. Of a list, `eq` and `in` want one element to be equal. Texts
compare by their code points, so dates written as 2026-11-21 do as dates.
"""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from core.errors import InvalidInputError

MAX_KEY_CHARS = 64
MAX_VALUE_CHARS = 512
# What a statement stays quick with.
MAX_COMPARISONS = 64
MAX_VALUES = 128
MAX_DEPTH = 8
# JSON's numbers beyond it are not the same everywhere.
MAX_INTEGER = 2**53

_ORDER = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<="}
_JOINED = {"and": " AND ", "or": " OR "}

BUILT_IN: Mapping[str, str] = {
    "file_name": "document.name",
    "kind": "(SELECT file.mime_type FROM retrieval_file file WHERE file.id = document.file_id)",
    "language": "document.language",
    "owner": "(SELECT lower(person.email) FROM core_user person WHERE person.id = document.uploaded_by_id)",
    "uploaded_on": "to_char(document.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD')",
}
"""Names that are no attributes, with what they stand for in a statement where `document` is the document's row."""

Scalar: TypeAlias = str | int | float | bool


class FilterError(InvalidInputError):
    """A filter that is not of the shape above; the sentence says where."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """`value` is a tuple for `in` and `nin`."""

    type: str
    key: str
    value: Scalar | tuple[Scalar, ...]


@dataclass(frozen=True, slots=True)
class Joined:
    """All of `filters` (`and`) or one of them (`or`)."""

    type: str
    filters: tuple["Filter", ...]


@dataclass(frozen=True, slots=True)
class InConversation:
    """Whether a document was dropped into a conversation."""


Filter: TypeAlias = Comparison | Joined | InConversation


def parse_filter(data: object) -> Filter:
    """Return the filter that JSON data describes. Raises FilterError."""
    left = [MAX_COMPARISONS]
    return _parsed(data, "filter", 1, left)


def both(one: Filter | None, other: Filter | None) -> Filter | None:
    """What passes both; None lets everything pass."""
    if one is None or other is None:
        return one or other
    return Joined("and", (one, other))


def besides_conversations(wanted: Filter | None) -> Filter | None:
    """What passes `wanted`, and everything that was dropped into a conversation."""
    return None if wanted is None else Joined("or", (InConversation(), wanted))


def filter_sql(wanted: Filter) -> tuple[str, list[Any]]:
    """Return a condition on the row `document` of retrieval_document, true or false, and its parameters."""
    match wanted:
        case Joined(kind, filters):
            parts = [filter_sql(part) for part in filters]
            return f"({_JOINED[kind].join(sql for sql, _ in parts)})", [
                value for _, values in parts for value in values
            ]
        case InConversation():
            return "document.store_id IN (SELECT id FROM retrieval_vectorstore WHERE kind = 'conversation')", []
        case Comparison(kind, key, value):
            subject, parameters = _subject(key)
            if kind in _ORDER:
                return _ordered(_ORDER[kind], subject, parameters, value)
            values = value if isinstance(value, tuple) else (value,)
            sql = f"coalesce({subject} @> ANY(%s::jsonb[]), false)"
            return f"NOT {sql}" if kind in {"ne", "nin"} else sql, [*parameters, [json.dumps(one) for one in values]]


def _subject(key: str) -> tuple[str, list[Any]]:
    """What is compared, as jsonb."""
    return (f"to_jsonb({BUILT_IN[key]})", []) if key in BUILT_IN else ("(document.attributes -> %s)", [key])


def _ordered(operator: str, subject: str, parameters: list[Any], value: object) -> tuple[str, list[Any]]:
    if isinstance(value, str):
        sql = f"jsonb_typeof({subject}) = 'string' AND ({subject} #>> '{{}}') COLLATE \"C\" {operator} %s"
        return f"coalesce({sql}, false)", [*parameters, *parameters, value]
    sql = f"jsonb_typeof({subject}) = 'number' AND {subject} {operator} %s::jsonb"
    return f"coalesce({sql}, false)", [*parameters, *parameters, json.dumps(value)]


def _parsed(data: object, path: str, depth: int, left: list[int]) -> Filter:
    if not isinstance(data, Mapping):
        raise FilterError(f"{path}: this has to be an object with a type.")
    kind = str(data.get("type"))
    if kind in _JOINED:
        return _parsed_join(data, path, depth, left)
    if kind not in _COMPARED:
        raise FilterError(f"{path}.type: this has to be one of {', '.join([*_COMPARED, *_JOINED])}.")
    _only(data, {"type", "key", "value"}, path)
    left[0] -= 1
    if left[0] < 0:
        raise FilterError(f"{path}: there are more than {MAX_COMPARISONS} comparisons.")
    key = data.get("key")
    if not isinstance(key, str) or not 1 <= len(key) <= MAX_KEY_CHARS or not fit(key):
        raise FilterError(f"{path}.key: this has to be a name of 1 to {MAX_KEY_CHARS} characters.")
    return Comparison(kind, key, _COMPARED[kind](data.get("value"), f"{path}.value"))


def _parsed_join(data: Mapping[str, object], path: str, depth: int, left: list[int]) -> Joined:
    _only(data, {"type", "filters"}, path)
    filters = data.get("filters")
    if not isinstance(filters, list) or not filters:
        raise FilterError(f"{path}.filters: this has to be a list of filters.")
    if depth >= MAX_DEPTH:
        raise FilterError(f"{path}.filters: filters may stand in each other {MAX_DEPTH} deep at most.")
    parts = (_parsed(part, f"{path}.filters.{at}", depth + 1, left) for at, part in enumerate(filters))
    return Joined(str(data["type"]), tuple(parts))


def _only(data: Mapping[str, object], names: set[str], path: str) -> None:
    for name in data:
        if name not in names:
            raise FilterError(f"{path}.{str(name)[:MAX_KEY_CHARS]}: this name is not known.")


def _scalar(value: object, path: str) -> Scalar:
    if not isinstance(value, str | bool | int | float) or not fit(value):
        raise FilterError(
            f"{path}: this has to be a text of at most {MAX_VALUE_CHARS} characters, a number, true or false."
        )
    return value


def _scalars(value: object, path: str) -> tuple[Scalar, ...]:
    if not isinstance(value, list) or not 1 <= len(value) <= MAX_VALUES:
        raise FilterError(f"{path}: this has to be a list of 1 to {MAX_VALUES} values.")
    return tuple(_scalar(one, f"{path}.{at}") for at, one in enumerate(value))


def _rank(value: object, path: str) -> Scalar:
    if isinstance(value, bool):
        raise FilterError(f"{path}: true and false are not above or below anything.")
    return _scalar(value, path)


_COMPARED: Mapping[str, Callable[[object, str], Scalar | tuple[Scalar, ...]]] = {
    "eq": _scalar,
    "ne": _scalar,
    "in": _scalars,
    "nin": _scalars,
    **dict.fromkeys(_ORDER, _rank),
}


def fit(value: Scalar) -> bool:
    """Whether a value can be an attribute's, and compared with one: short, and the same in JSON everywhere."""
    if isinstance(value, str):
        return len(value) <= MAX_VALUE_CHARS and all(char >= " " and not "\ud800" <= char <= "\udfff" for char in value)
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, bool) or abs(value) <= MAX_INTEGER
