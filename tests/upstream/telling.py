"""Makes the bytes of an answer in a dialect: see `tests.upstream.dialects`."""

import json
from collections.abc import Iterator
from itertools import chain, zip_longest

from tests.upstream.dialects import Answer, Dialect, Event


def told(answer: Answer, dialect: Dialect) -> bytes:
    """The bytes of the whole stream."""
    events = _numbered(_events(answer, dialect), dialect)
    if dialect.repeats:
        events = [event for one in events for event in (one, one)]
    blocks = [_block(event, dialect) for event in events]
    for at, noise in enumerate(dialect.noise):
        blocks.insert((at * 7) % len(blocks), noise.replace("{nl}", dialect.line_end))
    if dialect.done_marker:
        blocks.append("data: [DONE]")
    end = dialect.line_end
    text = (end * 2).join(blocks) + (end * 2 if dialect.last_blank_line else "")
    return (b"\xef\xbb\xbf" if dialect.mark else b"") + text.encode()


def _block(event: Event, dialect: Dialect) -> str:
    """An event's lines. `kind` stands for the `type` within an error that only its event line calls one."""
    if "kind" in event:
        event = {**event, "type": event["kind"], "named": "error"}
    named = event.get("named", event["type"])
    bare = (dialect.event_lines == "only" and named == event["type"]) or not event["type"]
    said = {name: value for name, value in event.items() if name not in ("kind", "named", "type" if bare else "")}
    text = json.dumps(said, ensure_ascii=dialect.ascii_only, indent=1 if dialect.data_lines else None)
    colon = "data: " if dialect.space else "data:"
    lines = [f"event: {named}"] if named and dialect.event_lines != "none" else []
    return dialect.line_end.join([*lines, *(colon + line for line in text.split("\n"))])


def _numbered(events: Iterator[Event], dialect: Dialect) -> list[Event]:
    numbers = {"rising": int, "text": str, "float": float, "constant": lambda _: 0}
    if dialect.sequence == "none":
        return list(events)
    return [{**event, "sequence_number": numbers[dialect.sequence](at)} for at, event in enumerate(events)]


def _events(answer: Answer, dialect: Dialect) -> Iterator[Event]:
    response = {"id": "resp_1", "object": "response", "model": "m-1", "created_at": 1.5}
    for name in dialect.begun:
        yield {"type": f"response.{name}", "response": {**response, "status": "in_progress", "usage": None}}
    told_of = [list(_of_item(item, at, dialect)) for at, item in enumerate(answer.items)]
    if dialect.interleaved:
        for row in zip_longest(*told_of):
            yield from (event for event in row if event is not None)
    else:
        yield from chain.from_iterable(told_of)
    if answer.status in ("completed", "incomplete"):
        yield _end(answer, dialect, response)
    elif answer.status == "failed":
        yield from _failure(dialect, response)


def _of_item(item: Event, at: int, dialect: Dialect) -> Iterator[Event]:
    place = _Place(dialect, at, str(item["id"]))
    if dialect.announced:
        yield {"type": "response.output_item.added", **place.index(), "item": _opened(item, place)}
    for event in _pieces(item, dialect):
        yield {**event, **place.of_part(event)}
    if dialect.items_done:
        yield {"type": "response.output_item.done", **place.index(), "item": _final(item, dialect, place.id())}
    if dialect.late and dialect.items_done and item["type"] == "message":
        kind = "refusal" if item["content"][0]["type"] == "refusal" else "output_text"
        yield {"type": f"response.{kind}.delta", **place.of_part({"content_index": 0}), "delta": "too late"}


class _Place:
    """Says where an event belongs, in the dialect's way."""

    def __init__(self, dialect: Dialect, at: int, item_id: str) -> None:
        self._dialect = dialect
        self._at = at
        self._id = item_id
        self._count = 0

    def index(self) -> Event:
        values: Event = {"own": self._at, "constant": 0, "text": str(self._at)}
        if self._dialect.index == "none":
            return {"output_index": None} if self._dialect.nulls else {}
        return {"output_index": values[self._dialect.index]}

    def id(self) -> str | None:
        if self._dialect.ids == "none":
            return None
        self._count += 1
        return self._id if self._dialect.ids == "own" else f"{self._id}_{self._count}"

    def of_part(self, event: Event) -> Event:
        own = {"item_id": self.id()} if self._dialect.ids != "none" else {}
        shift = {name: event[name] + self._dialect.part_from for name in ("content_index",) if name in event}
        return {**self.index(), **own, **shift}


def _opened(item: Event, place: _Place) -> Event:
    empty = {name: type(item[name])() for name in ("content", "summary", "arguments", "input", "code") if name in item}
    return {**_identified(item, place.id()), **empty}


