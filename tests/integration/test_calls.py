"""Turns that call tools: over the socket, the engine, a scripted model server, and the rows of each call."""

import asyncio
import json
import time
import uuid
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from chat.models import Assistant, Item, Turn
from core.bridge import in_database
from core.models import User
from tests import tools as samples
from tests.calling import answered, call, kinds, make_assistant, outputs, rows
from tests.chat_client import tab_of
from tests.responses_server import ResponsesServer
from tests.upstream.recordings import OWN
from tests.waiting import PATIENCE, until
from tools.models import ToolCall

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("effects")]


@pytest.fixture
def assistant(person: User, upstream: ResponsesServer) -> Assistant:
    return make_assistant(person, upstream)


async def test_calls_run_side_by_side_and_their_outputs_keep_the_order(
    person: User, assistant: Assistant, upstream: ResponsesServer, turns: None, effects: Path
) -> None:
    calls = [call("look", "c1", mark="slow", seconds=2), call("add", "c2", a=2, b=3),
             call("act", "c3", mark="once", seconds=0.6)]  # fmt: skip
    upstream.script({"reasoning": "I need them.", "text": "Let me see.", "calls": calls}, {"text": "Five."})
    turn, final, tab = await answered(person, assistant)
    assert (turn.status, final["status"]) == ("completed", "completed")
    first, second = (request.body for request in upstream.requests)
    assert [tool["name"] for tool in first["tools"]] == samples.NAMES
    assert all(tool["strict"] and not tool["parameters"]["additionalProperties"] for tool in first["tools"])
    assert [(ident, json.loads(output)) for ident, output in outputs(second)] == [
        ("c1", {"done": "slow"}), ("c2", {"sum": 5}), ("c3", {"done": "once"}),
    ]  # fmt: skip
    assert any(label.startswith("Running ") and "look" in label for label in tab.page.labels)
    stored = await in_database(rows, turn)
    assert {row.status for row in stored.values()} == {"succeeded"}
    slow, once = stored["c1"], stored["c3"]
    assert slow.finished_at
    assert once.started_at
    assert once.started_at < slow.finished_at
    assert (stored["c2"].arguments, stored["c2"].user_id) == ({"a": 2, "b": 3}, person.id)
    assert samples.effects(effects, "once") == [stored["c3"].idempotency_key]
    assert await in_database(kinds, turn) == [
        "message", "reasoning", "message", *["function_call"] * 3, *["function_call_output"] * 3, "message",
    ]  # fmt: skip
    linked = await in_database(lambda: set(Item.objects.filter(turn=turn).values_list("type", "tool_call__call_id")))
    assert {("function_call_output", "c1"), ("function_call_output", "c3"), ("function_call", None)} <= linked


async def test_what_the_model_said_goes_back_verbatim(person: User, upstream: ResponsesServer, turns: None) -> None:
    assistant = await in_database(make_assistant, person, upstream, capabilities={"include": True})
    said = [
        {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "sealed", "status": "completed"},
        {"type": "message", "id": "m_1", "role": "assistant", "status": "completed", "phase": "commentary",
         "content": [{"type": "output_text", "text": "I look.", "annotations": [], "logprobs": []}]},
        {"type": "function_call", "id": "f_1", "call_id": "c1", "name": "add", "arguments": '{"a":1,"b":null}',
         "status": "completed", "namespace": "kept"},
    ]  # fmt: skip
    upstream.script({"items": said, "calls": [call("add", "c2", a=1)]}, {"text": "Done."})
    await answered(person, assistant)
    replayed = upstream.requests[1].body["input"][1:4]
    assert replayed == [{name: value for name, value in item.items() if name != "id"} for item in said]


