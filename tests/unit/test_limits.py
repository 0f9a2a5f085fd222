"""Bodies that are too large are refused before the application has read them, announced or not."""

from typing import Any

import pytest

from config.limits import BodyLimit

LIMIT = 100


async def answer(chunks: list[bytes], *, headers: list[tuple[bytes, bytes]] | None = None) -> tuple[int, int]:
    """Send a body in chunks to an application that reads it all; returns the status and how much it got."""
    got, sent = 0, []
    waiting = [
        {"type": "http.request", "body": chunk, "more_body": place < len(chunks) - 1}
        for place, chunk in enumerate(chunks)
    ]

    async def application(_scope: Any, receive: Any, send: Any) -> None:
        nonlocal got
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                await send({"type": "http.response.start", "status": 400, "headers": []})
                return
            got += len(message["body"])
            if not message["more_body"]:
                break
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def receive() -> dict[str, Any]:
        return waiting.pop(0)

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await BodyLimit(application, LIMIT)({"type": "http", "headers": headers or []}, receive, send)
    starts = [message for message in sent if message["type"] == "http.response.start"]
    assert len(starts) == 1
    return starts[0]["status"], got


async def test_what_fits_goes_through_whole() -> None:
    assert await answer([b"x" * 60, b"x" * 40]) == (200, 100)


async def test_an_announced_excess_is_refused_unread() -> None:
    assert await answer([b"x"], headers=[(b"content-length", b"101")]) == (413, 0)


@pytest.mark.parametrize("chunks", [[b"x" * 101], [b"x" * 100, b"x"], [b"x" * 60] * 5])
async def test_an_excess_that_was_not_announced_ends_the_request(chunks: list[bytes]) -> None:
    status, got = await answer(chunks)
    assert status == 413
    assert got <= LIMIT
