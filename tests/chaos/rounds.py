"""One round: turns of one web process are brought to every point of their way, and then something is killed."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from django.db import connection

from chat.models import Turn
from core.bridge import in_database
from core.heartbeat import ALIVE
from core.models import Process
from tests import factories
from tests.chaos.browser import PHONE, Browser, browser
from tests.chaos.evidence import Point, owner_pid, turn_row, where_it_is
from tests.chaos.holds import Holds
from tests.chaos.servers import Absence
from tests.chaos.stage import Asked, Stage
from tests.chaos.tally import LEASE, TAKEOVER, Tally
from tests.chaos.tools import LOOK, STAMP, TOOLS, Workshop
from tests.chaos.verdict import judge
from tests.chaos.webs import Web


def _scripts(hold: str, seconds: float) -> dict[str, Mapping[str, Any]]:
    """Answers that are held until everything else has come to its point, and then go on for so many seconds."""
    slow = {"delay": seconds / 70, "hold": hold, "held_after": 10}
    # where the process lives on it is cut off, and asks again
    silent = {"fault": "drop", "at_headers": True, "hold": hold}
    return {Point.NO_EVENT: silent, Point.MID_TEXT: slow, "ahead": slow}


# Which tool the model calls; what must not be run twice is what matters most.
TOOLS_AT: Mapping[str, str] = {
    Point.IN_TOOL: STAMP.name,
    Point.IN_REPEATABLE_TOOL: LOOK.name,
    Point.TOOL_DONE: STAMP.name,
    Point.TOOL_STORED: STAMP.name,
}
POINTS = (
    Point.BEFORE_THE_ACK,
    Point.NOT_QUEUED,
    Point.QUEUED,
    Point.NO_EVENT,
    Point.MID_TEXT,
    *TOOLS_AT,
    Point.NOT_COMMITTED,
    Point.NOT_PUSHED,
)
# More than eight calls of one process wait for locks in a round.
ENVIRONMENT = {"DATABASE_THREADS": "16", "DATABASE_POOL_SIZE": "24", "TOOLS": TOOLS}
RUNNING = frozenset(POINTS) - {Point.BEFORE_THE_ACK, Point.NOT_QUEUED, Point.QUEUED, Point.NOT_PUSHED}

# Read by every showing of a turn, but neither when a turn is stored nor when it is ended.
_READ_BY_PAGES = "chat_attachment"
_AGES = "SELECT id, extract(epoch FROM clock_timestamp() - seen_at)::float FROM core_process WHERE pid = %s"
# Rounds beyond those wanted: on a busy machine a turn may have left its point too early.
SPARE = 5
# Seconds for all turns to come to their points.
_PATIENCE = 50


@dataclass(slots=True)
class Scene:
    """Turns of the web process `victim` at their points, and the tabs that watch them. Use as `scene(…)` gives it."""

    stage: Stage
    holds: Holds
    victim: Web
    writer: Browser
    phone: Browser
    # a socket answers one message after the other, so those that are held have tabs of their own
    held: Sequence[Browser]
    # what the upstream's slow answers wait for
    hold: str
    asked: dict[str, Asked] = field(default_factory=dict)

    async def bring(self) -> None:
        """Bring a turn to each point. Where one does not come there in time, `look` will tell."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE):
                await self._bring_running()
                await self._bring_calling()
                await self._bring_ending()
                await self._bring_new()

    async def _bring_running(self) -> None:
        for point in (Point.NO_EVENT, Point.MID_TEXT, "ahead", Point.NOT_COMMITTED, Point.NOT_PUSHED):
            asked = await self._ask(point, self.writer)
            asked.turn = await self.writer.stored(asked.client_id)
            if point in (Point.NOT_COMMITTED, Point.NOT_PUSHED):
                # its next write needs the row
                await self._until(partial(self._is_asked, asked))
                await self.holds.row(point, table="chat_turn", row=asked.turn)
            await self.phone.watch(asked.conversation, asked.turn)
        queued = await self._ask(Point.QUEUED, self.writer, self.asked["ahead"])
        queued.turn = await self.writer.stored(queued.client_id)

    async def _bring_calling(self) -> None:
        for point in TOOLS_AT:
            asked = await self._ask(point, self.writer)
            self.workshop.hold(asked.text)
            asked.turn = await self.writer.stored(asked.client_id)
            await self.phone.watch(asked.conversation, asked.turn)
        for point in TOOLS_AT:
            await self._until(partial(self.workshop.is_running, self.asked[point].text))
        done = self.asked[Point.TOOL_DONE]
        await self.holds.row(Point.TOOL_DONE, table="chat_turn", row=done.turn)
        self.workshop.release(done.text)
        await self.holds.inserts("requests", table="chat_sentrequest")
        self.workshop.release(self.asked[Point.TOOL_STORED].text)
        await self._until_it_is(Point.TOOL_STORED)

    async def _bring_ending(self) -> None:
        await self._until_waiting("chat_turn", 3)
        await self._until_waiting("chat_sentrequest", 1)
        await self.holds.table("pages", table=_READ_BY_PAGES)
        await self.holds.release(Point.NOT_PUSHED)
        await self._until_it_is(Point.NOT_PUSHED)
        await self._until_waiting(_READ_BY_PAGES, 1)

    async def _bring_new(self) -> None:
        await self._ask(Point.NOT_QUEUED, self.held[0])
        await self._until_it_is(Point.NOT_QUEUED)
        known = await in_database(factories.conversation, self.stage.person, self.stage.assistant)
        await self.holds.row(Point.BEFORE_THE_ACK, table="chat_conversation", row=known.id)
        self.asked[Point.BEFORE_THE_ACK] = await self.stage.ask(self.held[1], Point.BEFORE_THE_ACK, known.id)
        await self._until_waiting("chat_conversation", 1)
        for point in (Point.NO_EVENT, Point.MID_TEXT, *TOOLS_AT):
            await self._until_it_is(point)

    def _is_asked(self, asked: Asked) -> bool:
        return self.stage.deltas(asked.text) >= 0

    async def _ask(self, point: str, tab: Browser, behind: Asked | None = None) -> Asked:
        asked = await self.stage.ask(tab, point, behind.conversation if behind else None)
        self.asked[point] = asked
        return asked

    @property
    def workshop(self) -> Workshop:
        assert self.stage.workshop is not None, "the stage has no tools"
        return self.stage.workshop

    async def _until_it_is(self, point: str) -> None:
        while await in_database(where_it_is, self.stage, self.asked[point]) != point:
            await asyncio.sleep(0.01)

    async def _until_waiting(self, what: str, count: int) -> None:
        """Until so many statements of the process about `what` wait for locks."""
        while sum(what in query for query in await self.holds.waiting(self.victim.application)) < count:
            await asyncio.sleep(0.01)

    async def _until(self, reached: Callable[[], bool]) -> None:
        while not reached():
            await asyncio.sleep(0.01)

    async def look(self, tally: Tally) -> None:
        """Stop the process and count where its turns are. It stays stopped."""
        self.victim.freeze()
        await asyncio.sleep(0.05)  # for what is on its way to the tabs
        waiting = await self.holds.waiting(self.victim.application)
        for point in POINTS:
            asked = self.asked.get(point)
            where = await in_database(where_it_is, self.stage, asked, waiting) if asked else "not asked"
            if asked and where in RUNNING and await in_database(owner_pid, asked.turn) != self.victim.pid:
                where = "run by another process"
            tally.landed(point, where)

    async def kill(self, tally: Tally, *, alone: bool) -> "asyncio.Task[None]":
        """Kill the process where it stands and start it again; returns what notes the takeovers.

        `alone` says that nobody can take its turns over before it is back.
        """
        leases = await in_database(_leases, self.victim.pid)
        killed = time.monotonic()
        self.victim.kill()
        await self.release()
        self.victim.begin()
        points = {asked.client_id: point for point, asked in self.asked.items() if point in POINTS}
        wanted = {points[lease.client_id]: lease for lease in leases if lease.client_id in points}
        heir = self.victim.pid if alone else None
        return asyncio.create_task(_note_takeovers(tally, wanted, killed, heir))

    async def release(self) -> None:
        await self.holds.release_all()
        self.workshop.release_all()
        self.stage.upstream.let_go(self.hold)

    async def judge(self, tally: Tally, port: int) -> None:
        tally.blame(await judge(self.stage, list(self.asked.values()), port=port, watchers=[self.phone]))