async def test_every_kind_of_failure_is_an_output_and_the_model_goes_on(
    person: User, assistant: Assistant, upstream: ResponsesServer, turns: None, settings: Any
) -> None:
    settings.STEP_MAX_CALLS = 9
    calls = [
        {"name": "add", "arguments": '{"a": 1', "call_id": "not json"[:3]},
        call("add", "wrong", a="one"),
        call("nothing", "unknown", a=1),
        call("forbidden", "denied", a=1),
        call("break", "why", how="says why"),
        call("break", "crash", how="crashes"),
        call("break", "late", how="does not end"),
        call("say", "long", length=5000),
        call("add", "fine", a=1),
        call("add", "tenth", a=1),
    ]
    upstream.script({"calls": calls}, {"text": "I did what I could."})
    turn, final, _ = await answered(person, assistant)
    assert final["status"] == "completed"
    told = dict(outputs(upstream.requests[1].body))
    assert list(told) == [one["call_id"] for one in calls]
    codes = {
        ident: json.loads(output).get("error", {}).get("code") for ident, output in told.items() if ident != "long"
    }
    assert codes == {
        "not": "invalid_arguments", "wrong": "invalid_arguments", "unknown": "unknown_tool", "denied": "tool_denied",
        "why": "tool_failed", "crash": "tool_crashed", "late": "tool_timeout", "fine": None, "tenth": "not_run",
    }  # fmt: skip
    assert "a: Input should be a valid integer" in told["wrong"]
    assert len(told["long"]) <= 500
    assert "[cut:" in told["long"]
    stored = await in_database(rows, turn)
    assert {ident: row.status for ident, row in stored.items()} == {
        **dict.fromkeys(told, "failed"), "denied": "denied", "long": "succeeded", "fine": "succeeded",
    }  # fmt: skip
    assert all(row.error for row in stored.values() if row.status != "succeeded")
    assert stored["not"].arguments == {"raw": '{"a": 1'}


async def test_a_process_runs_only_so_many_tools_at_a_time(
    person: User, assistant: Assistant, upstream: ResponsesServer, turns: None, settings: Any
) -> None:
    settings.TOOLS_MAX_RUNNING = 1
    upstream.script({"calls": [call("look", mark="m", seconds=0.2) for _ in range(3)]}, {"text": "Done."})
    turn, _, _ = await answered(person, assistant)
    spans = sorted(
        (row.started_at, row.finished_at) for row in (await in_database(rows, turn)).values() if row.started_at
    )
    assert len(spans) == 3
    assert all((later[0] - earlier[0]).total_seconds() > 0.2 for earlier, later in pairwise(spans))


async def test_calls_without_ids_of_their_own_are_told_apart(
    person: User, assistant: Assistant, upstream: ResponsesServer, turns: None
) -> None:
    same = [call("add", "same", a=1), call("add", "same", a=2)]
    upstream.script({"calls": same}, {"calls": same}, {"text": "Done."})
    turn, final, _ = await answered(person, assistant)
    assert final["status"] == "completed"
    told = outputs(upstream.requests[2].body)
    assert [json.loads(output)["sum"] for _, output in told] == [1, 2, 1, 2]
    assert len({ident for ident, _ in told}) == 4
    assert len(await in_database(rows, turn)) == 4


@pytest.mark.parametrize(
    ("recording", "ids"),
    [
        ("calls-open-at-once.sse", ["call_13a", "call_13b"]),
        ("gateway-reuses-index-and-number.sse", ["call_1", "call_2"]),
        ("arguments-without-deltas.sse", ["call_4"]),
        ("final-event-without-output.sse", ["call_7"]),
    ],
)
async def test_recorded_calls_of_odd_servers_get_their_outputs(
    person: User, assistant: Assistant, upstream: ResponsesServer, turns: None, recording: str, ids: list[str]
) -> None:
    again = {"calls": [call("add", "next", a=4), call("add", "last", a=5)]}
    upstream.script({"recording": str(OWN / recording), "chunk": 7}, again, {"text": "None of them is there."})
    _, final, _ = await answered(person, assistant)
    assert final["status"] == "completed"
    told = outputs(upstream.requests[2].body)
    assert [ident for ident, _ in told] == [*ids, "next", "last"]
    assert [json.loads(output) for _, output in told[-2:]] == [{"sum": 4}, {"sum": 5}]


