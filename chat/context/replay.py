"""Earlier turns as they are sent again: without what a server would refuse, and without what nobody needs any more."""

from collections.abc import Iterable
from dataclasses import replace

from chat.context.shortening import short_item
from chat.providers.items import Item, is_output, without_reasoning
from chat.selectors.branches import PastTurn
from tools.running import cut

# Characters that an output of a tool keeps in later turns.
EARLIER_OUTPUT_CHARS = 1_500
# Calls that are answered by an output with the same call_id; what a server runs by itself has none.
_ANSWERED = frozenset({"function_call", "custom_tool_call", "shell_call", "apply_patch_call", "computer_call"})


def replayable(turn: PastTurn, longest: int | None) -> PastTurn:
    """An earlier turn as a server takes it again; `longest` are the tokens that one text of it may have.

    Reasoning is left out: it is sealed for the model and account that made it. What tools gave is cut: the answer that
    was made of it is there, and a few long outputs would take the room of many turns. An item that stays as it was is
    the same object.
    """
    items: Iterable[Item | None] = map(_with_short_output, without_reasoning(turn.items))
    if longest is not None:
        items = [short_item(item, longest) for item in items if item is not None]
    return replace(turn, items=paired(item for item in items if item is not None))


def paired(items: Iterable[Item]) -> tuple[Item, ...]:
    """The items without calls that have no output behind them and outputs that have no call before them.

    A server refuses both. Of several with one id the first call and the first output stay.
    """
    kept = tuple(items)
    calls: dict[str, int] = {}
    outputs: dict[str, int] = {}
    for place, item in enumerate(kept):
        call = _call_of(item)
        if call is not None and not is_output(item):
            calls.setdefault(call, place)
        elif call in calls:
            outputs.setdefault(call, place)
    whole = {place for call, output in outputs.items() for place in (calls[call], output)}
    return tuple(item for place, item in enumerate(kept) if place in whole or _call_of(item) is None)


def _call_of(item: Item) -> str | None:
    """The kind and id of the call that an item is one half of."""
    kind = str(item.get("type")).removesuffix("_output")
    return f"{kind} {item.get('call_id')}" if kind in _ANSWERED else None


def _with_short_output(item: Item) -> Item:
    output = item.get("output")
    if not is_output(item) or not isinstance(output, str | list):
        return item
    short = cut(output, EARLIER_OUTPUT_CHARS) if isinstance(output, str) else [_short_part(part) for part in output]
    return item if short == output else {**item, "output": short}


def _short_part(part: object) -> object:
    if isinstance(part, dict) and isinstance(part.get("text"), str):
        return {**part, "text": cut(part["text"], EARLIER_OUTPUT_CHARS)}
    return part
