"""Events of a running turn: numbered, snapshotted, bounded towards slow sockets."""

import asyncio
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat import events
from chat.consumers.outgoing import MAX_WAITING, Outgoing
from chat.realtime.live import LiveTurn
from chat.realtime.log import decode, encode
from chat.turns.steps import LONGEST_DELAY, retry_delay

EVENTS = st.one_of(
    st.builds(events.TextAdded, st.text()),
    st.builds(events.TextReplaced, st.text()),
    st.builds(events.StateChanged, st.just("in_progress"), st.text()),
    st.builds(events.PassagesFound, st.just(({"number": 1, "name": "a"},))),
    st.builds(events.CallStarted, st.sampled_from("abc"), st.sampled_from(["clock", "search"])),
    st.builds(events.CallFinished, st.sampled_from("abc"), st.just("clock"), st.just("succeeded")),
    st.builds(events.Ended, st.just("completed")),
)


@given(st.integers(1, 10**9), EVENTS)
def test_a_log_entry_survives_its_encoding(number: int, event: events.TurnEvent) -> None:
    stored = {name.encode(): str(value).encode() if isinstance(value, int) else value
              for name, value in encode(number, event).items()}  # fmt: skip
    assert decode(stored) == (number, event)


@given(st.lists(EVENTS, max_size=30))
def test_a_snapshot_brings_a_newcomer_to_the_same_state(happened: list[events.TurnEvent]) -> None:
    first, second = LiveTurn(uuid.uuid4(), 1), LiveTurn(uuid.uuid4(), 1)
    numbers = [first.apply(event) for event in happened]
    assert numbers == list(range(1, len(happened) + 1))
    for event in first.snapshot():
        second.apply(event, number=first.number)
    assert (second.text, second.state, second.calls, second.passages, second.ended, second.number) == (
        first.text,
        first.state,
        first.calls,
        first.passages,
        first.ended,
        first.number,
    )


def test_while_tools_run_the_state_names_them() -> None:
    live = LiveTurn(uuid.uuid4(), 1)
    live.apply(events.CallStarted("1", "clock"))
    live.apply(events.CallStarted("2", "search"))
    assert live.state.label == "Running clock, search…"
    live.apply(events.CallFinished("1", "clock", "succeeded"))
    assert live.state.label == "Running search…"


@pytest.mark.parametrize("attempt", range(8))
def test_a_retry_waits_between_half_and_all_of_its_bound(attempt: int) -> None:
    bound = min(LONGEST_DELAY, 0.5 * 2**attempt)
    delays = [retry_delay(attempt, None) for _ in range(200)]
    assert bound / 2 <= min(delays) <= max(delays) <= bound
    assert retry_delay(attempt, 3600) == LONGEST_DELAY


async def test_a_slow_socket_is_bounded_and_brought_up_to_date() -> None:
    gate, sent = asyncio.Event(), []
    turn = uuid.uuid4()

    async def send(frame: str) -> None:
        await gate.wait()
        sent.append(frame)

    outgoing = Outgoing(send, lambda behind: f"snapshot {behind}")
    runs = asyncio.create_task(outgoing.run())
    for number in range(10_000):
        assert outgoing.put(f"frame {number}", turn=turn)
    assert not outgoing.put("not of a turn")
    gate.set()
    await asyncio.sleep(0.05)
    assert sent[:2] == ["frame 0", "frame 1"]
    assert len(sent) <= MAX_WAITING + 2
    assert sent[-1] == f"snapshot {turn}"
    assert outgoing.put("after", turn=turn)
    await asyncio.sleep(0.01)
    assert sent[-1] == "after"
    runs.cancel()