@asynccontextmanager
async def scene(
    stage: Stage, url: str, victim: Web, others: Sequence[Web] = (), *, slow: float = 6
) -> AsyncIterator[Scene]:
    """Open the tabs of a round. A phone looks at another process, where there is one. Slow answers take `slow` s more
    when they are let go of."""
    hold = f"round {uuid.uuid4().hex}"
    stage.scripts, stage.tools = _scripts(hold, slow), TOOLS_AT
    ports = [victim.port, *(web.port for web in others)]
    holds = Holds(url)
    async with AsyncExitStack() as tabs:
        tabs.callback(stage.upstream.let_go, hold)
        tabs.push_async_callback(holds.release_all)
        writer = await tabs.enter_async_context(browser(ports, stage.session))
        phone = await tabs.enter_async_context(browser(ports[::-1], stage.session, user_agent=PHONE))
        held = [await tabs.enter_async_context(browser(ports, stage.session)) for _ in range(2)]
        yield Scene(stage, holds, victim, writer, phone, held, hold)


@dataclass(frozen=True, slots=True)
class _Lease:
    """A turn that a process runs, and the seconds until that process counts as dead."""

    turn: str
    client_id: str
    epoch: int
    left: float


def _leases(pid: int) -> list[_Lease]:
    with connection.cursor() as cursor:
        cursor.execute(_AGES, [pid])
        ages: dict[uuid.UUID, float] = dict(cursor.fetchall())
    turns = Turn.objects.filter(owner__in=ages, status=Turn.Status.IN_PROGRESS)
    return [
        _Lease(str(turn.id), str(turn.client_id), turn.epoch, ALIVE.total_seconds() - ages[turn.owner])
        for turn in turns
        if turn.owner
    ]


