"""Reading single fields of raw events, any of which a server may leave out or fill with something else."""

from collections.abc import Mapping
from typing import Any


def text_of(raw: Mapping[str, Any], name: str) -> str | None:
    """A string field, or None where it is missing, empty or something else."""
    value = raw.get(name)
    return value if isinstance(value, str) and value else None


def index_of(event: Mapping[str, Any], name: str = "output_index") -> int | None:
    value = event.get(name)
    return value if type(value) is int and value >= 0 else None


def part_index_of(event: Mapping[str, Any], kind: str) -> int:
    """The index of the part an event means: reasoning summaries have an index of their own."""
    return index_of(event, "summary_index" if kind == "summary_text" else "content_index") or 0


def reason_of(response: Mapping[str, Any]) -> str | None:
    """Why a response is incomplete, or None where nothing says so."""
    details = response.get("incomplete_details")
    return text_of(details, "reason") if isinstance(details, Mapping) else None
