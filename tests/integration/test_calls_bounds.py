"""What bounds a turn that calls tools: steps, tokens, time. Each ends it in a stated way, and what was said is kept."""

import time
from typing import Any

import pytest

from chat.models import Assistant
from core.bridge import in_database
from core.models import User
from tests.calling import answered, call, make_assistant, rows
from tests.responses_server import ResponsesServer

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("effects")]


@pytest.fixture
def assistant(person: User, upstream: ResponsesServer) -> Assistant:
    return make_assistant(person, upstream)


def endless(body: Any) -> dict[str, Any]:
    """A model that calls as long as it may, and answers when it may not."""
    if body.get("tools") and body.get("tool_choice") != "none":
        return {"text": "Once more.", "calls": [call("add", a=1)]}
    return {"text": "That is all."}


@pytest.mark.parametrize("takes_choice", [True, False])
async def test_on_the_last_step_the_model_has_to_answer(
    person: User, upstream: ResponsesServer, turns: None, settings: Any, takes_choice: bool
) -> None:
    settings.TURN_MAX_STEPS = 3
    assistant = await in_database(make_assistant, person, upstream, capabilities={"tool_choice": takes_choice})
    upstream.compute(endless)
    _, final, _ = await answered(person, assistant)
    assert final["status"] == "completed"
    assert "That is all." in final["html"]
    bodies = [request.body for request in upstream.requests]
    assert [body.get("tool_choice") for body in bodies] == [None, None, "none" if takes_choice else None]
    assert ["tools" in body for body in bodies] == [True, True, takes_choice]


async def test_a_model_that_calls_all_the_same_ends_the_turn_with_what_was_said(
    person: User, assistant: Assistant, upstream: ResponsesServer, turns: None, settings: Any
) -> None:
    settings.TURN_MAX_STEPS = 2
    upstream.script(*({"text": f"Step {number}.", "calls": [call("add", a=1)]} for number in range(2)))
    turn, final, _ = await answered(person, assistant)
    assert (final["status"], turn.error_code) == ("failed", "too_many_steps")
    assert "Step 0." in final["html"]
    assert "Step 1." in final["html"]
    assert sorted(row.status for row in (await in_database(rows, turn)).values()) == ["failed", "succeeded"]


async def test_tokens_are_bounded_over_all_steps(
    person: User, assistant: Assistant, upstream: ResponsesServer, turns: None, settings: Any
) -> None:
    settings.TURN_MAX_TOKENS = 3000
    upstream.compute(endless)
    turn, final, _ = await answered(person, assistant)
    assert final["status"] == "completed"
    assert "That is all." in final["html"]
    assert turn.input_tokens is not None
    assert turn.input_tokens + (turn.output_tokens or 0) <= 3000
    assert upstream.requests[-1].body["tool_choice"] == "none"


async def test_a_turn_that_has_used_up_its_tokens_says_so_and_keeps_what_was_said(
    person: User, assistant: Assistant, upstream: ResponsesServer, turns: None, settings: Any
) -> None:
    settings.TURN_MAX_TOKENS = 1000
    upstream.script({"text": "word " * 4000, "calls": [call("act", "c", mark="m", seconds=0)]})
    turn, final, _ = await answered(person, assistant)
    assert (final["status"], turn.error_code) == ("failed", "too_many_tokens")
    assert "1,000 tokens" in final["html"]
    assert "word word" in final["html"]
    assert (await in_database(rows, turn))["c"].status == "failed"


async def test_a_tool_does_not_outlive_its_turn(
    person: User, assistant: Assistant, upstream: ResponsesServer, turns: None, settings: Any
) -> None:
    settings.TURN_MAX_SECONDS = 3
    upstream.script({"text": "Wait.", "calls": [call("act", "c", mark="m", seconds=100)]}, {"text": "x", "delay": 0.5})
    began = time.monotonic()
    turn, final, _ = await answered(person, assistant)
    assert time.monotonic() - began < 60
    assert (final["status"], turn.error_code) == ("failed", "turn_deadline")
    assert "Wait." in final["html"]
    assert (await in_database(rows, turn))["c"].status in {"failed", "unknown"}


async def test_a_call_that_the_version_demands_is_demanded_once(
    person: User, upstream: ResponsesServer, turns: None
) -> None:
    assistant = await in_database(make_assistant, person, upstream, parameters={"tool_choice": "required"})
    upstream.script({"calls": [call("add", a=1)]}, {"text": "One."})
    await answered(person, assistant)
    assert [request.body["tool_choice"] for request in upstream.requests] == ["required", "auto"]
