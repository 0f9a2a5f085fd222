"""Reads the token counts of a final event, of which servers leave out any part."""

from collections.abc import Mapping
from typing import Any

from chat.providers.base import Usage
from chat.providers.openai.fields import whole_number


def read_usage(raw: Any) -> Usage | None:
    """The counts, or None where the server gave none at all. Names of the older chat API are understood too."""
    if not isinstance(raw, Mapping):
        return None
    input_tokens = _count(raw, "input_tokens", "prompt_tokens")
    output_tokens = _count(raw, "output_tokens", "completion_tokens")
    total = _count(raw, "total_tokens")
    if total is None and input_tokens is not None and output_tokens is not None:
        total = input_tokens + output_tokens
    usage = Usage(
        input_tokens=input_tokens,
        cached_tokens=_count(_details(raw, "input_tokens_details", "prompt_tokens_details"), "cached_tokens"),
        output_tokens=output_tokens,
        reasoning_tokens=_count(
            _details(raw, "output_tokens_details", "completion_tokens_details"), "reasoning_tokens"
        ),
        total_tokens=total,
    )
    return None if usage == Usage() else usage


def _details(raw: Mapping[str, Any], *names: str) -> Mapping[str, Any]:
    return next((raw[name] for name in names if isinstance(raw.get(name), Mapping)), {})


def _count(raw: Mapping[str, Any], *names: str) -> int | None:
    return next((count for name in names if (count := whole_number(raw.get(name))) is not None), None)
