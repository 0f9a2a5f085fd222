"""What waits for one socket: bounded, in order, and whatever is dropped is made up for by a snapshot."""

import asyncio
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from hypothesis import given
from hypothesis import strategies as st

from chat.consumers.outgoing import MAX_WAITING, MAX_WAITING_CHARS, Outgoing

TURNS = [uuid.UUID(int=number) for number in range(3)]
# how many frames of which turn (or of none) come, and how many the socket takes after that
STEPS = st.lists(
    st.tuples(st.sampled_from([*TURNS, None]), st.integers(1, 150), st.integers(0, 120)), min_size=1, max_size=12
)


class Viewer:
    """A tab that takes frames only when it is told to, and knows which frame of which turn it has seen last."""

    def __init__(self) -> None:
        self.made: Counter[uuid.UUID] = Counter()
        self.shown: Counter[uuid.UUID] = Counter()
        self.others: list[str] = []
        self.may_take = asyncio.Semaphore(0)
        self.outgoing = Outgoing(self.take, lambda turn: f"snapshot {turn} {self.made[turn]}")

    async def take(self, frame: str) -> None:
        await self.may_take.acquire()
        kind, _, rest = frame.partition(" ")
        if kind == "other":
            self.others.append(frame)
            return
        turn, number = uuid.UUID(rest.split()[0]), int(rest.split()[1])
        assert kind == "snapshot" or number == self.shown[turn] + 1, "something is missing between two frames"
        self.shown[turn] = number

    def put(self, turn: uuid.UUID | None) -> bool:
        if turn is None:
            return self.outgoing.put(f"other {len(self.others)}")
        self.made[turn] += 1
        return self.outgoing.put(f"frame {turn} {self.made[turn]}", turn=turn)

    async def let(self, count: int) -> None:
        for _ in range(count):
            self.may_take.release()
            await asyncio.sleep(0)


@asynccontextmanager
async def viewer() -> AsyncIterator[Viewer]:
    made = Viewer()
    running = asyncio.create_task(made.outgoing.run())
    yield made
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running


def waiting(outgoing: Outgoing) -> list[str]:
    return list(outgoing._waiting._queue)  # type: ignore[attr-defined]


@given(STEPS)
def test_a_viewer_that_takes_all_in_the_end_misses_nothing(steps: list[tuple[uuid.UUID | None, int, int]]) -> None:
    async def watch() -> None:
        async with viewer() as tab:
            accepted = 0
            for turn, made, taken in steps:
                for _ in range(made):
                    was_full = len(waiting(tab.outgoing)) == MAX_WAITING
                    took = tab.put(turn)
                    assert took or (turn is None and was_full)
                    accepted += turn is None and took
                assert len(waiting(tab.outgoing)) <= MAX_WAITING
                await tab.let(taken)
            await tab.let(2 * MAX_WAITING)
            assert tab.shown == tab.made
            assert len(tab.others) == accepted
            for turn in TURNS:
                tab.put(turn)
            await tab.let(2 * len(TURNS))
            assert tab.shown == tab.made, "it is followed as before"

    asyncio.run(watch())


async def test_memory_is_bounded_in_characters_too() -> None:
    async with viewer() as tab:
        long = "x" * 30_000
        while tab.outgoing.put(f"other {long}"):
            pass
        assert sum(map(len, waiting(tab.outgoing))) <= MAX_WAITING_CHARS + len(long) + 6
        assert tab.outgoing.put(f"frame {TURNS[0]} 1", turn=TURNS[0]), "frames of turns are dropped, not refused"
        tab.made[TURNS[0]] += 1
        await tab.let(MAX_WAITING)
        assert tab.shown == tab.made


async def test_it_knows_how_long_nothing_was_taken() -> None:
    async with viewer() as tab:
        assert tab.outgoing.stuck_seconds == 0
        tab.put(None)
        await asyncio.sleep(0.05)
        assert 0.04 < tab.outgoing.stuck_seconds < 60
        await tab.let(1)
        assert tab.outgoing.stuck_seconds == 0


async def test_a_turn_that_is_gone_needs_no_snapshot() -> None:
    sent: list[str] = []
    gate = asyncio.Event()

    async def send(frame: str) -> None:
        await gate.wait()
        sent.append(frame)

    outgoing = Outgoing(send, lambda _turn: None)
    running = asyncio.create_task(outgoing.run())
    for number in range(MAX_WAITING + 50):
        outgoing.put(str(number), turn=TURNS[0])
    gate.set()
    await asyncio.sleep(0.01)
    running.cancel()
    assert sent == [str(number) for number in range(MAX_WAITING)]