def _final(item: Event, dialect: Dialect, item_id: str | None) -> Event:
    return {**_identified(item, item_id), **({"logprobs": None} if dialect.nulls else {})}


def _identified(item: Event, item_id: str | None) -> Event:
    rest = {name: value for name, value in item.items() if name != "id"}
    return {"id": item_id, **rest} if item_id is not None else rest


def _pieces(item: Event, dialect: Dialect) -> Iterator[Event]:
    for at, part in enumerate(item.get("summary") or ()):
        yield from _part(dialect, "response.reasoning_summary_text", part, "text", {"summary_index": at})
    for at, part in enumerate(item.get("content") or ()):
        name = {"refusal": "refusal", "reasoning_text": "reasoning_text"}.get(part["type"], "output_text")
        field = "refusal" if name == "refusal" else "text"
        yield from _part(dialect, f"response.{name}", part, field, {"content_index": at})
    arguments = {"function_call": "arguments", "mcp_call": "arguments", "custom_tool_call": "input"}
    if (field := arguments.get(item["type"], "")) and field in item:
        prefix = {"function_call": "function_call_arguments", "mcp_call": "mcp_call_arguments"}
        name = prefix.get(item["type"], "custom_tool_call_input")
        yield from _part(dialect, f"response.{name}", item, field, {})


def _part(dialect: Dialect, name: str, part: Event, field: str, place: Event) -> Iterator[Event]:
    text = part[field]
    is_content = part.get("type") in ("output_text", "refusal", "reasoning_text")
    if dialect.parts and is_content:
        yield {"type": "response.content_part.added", **place, "part": {**part, field: ""}}
    if dialect.deltas:
        yield from ({"type": f"{name}.delta", **place, "delta": text[at : at + 3]} for at in range(0, len(text), 3))
    if dialect.nulls:
        yield {"type": f"{name}.delta", **place, "delta": None}
    if dialect.annotations_told:
        for annotation in part.get("annotations") or ():
            yield {"type": "response.output_text.annotation.added", **place, "annotation": annotation}
    if dialect.wholes:
        yield {"type": f"{name}.done", **place, field: text}
    if dialect.parts_done and is_content:
        yield {"type": "response.content_part.done", **place, "part": part}


def _end(answer: Answer, dialect: Dialect, response: Event) -> Event:
    listed = [
        _identified(item, f"final_{at}" if dialect.final_ids_differ else str(item["id"]))
        for at, item in enumerate(answer.items)
    ]
    sealed = [{**item, "encrypted_content": "again"} if item["type"] == "reasoning" else item for item in listed]
    output: Event = {"all": {"output": sealed}, "none": {}, "null": {"output": None}, "empty": {"output": []}}
    incomplete = answer.status == "incomplete"
    said: Event = {**response, **output[dialect.listed]}
    said["incomplete_details"] = {"reason": answer.reason} if incomplete else None
    if dialect.ends_as != "reason":
        said["status"] = answer.status
    kind = "incomplete" if incomplete and dialect.ends_as == "typed" else "completed"
    usage = _usage(answer, dialect)
    beside = {"usage": usage} if dialect.usage == "beside" else {}
    return {"type": f"response.{kind}", "response": {**said, **({} if beside else {"usage": usage})}, **beside}


def _failure(dialect: Dialect, response: Event) -> Iterator[Event]:
    said = {"code": "rate_limit_exceeded", "message": "Please try again in 3s.", "param": None}
    kind = dialect.failure
    if kind == "named" and dialect.event_lines == "none":
        kind = "flat"
    if kind.startswith("nested"):
        yield {"type": "error", "error": {"type": "tokens", **said}}
    elif kind == "flat":
        yield {"type": "error", **said}
    elif kind == "untyped":
        yield {"type": "", "error": said}
    elif kind == "named":
        yield {"type": "error", "kind": "tokens", **said}
    if kind.endswith("failed"):
        yield {"type": "response.failed", "response": {**response, "status": "failed", "error": said, "output": []}}


def _usage(answer: Answer, dialect: Dialect) -> Event | None:
    if answer.usage is None:
        return None
    as_written = str if dialect.usage == "text" else int
    given, cached, said, thought = (as_written(count) for count in answer.usage)
    usage: Event = {"input_tokens": given, "output_tokens": said}
    if dialect.usage != "bare":
        usage["input_tokens_details"] = {"cached_tokens": cached}
        usage["output_tokens_details"] = {"reasoning_tokens": thought}
        usage["total_tokens"] = as_written(answer.usage[0] + answer.usage[2])
    return usage
