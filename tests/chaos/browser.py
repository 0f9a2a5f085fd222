"""A browser tab over a real WebSocket: it comes back by itself, sends again what was not stored, keeps what it shows.

The rules are those of `static/js/lib/socket.js`, `delivery.js` and `parley-turn.js`. Behind a load balancer a tab
reaches another process when its own is gone; here it tries the next port.
"""

import asyncio
import json
import random
import re
import socket
import time
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

from django.conf import settings
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from tests import waiting
from tests.chat_client import Page
from tests.frames import TEXT, check_received, check_sent

_LIVE = re.compile(r"<parley-turn[^>]*\sdata-live\b")
_STATUS = re.compile(r'<parley-turn[^>]*\sdata-status="(?P<status>\w+)"')
FIRST_DELAY = 0.4
LONGEST_DELAY = 15.0
# Seconds until a person sends again what was refused for the moment.
PATIENCE = 1.0
DESKTOP = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0 Safari/537.36"
PHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148"


def narrow_socket(port: int) -> socket.socket:
    """The system keeps little for a tab that does not read, so that the server feels it."""
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
    # small segments keep the server's own buffer small too
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 536)
    try:
        made.connect(("127.0.0.1", port))
    except OSError:
        made.close()
        raise
    made.setblocking(False)
    return made


class Shown(Page):
    """What the tab shows, also across connections: a snapshot sets the cursor, older frames are dropped."""

    def __init__(self) -> None:
        super().__init__()
        self.created: dict[str, dict[str, Any]] = {}
        # when the text of a turn changed, on the monotonic clock
        self.changes: dict[str, list[float]] = {}

    def take(self, frame: dict[str, Any]) -> None:
        turn, epoch = frame.get("turn", ""), frame.get("epoch", 0)
        number = frame.get("number", 0)
        if frame["type"] == TEXT:
            turn, epoch = self.handles[frame["handle"]]
        known = self.cursor.get(turn, (-1, -1))
        if frame["type"] == "turn.created":
            self.created[frame["client_id"]] = frame
            if not _LIVE.search(frame["html"]) and turn not in self.blocks:
                # a turn that the page does not show yet is shown as it comes
                self.final[turn] = {**frame, "status": _STATUS.search(frame["html"])["status"]}  # type: ignore[index]
        elif frame["type"] == "turn.snapshot":
            if epoch < known[0]:
                return
            self.cursor[turn] = (epoch, number)
        elif frame["type"] in {"turn.blocks", TEXT} and (epoch != known[0] or number <= known[1]):
            return
        before = self.text(turn)
        super().take(frame)
        # a snapshot that tells nothing new is no sign of life
        if self.text(turn) not in {"", before}:
            self.changes.setdefault(turn, []).append(time.monotonic())

    def text(self, turn: str) -> str:
        return "".join(self.blocks.get(turn, []))


