"""A model that does what probing asks of it, as far as its server has told it: see `ResponsesServer.play`."""

import base64
import json
import re
from collections.abc import Mapping
from typing import Any

from tests.upstream.answers import computed_answer, input_items, message_text
from tests.upstream.script import Body, Script

_CITY = re.compile(r"\b(Oslo|Rome)\b")
_PASSWORD = re.compile(r"password of the day is (\w+)")


def obliging_answer(body: Body) -> Script:
    """Remembers, calls, counts, looks at pictures and reads files: only what stands in the request that was heard."""
    question = message_text(input_items(body)[-1])
    thoughts = "Thinking." if body.get("reasoning") or body.get("include") else ""
    form = (body.get("text") or {}).get("format") or {}
    if body.get("tools") and (calls := _calls(body, question)):
        return Script(calls=calls, reasoning=thoughts)
    if form.get("type") == "json_schema":
        return computed_answer(body)
    return Script(text=_words(body, question), reasoning=thoughts, delay=0.002)


def _words(body: Body, question: str) -> str:
    parts = [part for item in input_items(body) for part in _content(item)]
    if any(part.get("type") == "input_image" for part in parts):
        return "It is red."
    for part in parts:
        if part.get("type") == "input_file":
            content = base64.b64decode(part["file_data"].partition(",")[2]).decode()
            return "".join(_PASSWORD.findall(content))
    if "Which word" in question:
        return "The word was kingfisher." if body.get("previous_response_id") else "You told me no word."
    if "Count" in question:
        return "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen"
    return "ready"


def _content(item: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    content = item.get("content")
    return content if isinstance(content, list) else []


def _calls(body: Body, question: str) -> tuple[Mapping[str, Any], ...]:
    choice = body.get("tool_choice", "auto")
    if isinstance(choice, Mapping):
        return ({"name": choice["name"], "arguments": json.dumps({"city": "Oslo"})},)
    if choice == "required" or "Use the tool" in question:
        cities = _CITY.findall(question) or ["Oslo"]
        several = cities if body.get("parallel_tool_calls") else cities[:1]
        return tuple({"name": "weather", "arguments": json.dumps({"city": city})} for city in several)
    return ()
