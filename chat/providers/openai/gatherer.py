"""Gathers the items of one stream from raw events, and says as stream events what each of them brought."""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, TypeAlias

from chat.providers.base import (
    ArgumentsDelta,
    ItemDone,
    ItemStarted,
    ReasoningDelta,
    RefusalDelta,
    StreamEvent,
    TextDelta,
)
from chat.providers.items import Item
from chat.providers.openai.fields import index_of, part_index_of, text_of
from chat.providers.openai.slots import Part, PartKind, Slot, Slots, ids_of, texts_of

Events: TypeAlias = list[StreamEvent]
Raw: TypeAlias = Mapping[str, Any]
Handler: TypeAlias = Callable[[Raw], Events]

_ITEM_OF_PART: Mapping[PartKind, str] = {
    "output_text": "message",
    "refusal": "message",
    "summary_text": "reasoning",
    "reasoning_text": "reasoning",
}
_PLACE = ("output_index", "content_index", "summary_index", "item_id")
_PARTS: tuple[tuple[str, str, PartKind, str], ...] = (
    ("response.output_text", "message", "output_text", "text"),
    ("response.refusal", "message", "refusal", "refusal"),
    ("response.reasoning_summary_text", "reasoning", "summary_text", "text"),
    ("response.reasoning_text", "reasoning", "reasoning_text", "text"),
    ("response.function_call_arguments", "function_call", "arguments", "arguments"),
    ("response.custom_tool_call_input", "custom_tool_call", "arguments", "input"),
    ("response.mcp_call_arguments", "mcp_call", "arguments", "arguments"),
    ("response.code_interpreter_call_code", "code_interpreter_call", "arguments", "code"),
)


