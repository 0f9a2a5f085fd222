"""The items of a running stream: finding the one that an event means, and rebuilding it from its pieces.

Servers disagree about what identifies an item. OpenAI gives an `output_index`; llama.cpp gives neither index nor
item id; Copilot changes the id with every event; LiteLLM gives several items the same index and announces none. So
an event finds its item by index among items of its kind, then by id, then as the last open one of its kind.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from chat.providers.items import Item
from chat.providers.openai.sse import mend

PartKind: TypeAlias = Literal["output_text", "refusal", "summary_text", "reasoning_text", "arguments"]

_PART_KINDS: tuple[PartKind, ...] = ("output_text", "refusal", "summary_text", "reasoning_text")
_OF_MESSAGES = {"output_text", "refusal"}
_TEXT_FIELD = {"refusal": "refusal"}
_ARGUMENT_FIELDS = {
    "function_call": "arguments",
    "mcp_call": "arguments",
    "custom_tool_call": "input",
    "code_interpreter_call": "code",
}


@dataclass(slots=True)
class Part:
    """A piece of text within an item. `final` is what the server gave as the whole, if it did."""

    kind: PartKind
    index: int
    pieces: list[str] = field(default_factory=list)
    final: str | None = None
    half: str = ""

    @property
    def streamed(self) -> str:
        return "".join(self.pieces)

    @property
    def text(self) -> str:
        return self.streamed if self.final is None else self.final

    def add(self, delta: str) -> str:
        """Takes a delta and returns what of it can be shown: half a surrogate pair waits for its other half."""
        if not self.half and delta.isascii():
            self.pieces.append(delta)
            return delta
        if self.half:
            delta, self.half = self.half + delta, ""
        if delta and "\ud800" <= delta[-1] <= "\udbff":
            delta, self.half = delta[:-1], delta[-1]
        try:
            delta.encode()
        except UnicodeEncodeError:
            delta = mend(delta)
        if delta:
            self.pieces.append(delta)
        return delta

    def finish(self, whole: str) -> str:
        """Takes the whole text and returns what of it no delta brought; "" where it does not continue the deltas."""
        self.final = whole
        self.half = ""
        streamed = self.streamed
        if len(whole) <= len(streamed) or not whole.startswith(streamed):
            return ""
        rest = whole[len(streamed) :]
        self.pieces.append(rest)
        return rest


@dataclass(slots=True)
class Slot:
    """An item that was announced, or that a delta showed to exist."""

    index: int
    upstream_index: int | None
    item: Item
    done: Item | None = None
    parts: dict[tuple[PartKind, int], Part] = field(default_factory=dict)
    annotations: dict[int, list[Any]] = field(default_factory=dict)

    @property
    def type(self) -> str:
        return str(self.item.get("type") or "")

    def has_id(self, ids: tuple[object, ...]) -> bool:
        own = (*ids_of(self.item), *(ids_of(self.done) if self.done else ()))
        return any(value is not None and value in own for value in ids)

    def part(self, kind: PartKind, index: int) -> Part:
        key = (kind, index)
        part = self.parts.get(key)
        if part is None:
            part = self.parts[key] = Part(kind, index)
        return part

    def is_past(self, kind: PartKind, index: int) -> bool:
        """Whether the server has already given the whole of the part at this place, or of one behind it."""
        return any(
            part.final is not None and part.index >= index
            for part in self.parts.values()
            if part.kind == kind or {part.kind, kind} == _OF_MESSAGES
        )

    def nth_part(self, kind: PartKind, nth: int) -> Part:
        """The part at a place within a finished item, whatever number its deltas gave it (some count from 1)."""
        known = sorted(part.index for part in self.parts.values() if part.kind == kind)
        return self.part(kind, known[nth] if nth < len(known) else max(nth, known[-1] + 1 if known else 0))

    def rebuilt(self, status: str) -> Item | None:
        """The item as far as it is known; None where it was announced and nothing of it came."""
        if self.done is not None:
            return self.done
        parts = [part for _, part in sorted(self.parts.items(), key=lambda entry: entry[0][1]) if part.text]
        if not parts:
            return None
        item = {**self.item, "status": status}
        if self.type == "reasoning":
            item["summary"] = [_content(part) for part in parts if part.kind == "summary_text"]
            if thoughts := [_content(part) for part in parts if part.kind == "reasoning_text"]:
                item["content"] = thoughts
        elif self.type in _ARGUMENT_FIELDS:
            item[_ARGUMENT_FIELDS[self.type]] = parts[0].text
        else:
            item["content"] = [{**_content(part), **self._annotated(part)} for part in parts]
        return item

    def _annotated(self, part: Part) -> Item:
        return {"annotations": list(self.annotations.get(part.index, ()))} if part.kind == "output_text" else {}


def _content(part: Part) -> Item:
    return {"type": part.kind, _TEXT_FIELD.get(part.kind, "text"): part.text}


class Slots:
    """All items of a stream, in the order in which they appeared."""

    def __init__(self) -> None:
        self._slots: list[Slot] = []

    def __iter__(self) -> Iterator[Slot]:
        return iter(self._slots)

    @property
    def last(self) -> Slot:
        return self._slots[-1]

    def open(self, item: Item, upstream_index: int | None) -> Slot:
        """Adds an item, under the server's index if no other has it."""
        taken = {slot.index for slot in self._slots}
        index = upstream_index
        if index is None or index in taken:
            index = max(taken, default=-1) + 1
        slot = Slot(index=index, upstream_index=upstream_index, item=item)
        self._slots.append(slot)
        return slot

    def known(self, item: Item, upstream_index: int | None) -> Slot | None:
        """The item of that very id, kind and index, where it is here already."""
        ids = ids_of(item)
        return next(
            (
                slot
                for slot in self._slots
                if slot.type == item.get("type") and slot.upstream_index == upstream_index and slot.has_id(ids)
            ),
            None,
        )

    def find(self, item_type: str, upstream_index: int | None, ids: tuple[object, ...]) -> Slot | None:
        """The item that an event means: of the index if one is given, then by id, then the last open one.

        None where nothing of that kind fits; a finished item is found by its id only.
        """
        fitting = [slot for slot in reversed(self._slots) if slot.type == item_type]
        if upstream_index is not None:
            at_index = [slot for slot in fitting if slot.upstream_index == upstream_index]
            fitting = at_index or [slot for slot in fitting if slot.has_id(ids)]
        identified = next((slot for slot in fitting if slot.has_id(ids)), None)
        return identified or next((slot for slot in fitting if slot.done is None), None)


def texts_of(item: Mapping[str, Any]) -> Iterator[tuple[PartKind, int, str]]:
    """The texts of a finished item: their kind, their place among those of the kind, and the text."""
    field_name = _ARGUMENT_FIELDS.get(str(item.get("type")))
    if field_name is not None and isinstance(item.get(field_name), str):
        yield "arguments", 0, item[field_name]
    if isinstance(item.get("content"), str) and item.get("type") == "message":
        yield "output_text", 0, item["content"]
    counts: dict[str, int] = {}
    for part in (*_list(item.get("summary")), *_list(item.get("content"))):
        kind = part.get("type") if isinstance(part, Mapping) else None
        if kind not in _PART_KINDS:
            continue
        nth = counts.get(kind, 0)
        counts[kind] = nth + 1
        text = part.get(_TEXT_FIELD.get(kind, "text"))
        if isinstance(text, str):
            yield kind, nth, text


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def ids_of(item: Mapping[str, Any]) -> tuple[object, ...]:
    return (item.get("id"), item.get("call_id"))
