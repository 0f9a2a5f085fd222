"""Ids of calls: servers leave them out, or give one twice; here each call of a turn has one of its own.

An output names its call by the id alone, so a doubled one could not be answered. Everything else of an item stays as
the server said it.
"""

import re
from collections.abc import Collection, Iterator, Sequence

from chat.providers.items import Item

# What a row can hold, and what every server takes back.
_USABLE = re.compile(r"[\x21-\x7e]{1,200}")


def with_own_ids(output: Sequence[Item], *, taken: Collection[str], step: int) -> tuple[Item, ...]:
    """Return the items of a step; calls whose id is missing, unusable, or `taken` by an earlier one get another."""
    return tuple(_renamed(output, set(taken), step))


def _renamed(output: Sequence[Item], taken: set[str], step: int) -> Iterator[Item]:
    for index, item in enumerate(output):
        if item.get("type") != "function_call":
            yield item
            continue
        given = item.get("call_id") or item.get("id")
        call_id = given if isinstance(given, str) and _USABLE.fullmatch(given) and given not in taken else ""
        number = index
        while not call_id:
            made = f"call_{step}_{number}"
            call_id, number = ("" if made in taken else made), number + 1
        taken.add(call_id)
        yield item if item.get("call_id") == call_id else {**item, "call_id": call_id}


def ids_of(items: Sequence[Item]) -> frozenset[str]:
    """The ids of the calls among these items."""
    return frozenset(str(item.get("call_id")) for item in items if item.get("type") == "function_call")