async def _note_takeovers(tally: Tally, leases: Mapping[str, _Lease], killed: float, heir: int | None) -> None:
    """Note, by point, the seconds from a lease's end until the turn has a new owner.

    Where only the process `heir` can have it, they count from its first heartbeat if that is later.
    """
    waiting, there = dict(leases), killed
    while waiting and time.monotonic() - there < LEASE + 2 * TAKEOVER:
        if heir is not None and not await in_database(Process.objects.filter(pid=heir).exists):
            there = time.monotonic()
        for point, lease in tuple(waiting.items()):
            if (await in_database(turn_row, lease.turn)).epoch > lease.epoch:
                tally.line(point).takeovers.append(max(0.0, time.monotonic() - max(there, killed + lease.left)))
                del waiting[point]
        await asyncio.sleep(0.05)
    for point in waiting:
        tally.line(point).takeovers.append(LEASE + 2 * TAKEOVER)


async def kill_web(stage: Stage, url: str, tally: Tally, victim: Web, others: Sequence[Web] = ()) -> None:
    """One round of `kill -9` of a web process with turns at every point; with `others` they go on, else it again."""
    async with scene(stage, url, victim, others) as play:
        await play.bring()
        await play.look(tally)
        noted = await play.kill(tally, alone=not others)
        await victim.answers()
        await play.judge(tally, victim.port)
        await noted


async def kill_server(stage: Stage, url: str, tally: Tally, victim: Web, absence: Absence) -> None:
    """One round of `kill -9` of a server under the turns of `victim` at every point."""
    async with scene(stage, url, victim) as play:
        await play.bring()
        await play.look(tally)
        async with absence():
            await play.release()
            victim.thaw()
        await play.judge(tally, victim.port)


async def until_all_landed(tally: Tally, times: int, play: Callable[[int], Awaitable[None]]) -> None:
    """Play rounds until each point was hit so often, or so many were played that something must be wrong."""
    for number in range(times + SPARE):
        await play(number)
        if tally.has_landed(POINTS, times):
            return
