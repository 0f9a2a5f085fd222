"""A WebSocket client that takes no more bytes than it is told to, so that a frame can be caught on its way."""

import asyncio
import base64
import json
import os
import struct
from typing import Any

from django.conf import settings

from tests.chaos.browser import narrow_socket

_TEXT = 1


class RawSocket:
    """One connection (RFC 6455); `open` it, and `close` it at the end."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, port: int, session: str) -> "RawSocket":
        # the reader holds twice its limit at most, and then leaves the rest to the system
        reader, writer = await asyncio.open_connection(sock=narrow_socket(port), limit=1024)
        lines = [
            "GET /ws/ HTTP/1.1",
            f"Host: 127.0.0.1:{port}",
            f"Origin: http://127.0.0.1:{port}",
            f"Cookie: {settings.SESSION_COOKIE_NAME}={session}",
            "Connection: Upgrade",
            "Upgrade: websocket",
            "Sec-WebSocket-Version: 13",
            f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}",
        ]
        writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())
        answer = await reader.readuntil(b"\r\n\r\n")
        assert b" 101 " in answer.splitlines()[0], answer
        return cls(reader, writer)

    async def send(self, **frame: Any) -> None:
        """Send a text frame of less than 64 KiB; the mask of zeros leaves it as it is."""
        payload = json.dumps(frame, default=str).encode()
        length = bytes([0x80 | len(payload)]) if len(payload) < 126 else b"\xfe" + struct.pack(">H", len(payload))
        self._writer.write(bytes([0x80 | _TEXT]) + length + bytes(4) + payload)
        await self._writer.drain()

    async def large_frame(self, minimum: int) -> int:
        """Take frames until one of at least `minimum` bytes begins, and return its length; nothing of it is taken."""
        while True:
            _, second = await self._reader.readexactly(2)
            length = second & 0x7F
            if length == 126:
                (length,) = struct.unpack(">H", await self._reader.readexactly(2))
            elif length == 127:
                (length,) = struct.unpack(">Q", await self._reader.readexactly(8))
            if length >= minimum:
                return length
            await self._reader.readexactly(length)

    async def take(self, count: int) -> int:
        """Take bytes until there are `count` or the connection ends; returns how many came."""
        taken = 0
        try:
            while taken < count and (piece := await self._reader.read(min(1024, count - taken))):
                taken += len(piece)
        except ConnectionError:
            return taken
        return taken

    def close(self) -> None:
        self._writer.close()
