"""What the upstream shall do with one request: what to say, at what pace, and what to break.

A script is JSON, so that a program in another process can be driven as well as a test in this one:

    {"text": "Hello", "first_delay": 0.3, "delay": 0.02}
    {"calls": [{"name": "add", "arguments": {"a": 1}}], "reasoning": "I need a tool."}
    {"status": 429, "headers": {"retry-after": "2"}, "body": {"error": {"code": "rate_limit_exceeded"}}}
    {"text": "Half of it", "fault": "drop", "after": 3}
    {"recording": "/path/to/stream.sse", "chunk": 7}
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, TypeAlias

Body: TypeAlias = Mapping[str, Any]

FAULTS = ("error_nested", "error_flat", "error_untyped", "error_and_failed", "failed", "drop", "eof", "hang")
_MARKER = re.compile(r"\[\[script\s+(\{.*?\})\s*\]\]", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Script:
    """Times are in seconds, counted from the request for the first and between deltas for the rest. What is given a
    `hold` says nothing, not even headers, before that name is let go of (`ResponsesServer.let_go`); with `held_after`
    it says so many deltas first.

    `deltas` gives the pieces of the text exactly; else `text` is cut after every `words` words. `fault` strikes after
    `after` deltas (-1: before any event), or with `at_headers` before the headers; `error` is what it says. `status`
    other than 200 answers with `body` at once. `usage` is said in place of what was counted. `endpoint` is responses,
    embeddings, or retrieve for following a response again, which `from_start` makes begin with its first event whatever
    was asked for. `recording` sends a file as it is, in pieces of `chunk` bytes.
    """

    text: str | None = None
    deltas: tuple[str, ...] = ()
    words: int = 1
    annotations: tuple[Any, ...] = ()
    reasoning: str = ""
    thoughts: str = ""
    refusal: str = ""
    calls: tuple[Mapping[str, Any], ...] = ()
    items: tuple[Mapping[str, Any], ...] = ()
    incomplete: str = ""
    cut_call: bool = False
    no_usage: bool = False
    usage: Mapping[str, Any] = field(default_factory=dict)
    hold: str = ""
    held_after: int = -1
    first_delay: float = 0.0
    delay: float = 0.0
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
    fault: str = ""
    at_headers: bool = False
    after: int = 0
    error: Mapping[str, Any] = field(default_factory=dict)
    recording: str = ""
    chunk: int = 0
    chunk_delay: float = 0.0
    done_marker: bool = False
    endpoint: str = "responses"
    from_start: bool = False
    when_text: str = ""
    when_model: str = ""
    always: bool = False

    @classmethod
    def of(cls, raw: "Script | Mapping[str, Any]") -> "Script":
        """Reads JSON; a name or a fault that does not exist is a ValueError, so that no test runs on a typing error."""
        if isinstance(raw, Script):
            return raw
        known = {one.name for one in fields(cls)}
        if unknown := set(raw) - known:
            raise ValueError(f"no such field in a script: {', '.join(sorted(unknown))}")
        values: dict[str, Any] = {name: value if name == "body" else _frozen(value) for name, value in raw.items()}
        script = cls(**values)
        if script.fault and script.fault not in FAULTS:
            raise ValueError(f"no such fault: {script.fault}")
        return script

    def fits(self, endpoint: str, body: Body) -> bool:
        return (
            self.endpoint == endpoint
            and self.when_model in str(body.get("model", ""))
            and self.when_text in json.dumps(body, ensure_ascii=False)
        )


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


Computed: TypeAlias = Callable[[Body], "Script | Mapping[str, Any] | None"]


class Scripts:
    """Scripts wait in a queue: the first that fits a request is used, and used up unless it is for `always`."""

    def __init__(self) -> None:
        self._queue: list[Script] = []
        self._computed: Computed | None = None

    def add(self, *scripts: "Script | Mapping[str, Any]") -> None:
        self._queue.extend(Script.of(script) for script in scripts)

    def compute(self, function: Computed) -> None:
        """A function that makes the script from the request's body; None leaves it to the queue and the default."""
        self._computed = function

    def clear(self) -> None:
        self._queue.clear()
        self._computed = None

    def take(self, endpoint: str, body: Body, header: str = "") -> Script | None:
        """The script for a request: of its header, of a marker in its newest message, computed, or waiting."""
        if header:
            return Script.of(json.loads(header))
        if endpoint == "responses" and (marked := _marked(body)):
            return marked
        if endpoint == "responses" and self._computed and (computed := self._computed(body)) is not None:
            return Script.of(computed)
        for script in self._queue:
            if script.fits(endpoint, body):
                if not script.always:
                    self._queue.remove(script)
                return script
        return None


def _marked(body: Body) -> Script | None:
    items = body.get("input")
    newest = items if isinstance(items, str) else json.dumps(items[-1:], ensure_ascii=False) if items else ""
    found = _MARKER.search(newest if isinstance(items, str) else newest.replace('\\"', '"'))
    return Script.of(json.loads(found.group(1))) if found else None