class Gatherer:
    """Believes finished items over finished parts over deltas."""

    def __init__(self) -> None:
        self._slots = Slots()
        self._recent: tuple[object, Slot, Part] | None = None

    def handlers(self) -> dict[str, Handler]:
        """The event types that concern items, and what takes each."""
        table: dict[str, Handler] = {
            "response.output_item.added": self._on_added,
            "response.output_item.done": self._on_done,
            "response.content_part.done": self._on_part_done,
            "response.reasoning_summary_part.done": self._on_part_done,
            "response.reasoning_part.done": self._on_part_done,
            "response.output_text.annotation.added": self._on_annotation,
        }
        for name, item_type, kind, field in _PARTS:
            table[f"{name}.delta"] = partial(self._on_delta, item_type, kind)
            table[f"{name}.done"] = partial(self._on_whole, item_type, kind, field)
        return table

    def output(self, status: str) -> tuple[Item, ...]:
        """All items as far as they came; unfinished ones get `status`, those of which nothing came are left out."""
        items = (slot.rebuilt(status) for slot in self._slots)
        return tuple(item for item in items if item is not None)

    def settle(self, items: Iterable[Item]) -> Events:
        """Takes the final list of items: says what it tells beyond the stream."""
        events: Events = []
        waiting = list(self._slots)
        for item in items:
            ids = ids_of(item)
            same = [slot for slot in waiting if slot.type == item.get("type")]
            slot = next((slot for slot in same if slot.has_id(ids)), same[0] if same else None)
            if slot is not None:
                waiting.remove(slot)
            if slot is None or slot.done is None:
                events += self._settled(slot, item, None)
        return events

    def settle_unlisted(self, status: str) -> Events:
        """The end without a list: what is unfinished is final as it stands."""
        return [
            event
            for slot in list(self._slots)
            if slot.done is None and (item := slot.rebuilt(status)) is not None
            for event in self._settled(slot, item, slot.upstream_index)
        ]

    def _on_added(self, event: Raw) -> Events:
        item = event.get("item")
        if not isinstance(item, dict) or self._slots.known(item, index_of(event)) is not None:
            return []
        _, announcement = self._announce(item, index_of(event))
        return [announcement]

    def _announce(self, item: Item, upstream_index: int | None) -> tuple[Slot, ItemStarted]:
        self._recent = None
        slot = self._slots.open(item, upstream_index)
        return slot, ItemStarted(slot.index, item)

    def _on_delta(self, item_type: str, kind: PartKind, event: Raw) -> Events:
        delta = event.get("delta")
        if not isinstance(delta, str):
            return []
        place = event.get("summary_index" if kind == "summary_text" else "content_index")
        key = (kind, item_type, event.get("output_index"), event.get("item_id"), place)
        if self._recent is not None and self._recent[0] == key:
            _, slot, part = self._recent
            events: Events = []
        else:
            slot, events = self._slot_for(event, item_type, kind, None)
            part = slot.part(kind, part_index_of(event, kind))
            self._recent = (key, slot, part)
        if slot.done is None and part.final is None and (shown := part.add(delta)):
            events.append(_delta_event(slot, part, shown))
        return events

    def _on_whole(self, item_type: str, kind: PartKind, field: str, event: Raw, *, again: bool = False) -> Events:
        """`again`: the event may only repeat what another has already given as a whole."""
        whole = event.get(field)
        if not isinstance(whole, str) or self._is_late(event, item_type):
            return []
        slot, events = self._slot_for(event, item_type, kind, whole if again else None)
        part = slot.part(kind, part_index_of(event, kind))
        if rest := part.finish(whole):
            events.append(_delta_event(slot, part, rest))
        return events

    def _on_part_done(self, event: Raw) -> Events:
        part = event.get("part")
        if not isinstance(part, dict):
            return []
        for kind, item_type in _ITEM_OF_PART.items():
            if part.get("type") == kind:
                place = {name: event[name] for name in _PLACE if name in event}
                field = "refusal" if kind == "refusal" else "text"
                events = self._on_whole(item_type, kind, field, {**part, **place}, again=True)
                self._take_annotations(event, part)
                return events
        return []

    def _take_annotations(self, event: Raw, part: Raw) -> None:
        """Annotations that stand in the finished part, where none was told of by itself."""
        slot = self._slots.find("message", index_of(event), (event.get("item_id"),))
        listed = part.get("annotations")
        if slot is None or slot.done is not None or not isinstance(listed, list):
            return
        if listed:
            slot.annotations.setdefault(part_index_of(event, "output_text"), list(listed))

    def _on_annotation(self, event: Raw) -> Events:
        if self._is_late(event, "message"):
            return []
        slot, events = self._slot(event, "message")
        slot.annotations.setdefault(part_index_of(event, "output_text"), []).append(event.get("annotation"))
        return events

    def _is_late(self, event: Raw, item_type: str) -> bool:
        """Whether an event only repeats what a finished item already said."""
        index = index_of(event)
        if self._slots.find(item_type, index, (event.get("item_id"),)) is not None:
            return False
        return any(slot.type == item_type and slot.upstream_index == index for slot in self._slots)

    def _slot(self, event: Raw, item_type: str) -> tuple[Slot, Events]:
        """The item an event belongs to, and the announcement that the server left out, if it did."""
        slot = self._slots.find(item_type, index_of(event), (event.get("item_id"),))
        return (slot, []) if slot is not None else self._unannounced(event, item_type)

    def _slot_for(self, event: Raw, item_type: str, kind: PartKind, repeated: str | None) -> tuple[Slot, Events]:
        """The item whose part goes on with an event, or is given as a whole by it; `repeated` may be given already.

        An event that names no item we know, at a place that is whole already, begins the next item.
        """
        slot, events = self._slot(event, item_type)
        index = part_index_of(event, kind)
        if slot.has_id((event.get("item_id"),)) or not slot.is_past(kind, index):
            return slot, events
        same = slot.parts.get((kind, index))
        if repeated is not None and same is not None and same.final == repeated:
            return slot, events
        return self._unannounced(event, item_type)

    def _unannounced(self, event: Raw, item_type: str) -> tuple[Slot, Events]:
        item_id = event.get("item_id")
        item: Item = {"type": item_type, "status": "in_progress"}
        if isinstance(item_id, str):
            item["id"] = item_id
        if item_type == "message":
            item["role"] = "assistant"
        slot, announcement = self._announce(item, index_of(event))
        return slot, [announcement]

    def _on_done(self, event: Raw) -> Events:
        item = event.get("item")
        if not isinstance(item, dict):
            return []
        slot = self._slots.find(str(item.get("type") or ""), index_of(event), ids_of(item))
        return [] if slot is not None and slot.done is not None else self._settled(slot, item, index_of(event))

    def _settled(self, slot: Slot | None, item: Item, upstream_index: int | None) -> Events:
        """Makes an item final: announces it if nobody did, shows what no delta brought, and hands it out."""
        events: Events = []
        if slot is None:
            slot, announcement = self._announce(item, upstream_index)
            events.append(announcement)
        for kind, nth, text in texts_of(item):
            part = slot.nth_part(kind, nth)
            if rest := part.finish(text):
                events.append(_delta_event(slot, part, rest))
        self._recent = None
        slot.done = item
        events.append(ItemDone(slot.index, item))
        return events


def _delta_event(slot: Slot, part: Part, text: str) -> StreamEvent:
    if part.kind == "output_text":
        return TextDelta(slot.index, part.index, text)
    if part.kind == "refusal":
        return RefusalDelta(slot.index, part.index, text)
    if part.kind == "arguments":
        return ArgumentsDelta(slot.index, text_of(slot.item, "name") or "", text)
    return ReasoningDelta(text, part.kind == "summary_text", slot.index, part.index)
