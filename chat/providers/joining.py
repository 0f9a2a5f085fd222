"""Items of an answer that was broken off and gone on with, as those of one answer."""

from collections.abc import Iterable

from chat.providers.items import Item, without_reasoning


def without_open_calls(items: Iterable[Item]) -> tuple[Item, ...]:
    """The items without calls that never got an output: a server refuses a call that stands alone."""
    kept = tuple(items)
    answered = {item.get("call_id") for item in kept if item.get("type") == "function_call_output"}
    return tuple(item for item in kept if item.get("type") != "function_call" or item.get("call_id") in answered)


def joined(parts: Iterable[Iterable[Item]]) -> tuple[Item, ...]:
    """The items of an answer that was broken off and gone on with, as those of one answer.

    Calls without an output are left out, and so is sealed reasoning where the answer goes on: what it led to may be
    among what is missing. The message that was broken off and the one that goes on with it become one.
    """
    whole: list[Item] = []
    for part in parts:
        items = without_open_calls(part)
        if not whole:
            whole.extend(items)
            continue
        whole = list(without_reasoning(whole))
        first, *rest = without_reasoning(items) or (None,)
        if first is not None and whole and _is_same_message(whole[-1], first):
            first = _one_message(whole.pop(), first)
        whole.extend(item for item in (first, *rest) if item is not None)
    return tuple(whole)


def _is_same_message(one: Item, other: Item) -> bool:
    """Whether `other` can go on with `one`: two messages of the assistant, of the same phase."""
    spoken = all(item.get("type") == "message" and item.get("role") == "assistant" for item in (one, other))
    listed = all(isinstance(item.get("content"), list) for item in (one, other))
    return spoken and listed and one.get("phase") == other.get("phase")


def _one_message(one: Item, other: Item) -> Item:
    # an id names what the server knows under it, and that is one of the two halves
    rest = {name: value for name, value in other.items() if name != "id"}
    return {**rest, "content": [*one["content"], *other["content"]]}
