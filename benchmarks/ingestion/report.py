"""The table that people read."""

from collections.abc import Mapping, Sequence
from typing import Any

_HEAD = ("", "total s", "embedding requests", "chunks", "chunks/s", "pages/s", "CPU s", "CPU s by process")


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """A Markdown table. Pages are those of the PDFs; both figures per second are of the whole."""
    pages = max(row.get("pages", 0) for row in rows)
    lines = [_HEAD, tuple("---" for _ in _HEAD), *(_line(row, pages) for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _line(row: Mapping[str, Any], pages: int) -> tuple[str, ...]:
    return (
        row["what"],
        str(row["seconds"]),
        str(row["requests"]),
        str(row["chunks"]),
        f"{row['chunks'] / row['seconds']:.0f}",
        f"{pages / row['seconds']:.0f}",
        str(row["cpu_s"]),
        ", ".join(f"{name} {used}" for name, used in row["cpu_s_by_process"].items()),
    )
