"""The recorded streams: the project's own, which must be there, and those beside the project, which may be."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

OWN = Path(__file__).parents[1] / "recordings"
SHARED = Path(os.environ.get("PARLEY_SHARED") or Path(__file__).parents[3] / "shared") / "streams"


@dataclass(frozen=True, slots=True)
class Call:
    name: str
    call_id: str
    arguments: str | None
    complete: bool | None = None


@dataclass(frozen=True, slots=True)
class Recording:
    """A stream, and what must come of it. None means that nothing is said about it."""

    name: str
    path: Path
    status: str
    text: str
    refusal: str | None
    calls: tuple[Call, ...]
    usage: Mapping[str, int | None] | None
    incomplete_reason: str | None
    failure: str | None = None
    error: Mapping[str, Any] | None = None
    items: tuple[str, ...] | None = None
    reasoning: str | None = None
    streamed: str | None = None
    identity: tuple[str | None, str | None] | None = None
    annotations: tuple[Any, ...] | None = field(default=None, compare=False)


def own_recordings() -> list[Recording]:
    rows = json.loads((OWN / "manifest.json").read_text("utf-8"))["recordings"]
    return [_own(row) for row in rows]


def shared_recordings() -> list[Recording]:
    """Empty where the folder is missing."""
    manifest = SHARED / "manifest.json"
    if not manifest.exists():
        return []
    return [_shared(row) for row in json.loads(manifest.read_text("utf-8"))["streams"]]


def _own(row: Mapping[str, Any]) -> Recording:
    said = row["expected"]
    calls = tuple(Call(**{"complete": True, **call}) for call in said["calls"])
    return Recording(
        name=row["file"],
        path=OWN / row["file"],
        calls=calls,
        items=tuple(said["items"]),
        failure=(said["error"] or {}).get("code"),
        **{
            name: said[name]
            for name in ("status", "text", "refusal", "usage", "incomplete_reason", "error", "reasoning", "streamed")
        },
    )


def _shared(row: Mapping[str, Any]) -> Recording:
    said = row["expected"]
    outcome = said["outcome"]
    calls = tuple(
        Call(call["name"], call["call_id"], _arguments(call))
        for call in said["tool_calls"]
        if call["type"] == "function_call"
    )
    types = said.get("output_item_types")
    return Recording(
        name=row["id"],
        path=SHARED / row["file"],
        status=outcome if outcome in ("completed", "incomplete") else "failed",
        text=said["final_text"] or "",
        refusal=said["refusal"],
        calls=calls,
        usage=said["usage"],
        incomplete_reason=said["incomplete_reason"],
        failure="stream_truncated" if outcome == "stream_truncated" else None,
        items=None if types is None else tuple(types),
        reasoning=(said["reasoning"]["summary_text"] or "") if "reasoning" in said else None,
        identity=(said["response_id"], said["model"]) if "response_id" in said else None,
        annotations=tuple(said["annotations"]) if "annotations" in said else None,
    )


def _arguments(call: Mapping[str, Any]) -> str | None:
    raw = call.get("arguments_raw")
    return raw if isinstance(raw, str) else json.dumps(call["arguments"], separators=(",", ":"))
