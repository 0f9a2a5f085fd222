"""The answer of the upstream where no script says otherwise: computed from the request, so that a test of the whole
path fails when the right passages, history or tool outputs do not reach the model."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from html import unescape
from typing import Any

from tests.upstream.script import Body, Script

_BLOCK = re.compile(r"<passages>\n(.*?)</passages>", re.DOTALL)
_CARRIED = re.compile(r"<(passages|facts)>\n.*?</\1>", re.DOTALL)
_PASSAGE = re.compile(r'<passage number="(\d+)"([^>]*)>\n(.*?)\n</passage>', re.DOTALL)
_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n+")
_WORD = re.compile(r"[^\W_]{3,}")
_CALL = re.compile(r"\bcall (\w+)\s*(\{[^{}]*\})")
_COMMON = frozenset(
    {"the", "and", "are", "for", "how", "was", "were", "what", "when", "where", "which", "who", "why", "does", "with"}
    | {"from", "that", "this", "you", "your", "many", "much"}
)


@dataclass(frozen=True, slots=True)
class Given:
    """A passage as it was read from the request."""

    number: int
    attributes: str
    text: str


def computed_answer(body: Body) -> Script:
    """Calls the tools that the newest message names, tells what tools gave, or quotes the passages with markers."""
    items = input_items(body)
    if outputs := _newest_outputs(items):
        return Script(text=" ".join(f"{name} gave: {output}" for name, output in outputs))
    question = newest_question(items)
    names = {tool.get("name") for tool in body.get("tools") or [] if tool.get("type") == "function"}
    calls = tuple({"name": name, "arguments": raw} for name, raw in _CALL.findall(question) if name in names)
    if calls:
        return Script(calls=calls)
    form = (body.get("text") or {}).get("format") or {}
    if form.get("type") == "json_schema":
        return Script(text=json.dumps(_example(form.get("schema") or {}, question)))
    return Script(text=_quoted(question, given_passages(items)))


def input_items(body: Body) -> list[Mapping[str, Any]]:
    given = body.get("input")
    return [{"type": "message", "role": "user", "content": given}] if isinstance(given, str) else list(given or [])


def message_text(item: Mapping[str, Any]) -> str:
    content = item.get("content")
    if isinstance(content, str):
        return content
    return "\n".join(str(part.get("text", "")) for part in content or [] if isinstance(part, Mapping))


def newest_question(items: list[Mapping[str, Any]]) -> str:
    """The newest words of a user, without blocks of passages or facts."""
    for item in reversed(items):
        if item.get("role") == "user" and (words := _CARRIED.sub("", message_text(item)).strip()):
            return words
    return ""


def given_passages(items: list[Mapping[str, Any]]) -> list[Given]:
    """The passages of the newest block in a message of a user or developer."""
    for item in reversed(items):
        blocks = _BLOCK.findall(message_text(item)) if item.get("role") in ("user", "developer") else []
        if blocks:
            return [
                Given(int(number), unescape(attributes), text)
                for number, attributes, text in _PASSAGE.findall(blocks[-1])
            ]
    return []


def _quoted(question: str, passages: list[Given]) -> str:
    if not passages:
        return f"No passages came with the question: {question}"
    wanted = _words(question)
    best: list[tuple[int, int, str]] = []
    for passage in passages:
        sentences = [" ".join(sentence.split()) for sentence in _SENTENCE.split(passage.text) if sentence.strip()]
        shared = [(len(wanted & _words(sentence)), sentence) for sentence in sentences]
        score, sentence = max(shared, key=lambda entry: entry[0], default=(0, ""))
        best.append((score, passage.number, sentence))
    top = max(score for score, _, _ in best)
    if top == 0:
        return "None of the passages answers this question."
    return " ".join(f"{sentence} [{number}]" for score, number, sentence in best if score == top)


def shared_words(one: str, other: str) -> int:
    """How many words two texts have in common, whatever their endings; words that every text has do not count."""
    return len(_words(one) & _words(other))


def _words(text: str) -> set[str]:
    return {word[:7] for word in _WORD.findall(text.casefold()) if word not in _COMMON}


def _newest_outputs(items: list[Mapping[str, Any]]) -> list[tuple[str, str]]:
    names = {item.get("call_id"): str(item.get("name")) for item in items if item.get("type") == "function_call"}
    outputs: list[tuple[str, str]] = []
    for item in reversed(items):
        if item.get("type") != "function_call_output":
            break
        output = item.get("output")
        text = output if isinstance(output, str) else json.dumps(output, ensure_ascii=False)
        outputs.insert(0, (names.get(item.get("call_id"), "a tool"), text))
    return outputs


def _example(schema: Mapping[str, Any], words: str) -> Any:
    """A value that fits a JSON schema, with the question's words in its strings."""
    if "enum" in schema:
        return schema["enum"][0]
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((one for one in kind if one != "null"), "null")
    if kind == "object":
        return {name: _example(part, words) for name, part in (schema.get("properties") or {}).items()}
    if kind == "array":
        return [_example(schema.get("items") or {}, words)]
    return {"string": words[:80], "integer": 1, "number": 1.0, "boolean": True}.get(str(kind))
