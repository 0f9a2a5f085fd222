"""A browser tab as tests see it: the real ASGI application, a signed-in session, frames in and out.

Each frame is held against `docs/schemas`, whichever way it goes.
`Page` does with frames what the page's script does, so that a test can compare what a person sees with what is stored.
"""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from asgiref.testing import ApplicationCommunicator
from channels.routing import get_default_application
from django.conf import settings

from chat.turns import process
from core.bridge import in_database
from core.models import User
from tests.factories import session_of
from tests.frames import TEXT, check_received, check_sent
from tests.waiting import PATIENCE

ORIGIN = b"http://localhost"


@asynccontextmanager
async def running_turns() -> AsyncIterator[None]:
    """A process that runs turns, as a web process does along its lifespan."""
    await process.start()
    try:
        yield
    finally:
        await process.stop()


class Page:
    """What one tab shows of turns: blocks of the streamed answer, then the final HTML."""

    def __init__(self) -> None:
        self.blocks: dict[str, list[str]] = {}
        self.cursor: dict[str, tuple[int, int]] = {}
        self.handles: dict[int, tuple[str, int]] = {}
        self.final: dict[str, dict[str, Any]] = {}
        self.labels: list[str] = []

    def take(self, frame: dict[str, Any]) -> None:
        turn = frame.get("turn", "")
        if frame["type"] == "turn.snapshot":
            self.handles[frame["handle"]] = (turn, frame["epoch"])
            self.blocks[turn] = list(frame["blocks"])
        elif frame["type"] == "turn.blocks":
            self._patch(turn, frame)
        elif frame["type"] == TEXT:
            self._grow(frame)
        elif frame["type"] == "turn.state":
            self.labels.append(frame["label"])
        elif frame["type"] == "turn.final":
            self.final[turn] = frame

    def _move(self, turn: str, epoch: int, number: int) -> None:
        assert (epoch, number) > self.cursor.get(turn, (0, 0)), "a frame came twice or out of order"
        self.cursor[turn] = (epoch, number)

    def _grow(self, frame: dict[str, Any]) -> None:
        turn, epoch = self.handles[frame["handle"]]
        self._move(turn, epoch, frame["number"])
        last = self.blocks[turn][-1].encode("utf-16-le")
        at = len(last) - 2 * frame["end"]
        self.blocks[turn][-1] = last[:at].decode("utf-16-le") + frame["html"] + last[at:].decode("utf-16-le")

    def _patch(self, turn: str, frame: dict[str, Any]) -> None:
        self._move(turn, frame["epoch"], frame["number"])
        blocks = self.blocks.setdefault(turn, [])
        for offset, patch in enumerate(frame["blocks"]):
            index = frame["first"] + offset
            old = blocks[index] if index < len(blocks) else ""
            kept = old.encode("utf-16-le")[: 2 * patch["keep"]].decode("utf-16-le")
            blocks[index : index + 1] = [kept + patch["html"]]
        del blocks[frame["first"] + len(frame["blocks"]) :]


class Tab:
    """One socket. `page` holds what it shows; every received frame goes there too."""

    def __init__(self, session: str, *, origin: bytes | None = ORIGIN, application: Any = None) -> None:
        cookie = f"{settings.SESSION_COOKIE_NAME}={session}".encode()
        headers = [(b"cookie", cookie), (b"host", b"localhost")]
        if origin is not None:
            headers.append((b"origin", origin))
        scope = {"type": "websocket", "path": "/ws/", "query_string": b"", "headers": headers, "subprotocols": []}
        self.socket = ApplicationCommunicator(application or get_default_application(), scope)
        self.page = Page()

    async def connect(self) -> bool:
        """Whether the server accepts the socket."""
        await self.socket.send_input({"type": "websocket.connect"})
        answer = await self.socket.receive_output(timeout=PATIENCE)
        return bool(answer["type"] == "websocket.accept")

    async def open(self) -> "Tab":
        assert await self.connect()
        await self.until("hello")
        return self

    async def close(self) -> None:
        await self.socket.send_input({"type": "websocket.disconnect", "code": 1000})
        await self.socket.wait(timeout=PATIENCE)

    async def send(self, **frame: Any) -> None:
        text = json.dumps(frame, default=str)
        check_sent(text)
        await self.send_text(text)

    async def send_text(self, text: str) -> None:
        """Send what may be no frame at all."""
        await self.socket.send_input({"type": "websocket.receive", "text": text})

    async def send_bytes(self, data: bytes) -> None:
        await self.socket.send_input({"type": "websocket.receive", "bytes": data})

    async def closes(self) -> int:
        """Return the code with which the server closes the socket; nothing else may come before."""
        message = await self.socket.receive_output(timeout=PATIENCE)
        assert message["type"] == "websocket.close", message
        return int(message["code"])

    async def closed(self) -> int:
        """Wait until the server closes the socket, and return its code."""
        async with asyncio.timeout(PATIENCE):
            while True:
                message = await self.socket.receive_output(timeout=PATIENCE)
                if message["type"] == "websocket.close":
                    return int(message["code"])

    async def receive(self) -> dict[str, Any]:
        message = await self.socket.receive_output(timeout=PATIENCE)
        assert message["type"] == "websocket.send", message
        frame = check_received(message["text"])
        self.page.take(frame)
        return frame

    async def until(
        self, kind: str, *, where: Callable[[dict[str, Any]], bool] = lambda _frame: True
    ) -> dict[str, Any]:
        """Receive until a frame of this type, and return it."""
        async with asyncio.timeout(PATIENCE):
            while True:
                frame = await self.receive()
                if frame["type"] == kind and where(frame):
                    return frame

    async def growing(self, turn: str = "") -> None:
        """Receive until a frame lets an answer grow: that of `turn`, or any."""
        async with asyncio.timeout(PATIENCE):
            while True:
                frame = await self.receive()
                if frame["type"] == TEXT:
                    grown, _epoch = self.page.handles[frame["handle"]]
                else:
                    grown = frame["turn"] if frame["type"] == "turn.blocks" else ""
                if grown and turn in {"", grown}:
                    return

    async def answers(self) -> list[dict[str, Any]]:
        """Return the frames that came since the last look; all that was sent before is handled then."""
        ref = uuid.uuid4().hex
        await self.send(type="ping", ref=ref)
        frames = []
        while not frames or frames[-1].get("ref") != ref:
            frames.append(await self.receive())
        return frames[:-1]

    async def ask(self, text: str, conversation: uuid.UUID, **fields: Any) -> dict[str, Any]:
        """Send a message and return its `turn.created`."""
        client_id = fields.pop("client_id", None) or uuid.uuid4()
        await self.send(type="turn.create", conversation=conversation, client_id=client_id, text=text, **fields)
        return await self.until("turn.created", where=lambda frame: frame["client_id"] == str(client_id))


@asynccontextmanager
async def tab_of(user: User, **options: Any) -> AsyncIterator[Tab]:
    """A connected tab of this user; `options` are those of `Tab`."""
    tab = await Tab(await in_database(session_of, user), **options).open()
    try:
        yield tab
    finally:
        await tab.close()
