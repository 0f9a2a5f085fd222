"""The most that a request may carry, held before Django reads it.

Django's ASGI handler takes the whole body in before any view can refuse it, so a body without an announced length
could fill the disk.
"""

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

Scope = dict[str, Any]
Message = Mapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]


class BodyLimit:
    """Answers 413 to an HTTP request whose body has more than `limit` bytes, announced or not."""

    def __init__(self, application: Application, limit: int) -> None:
        self._application = application
        self._limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._announced(scope) > self._limit:
            await self._refuse(send)
            return
        read = 0
        refused = False

        async def counted() -> Message:
            nonlocal read, refused
            message = await receive()
            read += len(message.get("body", b""))
            if read <= self._limit:
                return message
            if not refused:
                refused = True
                await self._refuse(send)
            # to the application this looks like a client that left
            return {"type": "http.disconnect"}

        async def unless_refused(message: Message) -> None:
            if not refused:
                await send(message)

        await self._application(scope, counted, unless_refused)

    def _announced(self, scope: Scope) -> int:
        length = dict(scope["headers"]).get(b"content-length", b"0")
        return int(length) if length.isdigit() else 0

    async def _refuse(self, send: Send) -> None:
        body = {
            "code": "too_large",
            "message": f"At most {self._limit / 1024**2:,.0f} MB are taken at once.",
            "retryable": False,
        }
        headers = [(b"content-type", b"application/json"), (b"connection", b"close")]
        await send({"type": "http.response.start", "status": 413, "headers": headers})
        await send({"type": "http.response.body", "body": json.dumps(body).encode()})
