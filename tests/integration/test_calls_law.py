"""The law of calls: whatever a step asks for, and whatever a former owner left, each call gets exactly one output."""

import asyncio
import json
import tempfile
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from django.db import connections
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chat import events
from chat.models import Item, Turn
from chat.providers.items import FunctionCall
from chat.turns.call_rows import Output, begin_call, called
from chat.turns.calls import CallRunner
from chat.turns.job import Claimed
from chat.turns.numbering import Numbering
from core.models import User
from tests import factories
from tests import tools as samples
from tools.audit import close_row, open_row, succeeded
from tools.models import ToolCall
from tools.toolbox import open_toolbox

pytestmark = pytest.mark.django_db(transaction=True)

MOST = 5
STORED = '{"done": "before"}'


@dataclass(frozen=True)
class Wanted:
    """A call to be made; `left` is what a former owner left of it."""

    tool: str
    arguments: str
    left: str
    complete: bool


ARGUMENTS = {
    "add": ['{"a": 1, "b": 2}', '{"a": "x"}', "", "{"],
    "look": ['{"mark": "%s", "seconds": 0}', '{"mark": "%s", "seconds": 0.01}'],
    "act": ['{"mark": "%s", "seconds": 0}', '{"mark": "%s", "seconds": 0.01}', "[]"],
    "say": ['{"length": 3}', '{"length": 3000}'],
    "break": ['{"how": "says why"}', '{"how": "crashes"}', '{"how": "gives nonsense"}'],
    "forbidden": ['{"a": 1}'],
    "missing": ["{}"],
}
WANTED = st.sampled_from([(tool, raw) for tool, forms in ARGUMENTS.items() for raw in forms]).flatmap(
    lambda pair: st.builds(
        Wanted,
        st.just(pair[0]),
        st.just(pair[1]),
        # a refused call was never begun
        st.sampled_from(["", "", "begun", "ended"] if pair[0] in ("look", "act") and "mark" in pair[1] else [""]),
        st.sampled_from([True, True, True, False]),
    )
)


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        monkeypatch.setenv(samples.FOLDER, name)
        yield Path(name)


def claimed_turn(person: User) -> Claimed:
    conversation = factories.conversation(person)
    turn = factories.turn(conversation, status=Turn.Status.IN_PROGRESS, owner=uuid.uuid4(), epoch=2)
    return Claimed(turn.id, 2, conversation.id, person.id)


def made(wanted: Wanted, mark: str) -> FunctionCall:
    raw = wanted.arguments.replace("%s", mark)
    return FunctionCall(f"call-{mark}", wanted.tool, raw, wanted.complete, {})


def leave(claimed: Claimed, call: FunctionCall, left: str) -> None:
    tool = getattr(samples, call.name.upper(), None)
    if left:
        begin_call(claimed, call, tool)
    if left == "ended":
        close_row(called(claimed, call), succeeded(STORED))


async def run(claimed: Claimed, calls: list[FunctionCall]) -> tuple[list[events.TurnEvent], tuple[Output, ...]]:
    async def scope() -> Any:
        raise AssertionError("nothing is searched here")

    names = [*ARGUMENTS]
    box = open_toolbox([{"name": name} for name in names if name != "missing"])
    until = asyncio.get_running_loop().time() + 30
    runner = CallRunner(claimed, box, scope=scope, wanted=None, numbering=Numbering(), until=until)
    happened: list[events.TurnEvent] = []
    return happened, await runner.run(calls, happened.append, resumed=True)


def runs(wanted: Wanted, place: int) -> bool:
    """Whether this call does something: the whole of what is promised about repetition."""
    can = wanted.complete and "mark" in wanted.arguments and place < MOST
    return can and (wanted.left == "" or (wanted.left == "begun" and wanted.tool == "look"))


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(WANTED, min_size=1, max_size=MOST + 2))
def test_every_call_gets_exactly_one_output_in_order(
    person: User, folder: Path, settings: Any, wanted: list[Wanted]
) -> None:
    settings.TOOLS, settings.STEP_MAX_CALLS = samples.PATHS, MOST
    claimed = claimed_turn(person)
    marks = [uuid.uuid4().hex for _ in wanted]
    calls = [made(one, mark) for one, mark in zip(wanted, marks, strict=True)]
    for call, one in zip(calls, wanted, strict=True):
        leave(claimed, call, one.left)
    happened, outputs = asyncio.run(run(claimed, calls))
    ids = [call.call_id for call in calls]
    assert [output.call_id for output in outputs] == ids
    items = Item.objects.filter(turn=claimed.turn, type="function_call_output").order_by("position")
    assert [item.payload["call_id"] for item in items] == ids
    assert [item.payload["output"] for item in items] == [output.text for output in outputs]
    rows = {row.call_id: row for row in ToolCall.objects.filter(turn=claimed.turn)}
    assert set(rows) == set(ids)
    assert all(row.finished_at for row in rows.values())
    assert [item.tool_call_id for item in items] == [rows[call_id].id for call_id in ids]
    for place, (one, mark, output) in enumerate(zip(wanted, marks, outputs, strict=True)):
        assert len(samples.effects(folder, mark)) == runs(one, place), (one, output)
        if one.left == "ended":
            assert output.text == STORED
        elif one.left == "begun" and one.tool == "act":
            assert rows[output.call_id].status == "unknown"
            assert json.loads(output.text)["error"]["code"] == "effect_unknown"
    started = [event.call_id for event in happened if isinstance(event, events.CallStarted)]
    assert started == list(dict.fromkeys(started))
    assert sorted(started) == sorted(event.call_id for event in happened if isinstance(event, events.CallFinished))
    connections.close_all()


def test_open_row_twice_is_one_row(person: User) -> None:
    claimed = claimed_turn(person)
    call = made(Wanted("look", "{}", "", complete=True), "m")
    for _ in range(2):
        open_row(called(claimed, call), samples.LOOK)
    assert ToolCall.objects.get(turn=claimed.turn).status == "running"
