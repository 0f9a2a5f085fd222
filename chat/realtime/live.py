"""A running turn as this process knows it, whether it runs here or is read from the log."""

import uuid
from collections.abc import Callable

from chat import events

Listener = Callable[[int, events.TurnEvent], None]


class LiveTurn:
    """Everything a watcher needs to begin: text so far, state, passages, running calls; and the listeners for what
    follows.

    `number` counts the events of this epoch. Belongs to the event loop; listeners are called at once and must not
    block or raise.
    """

    def __init__(self, turn: uuid.UUID, epoch: int) -> None:
        self.turn = turn
        self.epoch = epoch
        self.number = 0
        self.state = events.StateChanged("in_progress", "")
        self.passages: tuple[dict[str, object], ...] = ()
        self.ended: events.Ended | None = None
        self.calls: dict[str, events.CallStarted] = {}
        self._text: list[str] = []
        self._listeners: list[Listener] = []

    @property
    def text(self) -> str:
        """The answer so far."""
        if len(self._text) > 1:
            self._text = ["".join(self._text)]
        return self._text[0] if self._text else ""

    def snapshot(self) -> list[events.TurnEvent]:
        """The events that bring a watcher who knows nothing to where this is."""
        # the state comes after the calls, which have one of their own
        found: list[events.TurnEvent] = [*self.calls.values(), self.state]
        if self.passages:
            found.append(events.PassagesFound(self.passages))
        found.append(events.TextReplaced(self.text))
        if self.ended:
            found.append(self.ended)
        return found

    def apply(self, event: events.TurnEvent, *, number: int | None = None) -> int:
        """Take an event in, tell the listeners, and return its number (the next one unless the log gave it)."""
        self.number = max(number, self.number) if number is not None else self.number + 1
        match event:
            case events.TextAdded(text):
                self._text.append(text)
            case events.TextReplaced(text):
                self._text = [text]
            case events.StateChanged():
                self.state = event
            case events.PassagesFound(passages):
                self.passages = passages
            case events.CallStarted():
                self.calls[event.call_id] = event
                self._tell_of_calls()
            case events.CallFinished():
                self.calls.pop(event.call_id, None)
                self._tell_of_calls()
            case events.Ended():
                self.ended = event
        for listener in tuple(self._listeners):
            listener(self.number, event)
        return self.number

    def _tell_of_calls(self) -> None:
        """The state while tools run says which; when none is left, the next state is about to come."""
        if self.calls:
            names = list(dict.fromkeys(call.name for call in self.calls.values()))
            self.state = events.StateChanged("in_progress", f"Running {', '.join(names)}…")

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Call `listener` for every event from now on; returns what ends that."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener) if listener in self._listeners else None

    @property
    def is_watched(self) -> bool:
        return bool(self._listeners)
