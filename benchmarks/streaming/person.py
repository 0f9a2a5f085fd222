"""One person of the load: a session, a conversation, one or more tabs, and what they saw of each turn."""

import asyncio
import time
import uuid
from dataclasses import dataclass, field
from typing import Any

import orjson

from benchmarks.streaming.page import Shown, final_letters, named
from benchmarks.streaming.wire import WebSocket, connect


@dataclass(slots=True)
class Seen:
    """What one tab saw of a turn: `growth` holds (time, visible characters) whenever there was more to see."""

    growth: list[tuple[float, int]] = field(default_factory=list)
    status: str = ""
    live: str = ""
    final: str = ""


@dataclass(slots=True)
class TurnRecord:
    """A turn as the person who asked saw it, and as the other tabs did."""

    name: str
    sent: float
    tabs: list[Seen]
    error: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """What the driver is told. `timeout` is in seconds and for one turn; `tabs` is per person."""

    port: int
    upstream: int
    cookie: str
    sessions: list[str]
    assistant: str
    turns: int
    tabs: int
    deflate: bool
    spread: float
    timeout: float


class Tab:
    """One socket. What it shows of the turn that `watch` named is in `seen`."""

    def __init__(self) -> None:
        self.seen = Seen()
        self.ended = asyncio.Event()
        self._shown = Shown()
        self._arrived: dict[str, asyncio.Future[dict[str, Any]]] = {}
        self._failure: Exception | None = None
        self._turn = ""
        self._handles: dict[int, str] = {}

    async def open(self, plan: Plan, session: str) -> None:
        headers = {
            "Host": f"localhost:{plan.port}",
            "Origin": f"http://localhost:{plan.port}",
            "Cookie": f"{plan.cookie}={session}",
        }
        hello = self.expect("hello")
        async with asyncio.timeout(plan.timeout):
            self.socket: WebSocket = await connect(plan.port, "/ws/", headers, self._take, deflate=plan.deflate)
            await hello

    def expect(self, kind: str) -> "asyncio.Future[dict[str, Any]]":
        """The next frame of a type."""
        self._arrived[kind] = asyncio.get_running_loop().create_future()
        return self._arrived[kind]

    def begin(self) -> None:
        self.seen, self._shown, self._turn = Seen(), Shown(), ""
        self.ended.clear()

    def send(self, **frame: Any) -> None:
        self.socket.send(orjson.dumps(frame))

    async def end(self) -> None:
        """Wait for the end of the turn; raises what went wrong."""
        ended = asyncio.ensure_future(self.ended.wait())
        await asyncio.wait([ended, self.socket.closed], return_when=asyncio.FIRST_COMPLETED)
        ended.cancel()
        if self._failure is not None:
            raise self._failure
        if not self.ended.is_set():
            raise ConnectionError(self.socket.closed.result())

    def _take(self, now: float, payload: bytes) -> None:
        frame = named(orjson.loads(payload), self._handles)
        kind = frame["type"]
        if kind == "turn.snapshot":
            self._handles[frame["handle"]] = frame["turn"]
        if (arrived := self._arrived.pop(kind, None)) is not None:
            arrived.set_result(frame)
        if kind == "turn.created":
            self._turn = frame["turn"]
        elif kind == "error":
            self._failure = RuntimeError(f"{frame['code']}: {frame['message']}")
            self.ended.set()
        elif frame.get("turn") == self._turn:
            self._show(now, kind, frame)

    def _show(self, now: float, kind: str, frame: dict[str, Any]) -> None:
        if kind in {"turn.text", "turn.blocks", "turn.snapshot"}:
            try:
                self._shown.take(frame)
            except ValueError as error:
                self._failure = error
            length = self._shown.length
            if length > (self.seen.growth[-1][1] if self.seen.growth else 0):
                self.seen.growth.append((now, length))
        elif kind == "turn.final":
            self.seen.live, self.seen.final = self._shown.text, final_letters(frame["html"])
            self.seen.status = frame["status"]
            self.ended.set()


class Person:
    """Asks its turns one after another in one conversation."""

    def __init__(self, plan: Plan, number: int, *, name: str = "") -> None:
        self.records: list[TurnRecord] = []
        self._plan = plan
        self._number = number
        self._name = name or str(number)
        self._conversation = str(uuid.uuid4())
        self._tabs = [Tab() for _ in range(plan.tabs)]

    @property
    def bytes_received(self) -> int:
        """By the tab that asks."""
        return self._tabs[0].socket.bytes_received

    async def arrive(self) -> None:
        for tab in self._tabs:
            await tab.open(self._plan, self._plan.sessions[self._number])
            subscribed = tab.expect("subscribed")
            tab.send(type="subscribe", topic="feed")
            await subscribed

    async def ask(self) -> None:
        parent = None
        for turn in range(self._plan.turns):
            record = TurnRecord(f"{self._name}-{turn}", 0.0, [])
            self.records.append(record)
            try:
                parent = await asyncio.wait_for(self._turn(record, parent), self._plan.timeout)
            except (TimeoutError, OSError, RuntimeError, ValueError) as error:
                record.error = f"{type(error).__name__}: {error}"
                record.tabs = [tab.seen for tab in self._tabs]
                return

    async def _turn(self, record: TurnRecord, parent: str | None) -> str:
        asking = self._tabs[0]
        for tab in self._tabs:
            tab.begin()
        created = asking.expect("turn.created")
        record.sent = time.monotonic()
        asking.send(
            type="turn.create",
            conversation=self._conversation,
            client_id=str(uuid.uuid4()),
            assistant=self._plan.assistant,
            text=f"Please explain how this works, in a few paragraphs. turn:{record.name}",
            files=[],
            parent=parent,
        )
        await asyncio.wait([created, asking.socket.closed], return_when=asyncio.FIRST_COMPLETED)
        if parent is None:
            # the page watches a conversation as soon as it is stored
            for tab in self._tabs:
                tab.send(type="subscribe", topic=f"conversation:{self._conversation}")
        for tab in self._tabs:
            await tab.end()
        record.tabs = [tab.seen for tab in self._tabs]
        return str(created.result()["turn"])

    def leave(self) -> None:
        for tab in self._tabs:
            tab.socket.close()
