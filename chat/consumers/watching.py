"""The conversations that one socket watches: which of their turns run, and what is sent of them.

Hints may be lost, so what is watched is compared with the rows when it is subscribed to, at a hint that tells something
new, and every few seconds.
"""

import asyncio
import uuid
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial

from chat.consumers.shared import SharedRead
from chat.models import Conversation, Item, Turn
from chat.realtime.hub import LOST, hub
from chat.realtime.live import LiveTurn
from chat.rendering.frames import Screen, encode, screens
from chat.rendering.protocol import TurnCreated, TurnFinal, TurnWithdrawn
from chat.rendering.turns import html_of
from chat.selectors.shown import shown_turns
from core import statements
from core.bridge import in_database

Put = Callable[..., bool]


# How long a turn that ended is looked for: a few looks longer than a lost hint goes unnoticed.
NEWS = timedelta(seconds=30)

_STATES = """
SELECT id, status, epoch, status = ANY(%(final)s)
FROM chat_turn
WHERE
    conversation_id = %(conversation)s
    AND (
        status <> ALL(%(final)s)
        OR (created_at > now() - %(news)s AND withdrawn_at IS NULL)
        OR id = ANY(%(also)s)
    )
"""


@dataclass(frozen=True, slots=True)
class TurnState:
    """Where a turn is, as its row says."""

    id: uuid.UUID
    status: str
    epoch: int
    is_final: bool


def turn_states(conversation: uuid.UUID, also: set[uuid.UUID]) -> list[TurnState]:
    """Return the turns of a conversation that are not final, are new, or are named in `also`.

    A message that was withdrawn is news to those only who know of it.
    """
    values = {"conversation": conversation, "also": list(also), "final": list(Turn.FINAL), "news": NEWS}
    return [TurnState(*row) for row in statements.rows(_STATES, values)]


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
    # two comparisons at once would take what the other is just telling for told
    _comparing: asyncio.Lock = field(default_factory=asyncio.Lock)
    _closed: bool = False

    async def sync(self, believed: Collection[uuid.UUID] = ()) -> None:
        """Bring what is watched to what the rows say.

        `believed` are turns that the browser still shows as live, for all we know wrongly: they may have ended while
        it was away. Those of other conversations are passed over. A turn that this socket was not told of is
        announced first; what had ended before it began to watch stands in the page that it came with.
        """
        async with self._comparing:
            await self._compare(believed)

    async def _compare(self, believed: Collection[uuid.UUID]) -> None:
        begins, self._begun = not self._begun, True
        for state in await in_database(turn_states, self.conversation, {*self._turns, *believed}):
            announced = state.id not in self._seen and not (begins and state.is_final)
            self._seen.add(state.id)
            if announced:
                self.put(encode(await in_database(created_frame, state.id)))
            if not state.is_final:
                self.watch(state.id, state.epoch, running=state.status == Turn.Status.IN_PROGRESS)
            elif announced or state.id in believed or state.id in self._turns:
                await self.send_final(state.id, believed=announced or state.id in believed)
            else:
                self._done.add(state.id)

    async def hear(self, turn: uuid.UUID, epoch: int, what: str) -> None:
        """Follow a hint, unless it tells what is known: a turn of this process tells of itself."""
        if not self._knows(turn, epoch, what):
            await self.sync()

    def _knows(self, turn: uuid.UUID, epoch: int, what: str) -> bool:
        watched = self._turns.get(turn)
        live = watched.screen.live if watched is not None and watched.screen is not None else None
        match what:
            case "created":
                return turn in self._seen
            case "running":
                return turn in self._done or (live is not None and live.epoch >= epoch)
            case "ended":
                return turn in self._done or (live is not None and live.ended is not None and live.ended.status != LOST)
        return False

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
        frame = await _final(turn)
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


def final_frame(turn_id: uuid.UUID) -> TurnFinal | TurnWithdrawn | None:
    """Return the frame of a final turn, else None."""
    turn = next(iter(shown_turns([turn_id])), None)
    if turn is None or not turn.is_final:
        return None
    if turn.withdrawn_at is not None:
        return withdrawn_frame(Turn.objects.only("conversation").get(id=turn_id))
    return {"type": "turn.final", "turn": str(turn_id), "status": turn.status, "html": html_of(turn)}


def withdrawn_frame(turn: Turn) -> TurnWithdrawn:
    active = Conversation.objects.values_list("active_turn", flat=True).get(id=turn.conversation_id)
    own = Item.objects.filter(turn=turn, answered_by=turn)
    return {
        "type": "turn.withdrawn",
        "conversation": str(turn.conversation_id),
        "turn": str(turn.id),
        "active": str(active) if active else None,
        "text": own.values_list("text", flat=True).first(),
    }


def created_frame(turn_id: uuid.UUID) -> TurnCreated:
    turn = shown_turns([turn_id])[0]
    return {
        "type": "turn.created",
        "conversation": str(turn.conversation_id),
        "turn": str(turn_id),
        "client_id": str(turn.client_id),
        "parent": str(turn.parent_id) if turn.parent_id else None,
        "html": html_of(turn),
    }


# every socket that shows a turn asks for its end in the same moment
_final = SharedRead(final_frame)
