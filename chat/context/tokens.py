"""Counting what a request costs, offline.

The servers' own count differs (other tokenizers, chat templates), so a margin is kept free.
"""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

import orjson

from core.tokens import count_tokens

# Tokens that a message costs beyond its text: role, separators (OpenAI's cookbook counts three to four).
PER_ITEM = 4
# Share of a model's input that is left free for what cannot be counted here.
MARGIN = 0.05


@lru_cache(maxsize=2048)
def text_tokens(text: str) -> int:
    """The tokens of a text; the same history is counted at every turn, so the last ones are remembered."""
    return count_tokens(text)


def item_tokens(item: Mapping[str, Any]) -> int:
    """The tokens of one input item: its text where it is a message, else its JSON."""
    content = item.get("content")
    if item.get("type", "message") == "message" and isinstance(content, str):
        return PER_ITEM + text_tokens(content)
    if item.get("type", "message") == "message" and isinstance(content, list):
        texts = [part.get("text") or part.get("refusal") or "" for part in content if isinstance(part, dict)]
        return PER_ITEM + sum(text_tokens(text) for text in texts)
    return PER_ITEM + text_tokens(orjson.dumps(dict(item), default=str).decode())


def items_tokens(items: Iterable[Mapping[str, Any]]) -> int:
    return sum(item_tokens(item) for item in items)
