"""Counting what a request costs, offline.

A server counts otherwise (another tokenizer, a template around the messages): `ModelChoice.ceiling` is corrected by
what it reports.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import orjson

from core.tokens import count_tokens

# Tokens that a message costs beyond its text: role, separators (OpenAI's cookbook counts three to four).
PER_ITEM = 4
# What a picture costs at most with most models: OpenAI's guide cuts one into up to 1,536 patches of one token each.
IMAGE_TOKENS = 1_536
# Bytes of a file that come to one token. Text has about four; what a server reads out of a PDF is not known.
BYTES_PER_FILE_TOKEN = 3
# Fields that a model reads as text, whatever the item; within JSON they would count with their escapes.
_TEXTS = ("arguments", "input", "output")


@lru_cache(maxsize=2048)
def text_tokens(text: str) -> int:
    """The tokens of a text; the same history is counted at every turn, so the last ones are remembered."""
    return count_tokens(text)


def json_tokens(value: object) -> int:
    """The tokens of a value as JSON: definitions of tools, schemas, items of kinds that are not read here."""
    return text_tokens(orjson.dumps(value, default=str).decode())


def item_tokens(item: Mapping[str, Any]) -> int:
    """The tokens of one input item: its text where it is a message, else its JSON."""
    if item.get("type", "message") == "message":
        return PER_ITEM + _content_tokens(item.get("content"))
    texts = [name for name in _TEXTS if isinstance(item.get(name), str | list)]
    rest = {name: value for name, value in item.items() if name not in texts}
    return PER_ITEM + json_tokens(rest) + sum(_content_tokens(item[name]) for name in texts)


def items_tokens(items: Iterable[Mapping[str, Any]]) -> int:
    return sum(item_tokens(item) for item in items)


def part_tokens(part: object) -> int:
    """The tokens of one part of a message or of an output."""
    if not isinstance(part, Mapping):
        return json_tokens(part)
    if part.get("type") == "input_image":
        return IMAGE_TOKENS
    if part.get("type") == "input_file":
        # base64 has four characters for three bytes
        return len(str(part.get("file_data") or "")) * 3 // 4 // BYTES_PER_FILE_TOKEN + PER_ITEM
    text = part.get("text", part.get("refusal"))
    return text_tokens(text) if isinstance(text, str) else json_tokens(part)


def _content_tokens(content: str | Sequence[Any] | None) -> int:
    if isinstance(content, str):
        return text_tokens(content)
    return sum(map(part_tokens, content or ()))