class Browser:
    """One tab. `frames` holds everything it got; `connections` counts how often it had to connect."""

    def __init__(self, ports: Sequence[int], session: str, user_agent: str) -> None:
        self.page = Shown()
        self.frames: list[dict[str, Any]] = []
        self.connections = 0
        self._ports = list(ports)
        self._session = session
        self._user_agent = user_agent
        self._socket: ClientConnection | None = None
        self._topics: set[str] = set()
        self._outbox: dict[str, dict[str, Any]] = {}
        self._news = asyncio.Condition()
        self._reads = asyncio.Event()
        self._reads.set()

    async def run(self) -> None:
        failures = 0
        while True:
            greeted = len(self.frames)
            with suppress(OSError, ConnectionClosed, InvalidHandshake, TimeoutError):
                await self._live()
            if any(frame["type"] == "hello" for frame in self.frames[greeted:]):
                failures = 0
            delay = min(LONGEST_DELAY, FIRST_DELAY * 2**failures) * (0.5 + random.random() / 2)  # noqa: S311 - nothing secret
            failures += 1
            self._ports.append(self._ports.pop(0))
            await asyncio.sleep(delay)

    async def _live(self) -> None:
        port = self._ports[0]
        headers = {"Cookie": f"{settings.SESSION_COOKIE_NAME}={self._session}"}
        async with connect(
            f"ws://127.0.0.1:{port}/ws/",
            origin=f"http://127.0.0.1:{port}",  # type: ignore[arg-type]
            additional_headers=headers,
            user_agent_header=self._user_agent,
            proxy=None,
            open_timeout=20,
            max_size=None,
            # nor does this side take frames that the tab does not read
            max_queue=1,
            sock=narrow_socket(port),
        ) as connection:
            self.connections += 1
            async for text in connection:
                frame = check_received(str(text))
                if frame["type"] == "hello":
                    self._socket = connection
                    await self._greet()
                await self._take(frame)
                await self._reads.wait()

    async def _greet(self) -> None:
        for topic in self._topics:
            await self._send({"type": "subscribe", "topic": topic, "live": self._live_turns()})
        for frame in tuple(self._outbox.values()):
            await self._send(frame)

    def _live_turns(self) -> list[str]:
        known = {frame["turn"] for frame in self.page.created.values()} | set(self.page.blocks)
        return sorted(known - set(self.page.final))

    async def _take(self, frame: dict[str, Any]) -> None:
        self.page.take(frame)
        if frame["type"] == "turn.created":
            self._outbox.pop(frame["client_id"], None)
        if frame["type"] == "error" and frame["retryable"] and (refused := self._outbox.get(frame["ref"] or "")):
            # the page says so, and the person presses "Try again"
            asyncio.get_running_loop().call_later(PATIENCE, lambda: asyncio.ensure_future(self._send(refused)))
        async with self._news:
            self.frames.append(frame)
            self._news.notify_all()

    async def _send(self, frame: dict[str, Any]) -> None:
        if self._socket is not None:
            text = json.dumps(frame, default=str)
            check_sent(text)
            with suppress(ConnectionClosed):
                await self._socket.send(text)

    async def until(self, reached: Callable[[], Any], seconds: float = waiting.PATIENCE) -> None:
        """Wait for frames until this holds."""
        async with asyncio.timeout(seconds), self._news:
            await self._news.wait_for(lambda: bool(reached()))

    async def open(self) -> None:
        await self.until(lambda: self._socket is not None)

    async def watch(self, conversation: uuid.UUID, turn: str) -> None:
        """Open the page of a conversation, which shows this turn as running."""
        self.page.blocks.setdefault(turn, [])
        topic = f"conversation:{conversation}"
        self._topics.add(topic)
        await self._send({"type": "subscribe", "topic": topic, "live": [turn]})

    async def post(self, text: str, conversation: uuid.UUID, assistant: uuid.UUID) -> str:
        """Send a message, now and after every reconnect until it is stored; return its client_id."""
        client_id = str(uuid.uuid4())
        await self.post_again(client_id, text, conversation, assistant)
        return client_id

    async def post_again(self, client_id: str, text: str, conversation: uuid.UUID, assistant: uuid.UUID) -> None:
        self._topics.add(f"conversation:{conversation}")
        self._outbox[client_id] = {
            "type": "turn.create",
            "conversation": conversation,
            "client_id": client_id,
            "assistant": assistant,
            "text": text,
            "ref": client_id,
        }
        await self._send(self._outbox[client_id])

    def pause(self) -> None:
        """Read nothing from the socket until `resume`."""
        self._reads.clear()

    def resume(self) -> None:
        self._reads.set()

    def acknowledged(self, client_id: str, since: int) -> bool:
        """Whether an acknowledgement is among the frames from `since` on."""
        return any(frame.get("client_id") == client_id for frame in self.frames[since:])

    async def stored(self, client_id: str, seconds: float = waiting.PATIENCE) -> str:
        """Wait for the acknowledgement and return the turn's id."""
        await self.until(lambda: client_id in self.page.created, seconds)
        return str(self.page.created[client_id]["turn"])

    async def shows(self, turn: str, changes: int = 1) -> None:
        """Wait until the text of a turn has changed so often, or the turn has ended before."""
        await self.until(lambda: len(self.page.changes.get(turn, [])) >= changes or turn in self.page.final)

    async def stop(self, turn: str) -> None:
        await self._send({"type": "turn.stop", "turn": turn})

    async def final(self, turn: str, seconds: float = waiting.PATIENCE) -> dict[str, Any]:
        await self.until(lambda: turn in self.page.final, seconds)
        return self.page.final[turn]


@asynccontextmanager
async def browser(ports: Sequence[int], session: str, *, user_agent: str = DESKTOP) -> AsyncIterator[Browser]:
    """A tab that begins at the first of these ports."""
    tab = Browser(ports, session, user_agent)
    running = asyncio.create_task(tab.run(), name="browser")
    try:
        await tab.open()
        yield tab
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
