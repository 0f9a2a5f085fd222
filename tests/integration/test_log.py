"""The log of running turns over a real Redis: other processes see the same, also after Redis was emptied."""

import asyncio
import socket
import uuid
from collections.abc import AsyncIterator

import pytest
from django.test import override_settings

from chat import events
from chat.realtime.hub import Hub
from chat.realtime.live import LiveTurn
from chat.realtime.writing import LogWriter
from core.redis import log_client
from tests.waiting import PATIENCE


@pytest.fixture
async def hubs() -> AsyncIterator[tuple[Hub, Hub]]:
    """Two processes' hubs: one runs turns, the other watches."""
    here, there = Hub(), Hub()
    await here.open()
    await there.open()
    yield here, there
    await here.close()
    await there.close()


async def _until(live: LiveTurn, text: str) -> None:
    async with asyncio.timeout(PATIENCE):
        while live.text != text:
            await asyncio.sleep(0.01)


async def test_another_process_reads_from_the_beginning_and_goes_on(hubs: tuple[Hub, Hub]) -> None:
    here, there = hubs
    turn = uuid.uuid4()
    async with here.running(turn, 1) as live:
        live.apply(events.PassagesFound(({"number": 1, "name": "a.pdf"},)))
        for number in range(50):
            live.apply(events.TextAdded(f"{number} "))
        await asyncio.sleep(0.25)
        remote = there.watch(turn, 1)
        heard: list[events.TurnEvent] = []
        remote.listen(lambda _number, event: heard.append(event))
        live.apply(events.TextAdded("end"))
        await _until(remote, live.text)
        assert remote.passages == live.passages
        live.apply(events.Ended("completed"))
    async with asyncio.timeout(PATIENCE):
        while remote.ended is None:
            await asyncio.sleep(0.01)
    assert remote.number == live.number
    assert "".join(event.text for event in heard if isinstance(event, events.TextAdded)) == live.text


async def test_after_redis_was_emptied_a_newcomer_still_gets_everything(hubs: tuple[Hub, Hub]) -> None:
    here, there = hubs
    turn = uuid.uuid4()
    async with here.running(turn, 3) as live:
        live.apply(events.TextAdded("before "))
        await asyncio.sleep(0.25)
        await here.redis.flushdb()
        live.apply(events.TextAdded("after"))
        remote = there.watch(turn, 3)
        remote.listen(lambda _number, _event: None)
        await _until(remote, "before after")
        live.apply(events.Ended("completed"))


async def test_a_watcher_in_the_same_process_needs_no_log(hubs: tuple[Hub, Hub]) -> None:
    here, _ = hubs
    turn = uuid.uuid4()
    started: list[LiveTurn] = []
    forget = here.when_running(turn, started.append)
    async with here.running(turn, 1) as live:
        assert started == [live]
        assert here.watch(turn, 1) is live
        live.apply(events.Ended("completed"))
    forget()
    assert here.local(turn) is None


async def test_a_turn_ends_also_where_its_log_cannot_be_written() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        # nobody listens there
        nowhere = f"redis://127.0.0.1:{bound.getsockname()[1]}/0"
    with override_settings(REDIS_LOG_URL=nowhere):
        away = log_client()
    writer = LogWriter(away)
    live = LiveTurn(uuid.uuid4(), 1)
    with writer.following(live) as log:
        live.apply(events.TextAdded("said"))
        await asyncio.sleep(0.1)
        live.apply(events.Ended("completed"))
        async with asyncio.timeout(PATIENCE):
            await writer.finish(log)
    await writer.aclose()
    await away.aclose()


async def test_many_turns_at_once_are_written_without_a_failure(
    hubs: tuple[Hub, Hub], caplog: pytest.LogCaptureFixture
) -> None:
    here, there = hubs
    turns = [uuid.uuid4() for _ in range(60)]

    async def run(turn: uuid.UUID) -> None:
        async with here.running(turn, 1) as live:
            for number in range(40):
                live.apply(events.TextAdded(f"{turn} {number} "))
                await asyncio.sleep(0.005)
            live.apply(events.Ended("completed"))

    remotes = [there.watch(turn, 1) for turn in turns]
    for remote in remotes:
        remote.listen(lambda _number, _event: None)
    await asyncio.gather(*map(run, turns))
    for turn, remote in zip(turns, remotes, strict=True):
        await _until(remote, "".join(f"{turn} {number} " for number in range(40)))
    assert not caplog.records
