"""Reading single fields of raw events, any of which a server may leave out or fill with something else."""

from collections.abc import Mapping
from typing import Any


def text_of(raw: Mapping[str, Any], name: str) -> str | None:
    """A string field, or None where it is missing, empty or something else."""
    value = raw.get(name)
    return value if isinstance(value, str) and value else None


def whole_number(value: object) -> int | None:
    """A count or an index from 0, also where a server wrote it as a float or as text; None for anything else."""
    if type(value) is int:
        return value if value >= 0 else None
    if isinstance(value, float) and value >= 0 and value.is_integer():
        return int(value)
    if isinstance(value, str) and len(value) < 20 and value.isascii() and value.isdigit():
        return int(value)
    return None


def index_of(event: Mapping[str, Any], name: str = "output_index") -> int | None:
    return whole_number(event.get(name))


def part_index_of(event: Mapping[str, Any], kind: str) -> int:
    """The index of the part an event means: reasoning summaries have an index of their own."""
    return index_of(event, "summary_index" if kind == "summary_text" else "content_index") or 0


def reason_of(response: Mapping[str, Any]) -> str | None:
    """Why a response is incomplete, or None where nothing says so."""
    details = response.get("incomplete_details")
    if isinstance(details, Mapping):
        return text_of(details, "reason")
    return details if isinstance(details, str) and details else None
