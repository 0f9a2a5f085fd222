"""Reads that several sockets share: made once, and never older than what their askers know."""

import asyncio

from chat.consumers.shared import SharedRead


class Row:
    """A row that changes, and how often it was read."""

    def __init__(self) -> None:
        self.value = 0
        self.reads = 0

    def read(self, _id: int) -> int:
        self.reads += 1
        return self.value


async def test_those_who_ask_at_the_same_time_share_one_read() -> None:
    row = Row()
    read = SharedRead(row.read)
    assert await asyncio.gather(*(read(1) for _ in range(20))) == [0] * 20
    assert row.reads == 1
    await asyncio.gather(read(1), read(2))
    assert row.reads == 3


async def test_who_asks_after_a_change_gets_what_is_true_after_it() -> None:
    row = Row()
    read = SharedRead(row.read, delay=0.01)
    asked: list[asyncio.Task[int]] = []
    known = []
    for _ in range(30):
        row.value += 1
        known.append(row.value)
        asked.append(asyncio.ensure_future(read(1)))
        await asyncio.sleep(0.002)
    got = await asyncio.gather(*asked)
    assert all(value >= knew for value, knew in zip(got, known, strict=True))
    assert row.reads < 30


async def test_one_who_leaves_takes_nothing_from_the_others() -> None:
    row = Row()
    read = SharedRead(row.read, delay=0.01)
    leaving, staying = asyncio.ensure_future(read(1)), asyncio.ensure_future(read(1))
    await asyncio.sleep(0)
    leaving.cancel()
    assert await staying == 0