async def test_a_call_that_was_cut_off_is_never_run_and_the_conversation_goes_on(
    person: User, assistant: Assistant, upstream: ResponsesServer, turns: None, effects: Path
) -> None:
    whole, cut = call("act", "whole", mark="w", seconds=0), call("act", "cut", mark="c", seconds=0)
    upstream.script({"calls": [whole, cut], "cut_call": True, "incomplete": "max_output_tokens"})
    upstream.script({"calls": [whole, cut], "cut_call": True}, {"text": "Now without."})
    conversation = uuid.uuid4()
    first, final, _ = await answered(person, assistant, conversation=conversation)
    assert final["status"] == "incomplete"
    assert [samples.effects(effects, mark) for mark in "wc"] == [[], []]
    assert {row.status for row in (await in_database(rows, first)).values()} == {"failed"}
    # the server refuses a history with a call that has no output
    second, final, _ = await answered(person, assistant, conversation=conversation)
    assert final["status"] == "completed"
    assert [len(samples.effects(effects, mark)) for mark in "wc"] == [1, 0]
    assert "cut off" in dict(outputs(upstream.requests[2].body))["cut"]
    assert (await in_database(rows, second))["cut"].status == "failed"


async def test_stop_ends_running_tools_at_once_and_the_conversation_goes_on(
    person: User, assistant: Assistant, upstream: ResponsesServer, turns: None, effects: Path
) -> None:
    calls = [call("act", "once", mark="a", seconds=60), call("look", "again", mark="b", seconds=60),
             call("add", "quick", a=1)]  # fmt: skip
    upstream.script({"text": "Wait.", "calls": calls}, {"text": "Yes."})
    conversation = uuid.uuid4()
    async with tab_of(person) as tab:
        created = await tab.ask("Go.", conversation, assistant=assistant.id)
        await until(lambda: samples.effects(effects, "a") and samples.effects(effects, "b"))
        ended = ToolCall.objects.filter(turn=created["turn"], status="succeeded")
        async with asyncio.timeout(PATIENCE):
            while not await in_database(ended.exists):
                await asyncio.sleep(0.02)
        began = time.monotonic()
        await tab.send(type="turn.stop", turn=created["turn"])
        final = await tab.until("turn.final")
        assert time.monotonic() - began < 30
    assert final["status"] == "cancelled"
    turn = await in_database(Turn.objects.get, id=created["turn"])
    assert {ident: row.status for ident, row in (await in_database(rows, turn)).items()} == {
        "once": "unknown", "again": "failed", "quick": "succeeded",
    }  # fmt: skip
    assert (await in_database(kinds, turn)).count("function_call_output") == 3
    _, final, _ = await answered(person, assistant, "And now?", conversation=conversation)
    assert final["status"] == "completed"


async def test_the_page_tells_of_each_call_and_trusts_none_of_it(
    person: User, assistant: Assistant, upstream: ResponsesServer, turns: None
) -> None:
    calls = [call("add", "c1", a=41, b=1), call("<script>", "c2", x="<img src=x>"), call("break", "c3", how="says why")]
    upstream.script({"calls": calls}, {"text": "Done."})
    _, final, _ = await answered(person, assistant)
    shown = final["html"]
    assert shown.count('<details class="call">') == 3
    assert '<code class="call__name">add</code>' in shown
    assert "&quot;sum&quot;: 42" in shown
    assert "Give another name." in shown
    assert shown.count('<span class="call__outcome">failed</span>') == 2
    assert "<script>" not in shown
    assert "<img" not in shown


async def test_a_later_turn_carries_the_calls_of_earlier_ones_but_not_all_of_their_outputs(
    person: User, assistant: Assistant, upstream: ResponsesServer, turns: None
) -> None:
    conversation = uuid.uuid4()
    upstream.script({"reasoning": "Hm.", "calls": [call("add", "c1", a=1), call("tell", "c2", length=9000)]})
    upstream.script({"text": "Told."}, {"text": "And?"})
    await answered(person, assistant, conversation=conversation)
    await answered(person, assistant, conversation=conversation)
    within, later = (dict(outputs(upstream.requests[place].body)) for place in (1, 2))
    assert within["c1"] == later["c1"]
    assert len(within["c2"]) > 9000
    assert len(later["c2"]) <= 1500
    assert "[cut:" in later["c2"]
    assert [item["type"] for item in upstream.requests[2].body["input"]] == [
        "message", *["function_call"] * 2, *["function_call_output"] * 2, "message", "message",
    ]  # fmt: skip
