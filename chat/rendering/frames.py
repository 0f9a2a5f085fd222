"""The frames of a running turn, made once per process for all sockets that watch it.

Text is joined over an interval that grows with the open block (`blocks.interval_ms`); the first piece goes out at once.
"""

import asyncio
import time
import uuid
from collections.abc import Callable, Mapping
from itertools import count

import orjson
from django.urls import reverse

from chat import events
from chat.realtime.live import LiveTurn
from chat.rendering.blocks import BlockRenderer, interval_ms
from chat.rendering.protocol import Frame, Patch, Place, TurnText
from chat.rendering.shapes import CitationView
from chat.turns.item_rows import citation_id

Sink = Callable[[str], object]
"""Takes an encoded frame; must not block or raise."""


_handles = count(1)


def encode(frame: Frame | TurnText) -> str:
    return orjson.dumps(frame if isinstance(frame, dict) else tuple(frame)).decode()


class Screen:
    """What viewers in this process see of one running turn. `on_end` is called once with the final status."""

    def __init__(self, live: LiveTurn) -> None:
        self.live = live
        self._handle = next(_handles)
        self._sinks: dict[object, tuple[Sink, Callable[[str], None]]] = {}
        self._renderer = BlockRenderer(_sources(live))
        self._renderer.set_text(live.text)
        self._renderer.render()
        self._timer: asyncio.TimerHandle | None = None
        self._last = 0.0
        self._unlisten = live.listen(self._take)

    @property
    def is_watched(self) -> bool:
        return bool(self._sinks)

    def attach(self, viewer: object, sink: Sink, on_end: Callable[[str], None]) -> None:
        """Send `sink` a snapshot now and every frame from now on."""
        snapshot = self.snapshot()
        self._sinks[viewer] = (sink, on_end)
        sink(snapshot)
        sink(self._state())
        if self.live.ended is not None:
            on_end(self.live.ended.status)

    def detach(self, viewer: object) -> None:
        self._sinks.pop(viewer, None)
        if not self._sinks:
            self._unlisten()
            if self._timer is not None:
                self._timer.cancel()

    def snapshot(self) -> str:
        """The answer so far, for a viewer who begins or fell behind.

        The others first get what it holds beyond their last frame: sent later, that would come to this viewer under
        the snapshot's own number, and be dropped.
        """
        self._flush()
        blocks = self._renderer.snapshot()
        return encode({"type": "turn.snapshot", **self._place(), "handle": self._handle, "blocks": blocks})

    def _place(self) -> Place:
        return {"turn": str(self.live.turn), "epoch": self.live.epoch, "number": self.live.number}

    def _state(self) -> str:
        state = self.live.state
        return encode({"type": "turn.state", **self._place(), "status": state.status, "label": state.label})

    def _broadcast(self, frame: str) -> None:
        for sink, _ in tuple(self._sinks.values()):
            sink(frame)

    def _take(self, _number: int, event: events.TurnEvent) -> None:
        match event:
            case events.TextAdded(text):
                self._renderer.feed(text)
                self._schedule()
            case events.TextReplaced(text):
                self._renderer.set_text(text)
                self._renderer.render()
                self._broadcast(self.snapshot())
            case events.PassagesFound():
                text = self.live.text
                self._renderer = BlockRenderer(_sources(self.live))
                self._renderer.set_text(text)
            case events.StateChanged() | events.CallStarted() | events.CallFinished():
                self._broadcast(self._state())
            case events.Ended(status):
                self._flush(complete=True)
                for _, on_end in tuple(self._sinks.values()):
                    on_end(status)

    def _schedule(self) -> None:
        if self._timer is not None:
            return
        waits = self._last + interval_ms(self._renderer.open_length) / 1000 - time.monotonic()
        if waits <= 0:
            self._flush()
        else:
            self._timer = asyncio.get_running_loop().call_later(waits, self._flush)

    def _flush(self, *, complete: bool = False) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        update = self._renderer.render(complete=complete)
        # before there is anything to see, what comes next is not to wait
        if update or self._renderer.snapshot():
            self._last = time.monotonic()
        if not update:
            return
        if update.growth is not None:
            self._broadcast(encode(TurnText(self._handle, self.live.number, update.growth.end, update.growth.html)))
            return
        blocks: list[Patch] = [{"keep": patch.keep, "html": patch.html} for patch in update.blocks]
        self._broadcast(encode({"type": "turn.blocks", **self._place(), "first": update.first, "blocks": blocks}))


def _sources(live: LiveTurn) -> list[CitationView]:
    """The chips of passages that the answer may cite. Their ids are known before the citations are stored."""
    return [
        CitationView(
            id=(identity := _identity(live, passage)),
            number=int(str(passage["number"])),
            document=str(passage["name"]),
            page=passage["page"] if isinstance(passage["page"], int) else None,
            quote="",
            url=reverse("chat:citation", args=[identity]),
        )
        for passage in live.passages
    ]


def _identity(live: LiveTurn, passage: Mapping[str, object]) -> uuid.UUID:
    stored = passage.get("citation")
    return uuid.UUID(str(stored)) if stored else citation_id(live.turn, int(str(passage["number"])))


class Screens:
    """The screens of this process, one per watched turn and epoch."""

    def __init__(self) -> None:
        self._screens: dict[tuple[uuid.UUID, int], Screen] = {}

    def of(self, live: LiveTurn) -> Screen:
        """Return the screen of this running turn."""
        key = (live.turn, live.epoch)
        screen = self._screens.get(key)
        if screen is None or screen.live is not live:
            screen = self._screens[key] = Screen(live)
        return screen

    def release(self, screen: Screen) -> None:
        """Forget a screen that nobody watches any more."""
        if not screen.is_watched:
            self._screens.pop((screen.live.turn, screen.live.epoch), None)


screens = Screens()
