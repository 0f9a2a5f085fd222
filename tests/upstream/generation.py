"""Writes a Responses stream as OpenAI does: events in order, numbered, each item added, filled and done."""

import json
import re
import secrets
import time
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from tests.upstream.script import Body, Script

Event = dict[str, Any]
_WORD = re.compile(r"\S+\s*|\s+")
_ECHOED = (
    "instructions",
    "max_output_tokens",
    "metadata",
    "parallel_tool_calls",
    "previous_response_id",
    "prompt_cache_key",
    "reasoning",
    "safety_identifier",
    "service_tier",
    "store",
    "temperature",
    "text",
    "tool_choice",
    "tools",
    "top_p",
    "truncation",
)


class Step(NamedTuple):
    """One event; `paced` ones are deltas, which wait for their time and are counted."""

    event: Event
    paced: bool = False


def new_response(body: Body) -> Event:
    """A response object as it stands when it begins."""
    echoed = {name: body[name] for name in _ECHOED if name in body}
    return {
        "id": f"resp_{secrets.token_hex(12)}",
        "object": "response",
        "created_at": int(time.time()),
        "status": "in_progress",
        "background": bool(body.get("background")),
        "error": None,
        "incomplete_details": None,
        "model": body.get("model"),
        "output": [],
        "usage": None,
        **echoed,
    }


def steps(script: Script, response: Event, body: Body) -> Iterator[Step]:
    """The whole stream of a script; fills in `response` as it goes."""
    if response["background"]:
        yield Step({"type": "response.queued", "response": {**response, "status": "queued"}})
    yield Step({"type": "response.created", "response": dict(response)})
    yield Step({"type": "response.in_progress", "response": dict(response)})
    output: list[Event] = []
    for item, middle in _items(script):
        index = len(output)
        yield Step({"type": "response.output_item.added", "output_index": index, "item": _opened(item)})
        for step in middle:
            yield Step({"output_index": index, "item_id": item.get("id"), **step.event}, step.paced)
        yield Step({"type": "response.output_item.done", "output_index": index, "item": item})
        output.append(item)
    status = "incomplete" if script.incomplete else "completed"
    response.update(
        status=status,
        output=output,
        incomplete_details={"reason": script.incomplete} if script.incomplete else None,
        usage=None if script.no_usage else _usage(script, body, output),
    )
    yield Step({"type": f"response.{status}", "response": dict(response)})


def _items(script: Script) -> Iterator[tuple[Event, list[Step]]]:
    for item in script.items:
        yield dict(item), []
    if script.reasoning or script.thoughts:
        yield _reasoning(script)
    if script.refusal:
        yield _refusal(script)
    elif script.text is not None or script.deltas or not script.calls:
        yield _message(script)
    for at, call in enumerate(script.calls):
        yield _call(call, cut=script.cut_call and at == len(script.calls) - 1)


def _opened(item: Event) -> Event:
    """An item as it is announced: its contents still empty."""
    empty: Event = {name: type(item[name])() for name in ("content", "summary", "arguments") if name in item}
    return {**item, **empty, "status": "in_progress"}


def _pieces(text: str, words: int) -> list[str]:
    parts = _WORD.findall(text)
    return ["".join(parts[at : at + words]) for at in range(0, len(parts), words)]


def _message(script: Script) -> tuple[Event, list[Step]]:
    pieces = list(script.deltas) or _pieces(script.text or "", script.words)
    part = {"type": "output_text", "text": "".join(pieces), "annotations": list(script.annotations), "logprobs": []}
    inner = [_event("content_part.added", part={**part, "text": "", "annotations": []})]
    inner += [_event("output_text.delta", paced=True, delta=piece, logprobs=[]) for piece in pieces]
    inner += [
        _event("output_text.annotation.added", annotation=annotation, annotation_index=at)
        for at, annotation in enumerate(script.annotations)
    ]
    inner += [_event("output_text.done", text=part["text"], logprobs=[]), _event("content_part.done", part=part)]
    status = "incomplete" if script.incomplete and not script.calls else "completed"
    item = {"id": _id("msg"), "type": "message", "role": "assistant", "status": status, "content": [part]}
    return item, _within_part(inner)


def _refusal(script: Script) -> tuple[Event, list[Step]]:
    part = {"type": "refusal", "refusal": script.refusal}
    inner = [_event("content_part.added", part={"type": "refusal", "refusal": ""})]
    inner += [_event("refusal.delta", paced=True, delta=piece) for piece in _pieces(script.refusal, script.words)]
    inner += [_event("refusal.done", refusal=script.refusal), _event("content_part.done", part=part)]
    item = {"id": _id("msg"), "type": "message", "role": "assistant", "status": "completed", "content": [part]}
    return item, _within_part(inner)


def _reasoning(script: Script) -> tuple[Event, list[Step]]:
    item: Event = {"id": _id("rs"), "type": "reasoning", "summary": [], "encrypted_content": f"sealed-{_id('x')}"}
    inner: list[Step] = []
    if script.thoughts:
        item["content"] = [{"type": "reasoning_text", "text": script.thoughts}]
        for piece in _pieces(script.thoughts, script.words):
            inner.append(_event("reasoning_text.delta", paced=True, delta=piece, content_index=0))
        inner.append(_event("reasoning_text.done", text=script.thoughts, content_index=0))
    if script.reasoning:
        part = {"type": "summary_text", "text": script.reasoning}
        item["summary"] = [part]
        inner.append(_event("reasoning_summary_part.added", summary_index=0, part={**part, "text": ""}))
        for piece in _pieces(script.reasoning, script.words):
            inner.append(_event("reasoning_summary_text.delta", paced=True, delta=piece, summary_index=0))
        inner.append(_event("reasoning_summary_text.done", text=script.reasoning, summary_index=0))
        inner.append(_event("reasoning_summary_part.done", summary_index=0, part=part))
    return item, inner


def _call(call: Mapping[str, Any], *, cut: bool) -> tuple[Event, list[Step]]:
    arguments = call.get("arguments", {})
    raw = arguments if isinstance(arguments, str) else json.dumps(arguments)
    if cut:
        raw = raw[: len(raw) // 2]
    item = {
        "id": _id("fc"),
        "type": "function_call",
        "status": "incomplete" if cut else "completed",
        "call_id": call.get("call_id") or _id("call"),
        "name": call["name"],
        "arguments": raw,
    }
    pieces = [raw[at : at + 8] for at in range(0, len(raw), 8)]
    inner = [_event("function_call_arguments.delta", paced=True, delta=piece) for piece in pieces]
    inner.append(_event("function_call_arguments.done", arguments=raw))
    return item, inner


def _event(name: str, *, paced: bool = False, **values: Any) -> Step:
    return Step({"type": f"response.{name}", **values}, paced)


def _within_part(inner: list[Step]) -> list[Step]:
    return [Step({**step.event, "content_index": 0}, step.paced) for step in inner]


def _id(prefix: str) -> str:
    return f"{prefix}_{secrets.token_hex(12)}"


def _usage(script: Script, body: Body, output: list[Event]) -> Event:
    """Counts of four characters to a token: wrong as such, but they grow with what was sent and said.

    What the script says counts before them.
    """
    sent = len(json.dumps([body.get("instructions"), body.get("input"), body.get("tools")], ensure_ascii=False)) // 4
    said = max(1, len(json.dumps([item.get("content") or item.get("arguments") for item in output])) // 4)
    usage = {
        "input_tokens": sent,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": said,
        "output_tokens_details": {"reasoning_tokens": 0},
        **script.usage,
    }
    return {**usage, "total_tokens": usage["input_tokens"] + usage["output_tokens"]}
