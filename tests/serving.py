"""The application behind the server that it runs with in production, in this event loop, on a port of its own.

    python -m tests.serving --port N

serves it alone, as uvicorn does, but so that a tab that does not read is felt soon.
"""

import argparse
import asyncio
import json
import random
import socket
import string
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

import uvicorn
from django.conf import settings
from websockets.asyncio.client import ClientConnection, connect

from config.asgi import application
from tests.frames import TEXT, check_received, check_sent
from tests.waiting import PATIENCE


@dataclass(slots=True)
class Served:
    """`open_sockets` counts the connections that the application still has to do with."""

    port: int
    server: uvicorn.Server

    @property
    def open_sockets(self) -> int:
        return len(self.server.server_state.tasks)

    async def held_up(self, seconds: float) -> None:
        """Wait until a tab that does not read has kept the server from writing to it for so long."""
        since = time.monotonic()
        async with asyncio.timeout(PATIENCE):
            while time.monotonic() - since < seconds:
                await asyncio.sleep(0.02)
                if all(connection.writable.is_set() for connection in self.server.server_state.connections):  # type: ignore[union-attr]
                    since = time.monotonic()


def _listen(port: int, *, narrow: bool) -> socket.socket:
    listening = socket.create_server(("127.0.0.1", port))
    if narrow:
        # else the system takes megabytes for a connection before the server feels anything
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16384)
    return listening


@asynccontextmanager
async def served(app: Any = application, *, narrow: bool = False) -> AsyncIterator[Served]:
    """Serve without a lifespan: turns run only where the test says so. `narrow`: the system keeps little for tabs that
    do not read."""
    listening = _listen(0, narrow=narrow)
    config = uvicorn.Config(app, ws="websockets-sansio", lifespan="off", log_config=None, timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listening]), name="server")
    try:
        while not server.started:
            assert not serving.done(), serving
            await asyncio.sleep(0.01)
        yield Served(int(listening.getsockname()[1]), server)
    finally:
        server.should_exit = True
        with suppress(TimeoutError):
            await asyncio.wait_for(serving, 10)


def noise(words: int, *, length: int = 60) -> str:
    """Long words in paragraphs, always the same ones, that no compression makes much smaller."""
    letters = random.Random(words)  # noqa: S311 - nothing secret
    return " ".join(
        "".join(letters.choices(string.ascii_letters + string.digits, k=length)) + "\n\n" * (number % 50 == 0)
        for number in range(words)
    )


class Wire:
    """A tab on a real connection that reads only when it is asked to."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection

    async def send(self, **frame: Any) -> None:
        text = json.dumps(frame, default=str)
        check_sent(text)
        await self.connection.send(text)

    async def receive(self) -> dict[str, Any]:
        async with asyncio.timeout(PATIENCE):
            return check_received(str(await self.connection.recv()))

    async def growing(self) -> None:
        """Receive until there is something of an answer to see."""
        while (await self.receive())["type"] not in {"turn.snapshot", "turn.blocks", TEXT}:
            pass

    async def until(self, kind: str) -> dict[str, Any]:
        while True:
            frame = await self.receive()
            if frame["type"] == kind:
                return frame


@asynccontextmanager
async def wire(port: int, session: str, **options: Any) -> AsyncIterator[Wire]:
    """A connected tab; `options` go to the client library."""
    cookie = {"Cookie": f"{settings.SESSION_COOKIE_NAME}={session}"}
    values = {"origin": f"http://127.0.0.1:{port}", "proxy": None, "close_timeout": 1, "max_size": None, **options}
    async with connect(f"ws://127.0.0.1:{port}/ws/", additional_headers=cookie, **values) as connection:
        tab = Wire(connection)
        await tab.until("hello")
        yield tab


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--port", type=int, required=True)
    listening = _listen(arguments.parse_known_args()[0].port, narrow=True)
    config = uvicorn.Config(application, ws="websockets-sansio", lifespan="on", log_level="warning")
    uvicorn.Server(config).run(sockets=[listening])


if __name__ == "__main__":
    main()
