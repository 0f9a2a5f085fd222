"""Items with oversized texts shortened, so that one pasted book or one chatty tool does not take the room of the rest.

What is left out is always said where it was. The same item and limit give the same bytes, so that a server's prompt
cache still hits.
"""

from collections.abc import Sequence
from typing import Any

import orjson

from chat.context.tokens import PER_ITEM, item_tokens, items_tokens, part_tokens
from chat.providers.items import Item, is_output
from core.tokens import within_tokens
from tools.running import cut

# Tokens that a shortened text has at least: its mark alone takes about twenty.
LEAST = 64
# Characters of a text that is nothing but its mark.
_MARK_ALONE = 80
_LEFT_OUT = {
    "input_image": "(A picture was left out here: there was no room for it.)",
    "input_file": "(A file was left out here: there was no room for it.)",
}


def shortened(text: str, limit: int) -> str:
    """Return `text` with at most `limit` tokens (at least `LEAST`); where something is left out, the end says so."""
    if within_tokens(text, limit):
        return text
    low, high = _MARK_ALONE, len(text)
    while high - low > 1:
        middle = (low + high) // 2
        if within_tokens(cut(text, middle), limit):
            low = middle
        else:
            high = middle
    return cut(text, low)


def short_item(item: Item, limit: int) -> Item | None:
    """The item with no text of more than `limit` tokens; None for one of a kind that cannot be shortened."""
    kind = str(item.get("type", "message"))
    if kind == "message":
        return _with(item, "content", _short_content(item.get("content"), limit))
    if is_output(item) and isinstance(item.get("output"), str | list):
        return short_output(item, limit)
    if kind == "function_call" and isinstance(item.get("arguments"), str):
        return _with(item, "arguments", _short_arguments(item["arguments"], limit))
    if kind == "custom_tool_call" and isinstance(item.get("input"), str):
        return _with(item, "input", shortened(item["input"], limit))
    return item if item_tokens(item) <= limit else None


def short_output(item: Item, limit: int) -> Item:
    """The output of a call with no text of more than `limit` tokens."""
    return _with(item, "output", _short_content(item["output"], limit))


def fit_outputs(items: Sequence[Item], budget: int) -> tuple[Item, ...] | None:
    """The items with the longest outputs shortened until all have at most `budget` tokens, or None where they cannot.

    All outputs that are shortened get the same room; nothing else is touched, and no output disappears.
    """
    total = items_tokens(items)
    if total <= budget:
        return tuple(items)
    sizes = {place: part_sum(item) for place, item in enumerate(items) if is_output(item)}
    share = _share(sorted(sizes.values()), budget - (total - sum(sizes.values())))
    if share is None or share < LEAST:
        return None
    fitted = tuple(
        short_output(item, share) if sizes.get(place, 0) > share else item for place, item in enumerate(items)
    )
    return fitted if items_tokens(fitted) <= budget else None


def part_sum(item: Item) -> int:
    """The tokens of an output without what surrounds it."""
    return item_tokens(item) - item_tokens({**item, "output": ""})


def _share(sizes: Sequence[int], budget: int) -> int | None:
    """The largest size that all may have together within `budget`, where the smaller ones keep theirs (ascending)."""
    left = budget
    for place, size in enumerate(sizes):
        share = left // (len(sizes) - place)
        if size > share:
            return share
        left -= size
    return None


def _with(item: Item, name: str, value: Any) -> Item:
    return item if value == item.get(name) else {**item, name: value}


def _short_content(content: Any, limit: int) -> Any:
    if isinstance(content, str):
        return shortened(content, limit)
    if not isinstance(content, list):
        return content
    return [_short_part(part, limit) for part in content]


def _short_part(part: Any, limit: int) -> Any:
    if not isinstance(part, dict):
        return part
    if part.get("type") in _LEFT_OUT:
        return part if part_tokens(part) <= limit else {"type": "input_text", "text": _LEFT_OUT[part["type"]]}
    name = "refusal" if isinstance(part.get("refusal"), str) else "text"
    if not isinstance(part.get(name), str):
        return part
    text = shortened(part[name], limit)
    if text == part[name]:
        return part
    # annotations point into what is no longer there
    return {**part, name: text, **({"annotations": []} if "annotations" in part else {})}


def _short_arguments(arguments: str, limit: int) -> str:
    """Arguments stay a JSON object: there are servers that read them."""
    if within_tokens(arguments, limit):
        return arguments
    room = limit
    while room > LEAST:
        # quotes and line breaks are escaped once more
        room = max(LEAST, room // 2)
        text = orjson.dumps({"cut": shortened(arguments, room)}).decode()
        if within_tokens(text, limit - PER_ITEM):
            return text
    return orjson.dumps({"cut": "all of it is left out"}).decode()
