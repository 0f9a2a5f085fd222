"""A browser tab as tests see it: the real ASGI application, a signed-in session, frames in and out.

`Page` does with frames what the page's script does, so that a test can compare what a person sees with what is stored.
"""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from asgiref.testing import ApplicationCommunicator
from django.conf import settings

from chat.turns import process
from config.asgi import application
from core.bridge import in_database
from core.models import User
from tests.factories import session_of

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
        self.final: dict[str, dict[str, Any]] = {}
        self.labels: list[str] = []

    def take(self, frame: dict[str, Any]) -> None:
        turn = frame.get("turn", "")
        if frame["type"] == "turn.snapshot":
            self.blocks[turn] = list(frame["blocks"])
        elif frame["type"] == "turn.blocks":
            self._patch(turn, frame)
        elif frame["type"] == "turn.state":
            self.labels.append(frame["label"])
        elif frame["type"] == "turn.final":
            self.final[turn] = frame

    def _patch(self, turn: str, frame: dict[str, Any]) -> None:
        place = (frame["epoch"], frame["number"])
        assert place > self.cursor.get(turn, (0, 0)), "a frame came twice or out of order"
        self.cursor[turn] = place
        blocks = self.blocks.setdefault(turn, [])
        for offset, patch in enumerate(frame["blocks"]):
            index = frame["first"] + offset
            old = blocks[index] if index < len(blocks) else ""
            kept = old.encode("utf-16-le")[: 2 * patch["keep"]].decode("utf-16-le")
            blocks[index : index + 1] = [kept + patch["html"]]
        del blocks[frame["first"] + len(frame["blocks"]) :]


class Tab:
    """One socket. `page` holds what it shows; every received frame goes there too."""

    def __init__(self, session: str, *, origin: bytes = ORIGIN) -> None:
        cookie = f"{settings.SESSION_COOKIE_NAME}={session}".encode()
        headers = [(b"origin", origin), (b"cookie", cookie), (b"host", b"localhost")]
        scope = {"type": "websocket", "path": "/ws/", "query_string": b"", "headers": headers, "subprotocols": []}
        self.socket = ApplicationCommunicator(application, scope)
        self.page = Page()

    async def connect(self) -> bool:
        """Whether the server accepts the socket."""
        await self.socket.send_input({"type": "websocket.connect"})
        answer = await self.socket.receive_output(timeout=5)
        return bool(answer["type"] == "websocket.accept")

    async def open(self) -> "Tab":
        assert await self.connect()
        await self.until("hello")
        return self

    async def close(self) -> None:
        await self.socket.send_input({"type": "websocket.disconnect", "code": 1000})
        await self.socket.wait(timeout=5)

    async def send(self, **frame: Any) -> None:
        await self.send_text(json.dumps(frame, default=str))

    async def send_text(self, text: str) -> None:
        await self.socket.send_input({"type": "websocket.receive", "text": text})

    async def closed(self) -> int:
        """Wait until the server closes the socket, and return its code."""
        async with asyncio.timeout(10):
            while True:
                message = await self.socket.receive_output(timeout=10)
                if message["type"] == "websocket.close":
                    return int(message["code"])

    async def receive(self) -> dict[str, Any]:
        message = await self.socket.receive_output(timeout=10)
        assert message["type"] == "websocket.send", message
        frame: dict[str, Any] = json.loads(message["text"])
        self.page.take(frame)
        return frame

    async def until(
        self, kind: str, *, where: Callable[[dict[str, Any]], bool] = lambda _frame: True
    ) -> dict[str, Any]:
        """Receive until a frame of this type, and return it."""
        async with asyncio.timeout(20):
            while True:
                frame = await self.receive()
                if frame["type"] == kind and where(frame):
                    return frame

    async def ask(self, text: str, conversation: uuid.UUID, **fields: Any) -> dict[str, Any]:
        """Send a message and return its `turn.created`."""
        client_id = fields.pop("client_id", None) or uuid.uuid4()
        await self.send(type="turn.create", conversation=conversation, client_id=client_id, text=text, **fields)
        return await self.until("turn.created", where=lambda frame: frame["client_id"] == str(client_id))


@asynccontextmanager
async def tab_of(user: User) -> AsyncIterator[Tab]:
    """A connected tab of this user."""
    tab = await Tab(await in_database(session_of, user)).open()
    try:
        yield tab
    finally:
        await tab.close()
