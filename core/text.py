"""Foreign text made fit to be stored."""

from typing import Any


def without_nuls(value: Any) -> Any:
    """Return JSON data without U+0000, which PostgreSQL's text cannot hold, and which no answer needs."""
    if isinstance(value, str):
        return value.replace("\x00", "")
    if isinstance(value, dict):
        return {without_nuls(key): without_nuls(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [without_nuls(entry) for entry in value]
    return value
