"""Reading Responses items: the few questions that the rest of the application asks of them."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import orjson

Item: TypeAlias = dict[str, Any]
"""One Responses item as it stands on the wire; never changed after it was made."""


@dataclass(frozen=True, slots=True)
class FunctionCall:
    """A call that the model asks for. `arguments` is the raw JSON text; "" means an empty object.

    `complete` is False when the server says that the call was cut off: it must then never be run.
    """

    call_id: str
    name: str
    arguments: str
    complete: bool
    item: Item


def output_text(items: Iterable[Mapping[str, Any]]) -> str:
    """The text of all assistant messages, in order; "" where there is none."""
    return "".join(_parts(items, "output_text", "text"))


def refusal(items: Iterable[Mapping[str, Any]]) -> str | None:
    """The words of a refusal, or None where nothing was refused."""
    return "".join(_parts(items, "refusal", "refusal")) or None


def function_calls(items: Iterable[Item]) -> tuple[FunctionCall, ...]:
    """The function calls in the order in which the model made them, cut-off ones included."""
    return tuple(
        FunctionCall(
            call_id=str(item.get("call_id") or item.get("id") or ""),
            name=str(item.get("name") or ""),
            arguments=_arguments(item.get("arguments")),
            complete=item.get("status") in (None, "completed"),
            item=item,
        )
        for item in items
        if item.get("type") == "function_call"
    )


def open_calls(items: Iterable[Item]) -> tuple[FunctionCall, ...]:
    """Those of the function calls that have no output among these items."""
    kept = tuple(items)
    done = {item.get("call_id") for item in kept if item.get("type") == "function_call_output"}
    return tuple(call for call in function_calls(kept) if call.call_id not in done)


def is_output(item: Item) -> bool:
    """Whether the item is what a call gave."""
    return str(item.get("type")).endswith("_call_output")


def _arguments(given: object) -> str:
    """The JSON text of arguments, also where a server gave the object itself."""
    if isinstance(given, str):
        return given
    return orjson.dumps(given).decode() if isinstance(given, dict) else ""


def without_reasoning(items: Iterable[Item]) -> tuple[Item, ...]:
    """The items without reasoning, which is sealed for one model and account and refused by every other."""
    return tuple(item for item in items if item.get("type") != "reasoning")


def _parts(items: Iterable[Mapping[str, Any]], part_type: str, key: str) -> Iterator[str]:
    for item in items:
        if item.get("type") != "message":
            continue
        content = item.get("content")
        if isinstance(content, str) and part_type == "output_text":
            yield content
        for part in content if isinstance(content, list) else ():
            if isinstance(part, Mapping) and part.get("type") == part_type and isinstance(part.get(key), str):
                yield part[key]
