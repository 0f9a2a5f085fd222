"""Hints while Redis is away or hangs: nobody waits for it."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from channels.layers import get_channel_layer
from redis.exceptions import RedisError

from chat.realtime.layer import HintLayer
from tests.waiting import PATIENCE


@pytest.fixture
async def silent_server(tmp_path: Path) -> AsyncIterator[str]:
    """A server that takes connections and never answers."""
    held = []

    async def hold(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        held.append(writer)
        await asyncio.Event().wait()

    server = await asyncio.start_unix_server(hold, tmp_path / "redis.sock")
    yield f"unix://{tmp_path / 'redis.sock'}"
    server.close()
    for writer in held:
        writer.transport.abort()


async def test_groups_reach_their_channels() -> None:
    layer = get_channel_layer()
    assert isinstance(layer, HintLayer)
    channels = [await layer.new_channel() for _ in range(2)]
    for channel in channels:
        await layer.group_add("lamps", channel)
    await layer.group_discard("lamps", channels[1])
    # a subscription is confirmed by what comes through it
    async with asyncio.timeout(PATIENCE):
        waiting = asyncio.create_task(layer.receive(channels[0]))
        while not waiting.done():
            await layer.group_send("lamps", {"type": "lit"})
            await asyncio.sleep(0.02)
    assert waiting.result() == {"type": "lit"}
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await layer.receive(channels[1])
    await layer.flush()


async def test_hints_that_come_together_all_arrive_in_their_order() -> None:
    layer = get_channel_layer()
    assert isinstance(layer, HintLayer)
    channel = await layer.new_channel()
    for group in ("lamps", "horns"):
        await layer.group_add(group, channel)
    async with asyncio.timeout(PATIENCE):
        while (await asyncio.gather(layer.group_send("horns", {"type": "ready"}), asyncio.sleep(0.05)))[0] is None:
            if not layer._get_layer().channels[channel].empty():
                break
    sent = [("lamps" if number % 3 else "horns", {"type": "lit", "number": number}) for number in range(100)]
    await asyncio.gather(*(layer.group_send(group, message) for group, message in sent))
    received: list[int] = []
    async with asyncio.timeout(PATIENCE):
        while len(received) < 100:
            message = await layer.receive(channel)
            if message["type"] == "lit":
                received.append(message["number"])
    assert received == list(range(100))
    await layer.flush()


async def test_without_a_server_a_channel_can_be_had_and_groups_are_refused_at_once(tmp_path: Path) -> None:
    layer = HintLayer(hosts=[f"unix://{tmp_path / 'nobody.sock'}"], patience=60)
    channel = await layer.new_channel()
    begun = time.monotonic()
    for call in (layer.group_add("lamps", channel), layer.group_send("lamps", {"type": "lit"})):
        with pytest.raises((RedisError, OSError)):
            await call
    assert time.monotonic() - begun < 60
    await layer.flush()


async def test_a_server_that_hangs_is_waited_for_once(silent_server: str) -> None:
    layer = HintLayer(hosts=[silent_server], patience=2)
    await layer.new_channel()
    taken = []
    for _ in range(5):
        begun = time.monotonic()
        with pytest.raises(TimeoutError):
            await layer.group_send("lamps", {"type": "lit"})
        taken.append(time.monotonic() - begun)
    assert taken[0] >= 2
    assert sum(taken[1:]) < 2
    await layer.flush()
