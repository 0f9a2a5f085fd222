"""A small WebSocket client (RFC 6455): text frames with the time of their arrival, and the bytes that came."""

import asyncio
import base64
import os
import time
import zlib
from collections.abc import Callable, Mapping
from typing import cast

Take = Callable[[float, bytes], None]
"""Gets the time of arrival and the text of each frame."""

_TEXT, _CLOSE, _PING, _PONG = 1, 8, 9, 10


class WebSocket(asyncio.Protocol):
    """Calls `take` for each text frame; `closed` is done when the connection ends, with the reason."""

    def __init__(self, take: Take, head: bytes) -> None:
        self.bytes_received = 0
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.closed: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._take = take
        self._head = head
        self._data = bytearray()
        self._code = ""
        self._inflate: zlib._Decompress | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are of no class of asyncio's
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(self._head)

    def connection_lost(self, exc: Exception | None) -> None:
        reason = self._code or f"closed by the server: {exc}"
        if not self.opened.done():
            self.opened.set_exception(ConnectionError(reason))
        if not self.closed.done():
            self.closed.set_result(reason)

    def data_received(self, data: bytes) -> None:
        now = time.monotonic()
        self._data += data
        if not self.opened.done():
            if not self._open():
                return
        else:
            self.bytes_received += len(data)
        while self._frame(now):
            pass

    def _open(self) -> bool:
        head, end, rest = bytes(self._data).partition(b"\r\n\r\n")
        if not end:
            return False
        if not head.startswith(b"HTTP/1.1 101"):
            self.opened.set_exception(ConnectionError(head.decode(errors="replace")[:200]))
            self._transport.close()
            return False
        if b"permessage-deflate" in head.lower():
            self._inflate = zlib.decompressobj(-15)
        self._data = bytearray(rest)
        self.opened.set_result(None)
        return True

    def _frame(self, now: float) -> bool:
        """Take one whole frame; false where there is none. A server sends unmasked and, here, unfragmented ones."""
        data = self._data
        if len(data) < 2:
            return False
        length, at = data[1], 2
        if length >= 126:
            at = 4 if length == 126 else 10
            if len(data) < at:
                return False
            length = int.from_bytes(data[2:at], "big")
        if len(data) < at + length:
            return False
        first, payload = data[0], bytes(data[at : at + length])
        del data[: at + length]
        self._on_frame(now, first, payload)
        return True

    def _on_frame(self, now: float, first: int, payload: bytes) -> None:
        kind = first & 0x0F
        if kind == _TEXT:
            if first & 0x40 and self._inflate is not None:
                payload = self._inflate.decompress(payload + b"\x00\x00\xff\xff")
            self._take(now, payload)
        elif kind == _PING:
            self._send(_PONG, payload)
        elif kind == _CLOSE:
            self._code = f"closed with code {int.from_bytes(payload[:2], 'big')}"
            self._transport.close()

    def send(self, text: bytes) -> None:
        self._send(_TEXT, text)

    def _send(self, kind: int, payload: bytes) -> None:
        # a mask of zeros is a mask: it keeps the client's own work small
        size = len(payload)
        length = bytes([0x80 | size]) if size < 126 else b"\xfe" + size.to_bytes(2, "big")
        self._transport.write(bytes([0x80 | kind]) + length + bytes(4) + payload)

    def close(self) -> None:
        self._transport.close()


async def connect(port: int, path: str, headers: Mapping[str, str], take: Take, *, deflate: bool = False) -> WebSocket:
    """Open a WebSocket on this machine; raises ConnectionError where the server refuses."""
    fields = {
        **headers,
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(),
    }
    if deflate:
        fields["Sec-WebSocket-Extensions"] = "permessage-deflate"
    head = f"GET {path} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in fields.items()) + "\r\n"
    loop = asyncio.get_running_loop()
    _, socket = await loop.create_connection(lambda: WebSocket(take, head.encode()), "127.0.0.1", port)
    await socket.opened
    return socket
