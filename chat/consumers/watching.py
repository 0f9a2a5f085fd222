"""The conversations that one socket watches: which of their turns run, and what is sent of them.

Hints may be lost, so what is watched is compared with the rows when it is subscribed to, at every hint, and every few
seconds.
"""

import uuid
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any

from django.db.models import Q
from django.db.models.functions import Now

from chat.models import Turn
from chat.realtime.hub import hub
from chat.realtime.live import LiveTurn
from chat.rendering.frames import Screen, encode, screens
from chat.rendering.turns import turn_html
from core.bridge import in_database

Put = Callable[..., bool]


# How long a turn that ended is looked for: a few looks longer than a lost hint goes unnoticed.
NEWS = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class TurnState:
    """Where a turn is, as its row says."""

    id: uuid.UUID
    status: str
    epoch: int
    is_final: bool


def turn_states(conversation: uuid.UUID, also: set[uuid.UUID]) -> list[TurnState]:
    """Return the turns of a conversation that are not final, are new, or are named in `also`."""
    wanted = ~Q(status__in=Turn.FINAL) | Q(created_at__gt=Now() - NEWS) | Q(id__in=also)
    # asked at every hint: whole rows, with what was retrieved for them, would cost more than the question
    rows = Turn.objects.filter(wanted, conversation=conversation).order_by().values_list("id", "status", "epoch")
    return [TurnState(turn, status, epoch, status in Turn.FINAL) for turn, status, epoch in rows]


@dataclass(slots=True)
class _Watched:
    """A turn that the browser believes to be live."""

    forget: Callable[[], None]
    screen: Screen | None = None


@dataclass(slots=True, eq=False)
class ConversationWatch:
    """One subscribed conversation of one socket."""

    conversation: uuid.UUID
    put: Put
    ended: Callable[["ConversationWatch", uuid.UUID, str], None]
    _turns: dict[uuid.UUID, _Watched] = field(default_factory=dict)
    _seen: set[uuid.UUID] = field(default_factory=set)
    _done: set[uuid.UUID] = field(default_factory=set)
    _begun: bool = False
    _closed: bool = False

    async def sync(self, believed: Collection[uuid.UUID] = ()) -> None:
        """Bring what is watched to what the rows say.

        `believed` are turns that the browser still shows as live, for all we know wrongly: they may have ended while
        it was away. Those of other conversations are passed over. A turn that this socket was not told of is
        announced first; what had ended before it began to watch stands in the page that it came with.
        """
        begins, self._begun = not self._begun, True
        for state in await in_database(turn_states, self.conversation, {*self._turns, *believed}):
            announced = state.id not in self._seen and not (begins and state.is_final)
            self._seen.add(state.id)
            if announced:
                self.put(encode(await in_database(created_frame, state.id)))
            if state.is_final:
                await self.send_final(state.id, believed=announced or state.id in believed)
            else:
                self.watch(state.id, state.epoch, running=state.status == Turn.Status.IN_PROGRESS)

    def watch(self, turn: uuid.UUID, epoch: int, *, running: bool) -> None:
        """Follow a turn: at once where it runs (here or elsewhere), else as soon as it does."""
        if self._closed or turn in self._done:
            return  # the rows were read before it ended
        watched = self._turns.get(turn)
        self._seen.add(turn)
        if watched is None:
            watched = self._turns[turn] = _Watched(hub.when_running(turn, lambda live: self._attach(turn, live)))
        shown = watched.screen.live.epoch if watched.screen is not None else -1
        live = hub.local(turn)
        if running and epoch > shown and (live is None or live.epoch < epoch):
            live = hub.watch(turn, epoch)
        if live is not None and live.epoch > shown:
            self._attach(turn, live)

    def _attach(self, turn: uuid.UUID, live: LiveTurn) -> None:
        watched = self._turns.get(turn)
        if watched is None or (watched.screen is not None and watched.screen.live is live):
            return
        self._detach(watched)
        watched.screen = screens.of(live)
        watched.screen.attach(self, partial(self.put, turn=turn), lambda status: self.ended(self, turn, status))

    def _detach(self, watched: _Watched) -> None:
        screen, watched.screen = watched.screen, None
        if screen is not None:
            screen.detach(self)
            screens.release(screen)
            hub.release(screen.live)

    async def send_final(self, turn: uuid.UUID, *, believed: bool = False) -> None:
        """Send the turn as its rows have it and stop following it; once per turn, or where it is believed to be live.

        Where the rows cannot be read, or are not final, it is followed further.
        """
        frame = await in_database(final_frame, turn)
        if frame is None:
            return
        self._done.add(turn)
        watched = self._turns.pop(turn, None)
        if watched is not None:
            self._detach(watched)
            watched.forget()
        if watched is not None or believed:
            self.put(encode(frame))

    def snapshot(self, turn: uuid.UUID) -> str | None:
        watched = self._turns.get(turn)
        return watched.screen.snapshot() if watched is not None and watched.screen is not None else None

    def close(self) -> None:
        self._closed = True
        for watched in self._turns.values():
            self._detach(watched)
            watched.forget()
        self._turns.clear()


def final_frame(turn_id: uuid.UUID) -> dict[str, Any] | None:
    """Return the frame of a final turn, else None."""
    turn = Turn.objects.only("status").filter(id=turn_id, status__in=Turn.FINAL).first()
    if turn is None:
        return None
    return {"type": "turn.final", "turn": str(turn_id), "status": turn.status, "html": turn_html(turn_id)}


def created_frame(turn_id: uuid.UUID) -> dict[str, Any]:
    turn = Turn.objects.only("conversation", "client_id", "parent").get(id=turn_id)
    return {
        "type": "turn.created",
        "conversation": str(turn.conversation_id),
        "turn": str(turn_id),
        "client_id": str(turn.client_id),
        "parent": str(turn.parent_id) if turn.parent_id else None,
        "html": turn_html(turn_id),
    }
