"""Parley behind a load driver's adapter interface, so that it can be measured beside other applications.

The driver makes `Parley(url, options)`, awaits `setup(n)`, then `connect(i)` for each of n people, and on what that
returns `turn(text, seen)`: it sends `text`, calls `seen` with the number of visible characters whenever there are
more, and returns at the turn's end. `options.opt` is a mapping of strings and has to name a file in `seed`: what
`python -m benchmarks.streaming.seed PEOPLE UPSTREAM_PORT` printed, run with the settings of the site under test.
"""

import asyncio
import html
import re
import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import aiohttp
import orjson

_TAG = re.compile(r"<[^>]*>")


class Options(Protocol):
    """What the driver was told for this application."""

    opt: Mapping[str, str]


class Session:
    """One person in one conversation. `t_send` is when the last message was sent (CLOCK_MONOTONIC)."""

    t_send = 0.0

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, assistant: str) -> None:
        self._socket = socket
        self._assistant = assistant
        self._conversation = str(uuid.uuid4())
        self._parent: str | None = None

    async def turn(self, text: str, seen: Callable[[int], None]) -> None:
        """Raises RuntimeError for a turn that failed and ConnectionError for a socket that was closed."""
        message = {
            "type": "turn.create",
            "conversation": self._conversation,
            "client_id": str(uuid.uuid4()),
            "assistant": self._assistant,
            "text": text,
            "files": [],
            "parent": self._parent,
        }
        self.t_send = time.monotonic()
        await self._socket.send_str(orjson.dumps(message).decode())
        blocks: list[str] = []
        async for received in self._socket:
            if received.type is not aiohttp.WSMsgType.TEXT:
                break
            frame = orjson.loads(received.data)
            if isinstance(frame, list):
                # one conversation has one running turn: whom the handle stands for is known
                seen(_length(_grown(blocks, *frame)))
                continue
            if frame["type"] == "turn.final":
                self._parent = frame["turn"]
                if frame["status"] != "completed":
                    raise RuntimeError(f"the turn is {frame['status']}")
                return
            if frame["type"] == "error":
                raise RuntimeError(f"{frame['code']}: {frame['message']}")
            if _patched(blocks, frame):
                seen(_length(blocks))
        raise ConnectionError("the socket was closed")

    async def close(self) -> None:
        await self._socket.close()


def _length(blocks: list[str]) -> int:
    # a driver counts the white space at the answer's beginning, which a page does not show
    return 1 + len(html.unescape(_TAG.sub("", "".join(blocks))).rstrip("\n"))


def _grown(blocks: list[str], _handle: int, _number: int, end: int, more: str) -> list[str]:
    """The blocks with more text in the last one (docs/websocket.md, `turn.text`)."""
    at = len(blocks[-1]) - end
    blocks[-1] = blocks[-1][:at] + more + blocks[-1][at:]
    return blocks


def _patched(blocks: list[str], frame: dict[str, Any]) -> bool:
    """Bring the blocks to what a frame says (docs/websocket.md); true where it left some."""
    if frame["type"] == "turn.snapshot":
        blocks[:] = frame["blocks"]
    elif frame["type"] == "turn.blocks":
        for index, patch in enumerate(frame["blocks"], frame["first"]):
            old = blocks[index] if index < len(blocks) else ""
            blocks[index : index + 1] = [old[: patch["keep"]] + patch["html"]]
        del blocks[frame["first"] + len(frame["blocks"]) :]
    else:
        return False
    return bool(blocks)


class Parley:
    """The application at `url`."""

    port = 8000

    def __init__(self, url: str, options: Options) -> None:
        self._url = url.rstrip("/")
        self._options = options

    async def setup(self, n: int) -> None:
        """Raises ValueError where the file holds fewer people than are wanted."""
        content = await asyncio.to_thread(Path(self._options.opt["seed"]).read_bytes)
        self._seed = orjson.loads(content)
        if len(self._seed["sessions"]) < n:
            raise ValueError(f"seed at least {n} people")
        self._http = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))

    async def connect(self, i: int) -> Session:
        cookie = f"{self._seed['cookie']}={self._seed['sessions'][i]}"
        socket = await self._http.ws_connect(
            f"{self._url}/ws/",
            headers={"Origin": self._url, "Cookie": cookie},
            max_msg_size=0,
            compress=15 if self._options.opt.get("deflate") else 0,
        )
        await socket.send_str('{"type": "subscribe", "topic": "feed"}')
        return Session(socket, self._seed["plain"])

    async def close(self) -> None:
        await self._http.close()
