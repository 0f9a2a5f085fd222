"""What is written down of a request is what the server received, byte for byte, for each attempt of each step."""

import hashlib
import json
import uuid

import pytest

from chat.models import Conversation, SentRequest, Turn
from core.bridge import in_database
from core.models import User
from tests import factories
from tests.calling import answered, call, make_assistant
from tests.responses_server import ResponsesServer

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("effects")]

SEALED = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "sealed", "status": "completed"}
REFUSED = {"status": 400, "body": {"error": {"code": "invalid_encrypted_content", "message": "cannot read it"}}}


def sent_of(turn: Turn) -> list[SentRequest]:
    rows = SentRequest.objects.filter(response__turn=turn).order_by("response__step", "response__attempt")
    return list(rows.select_related("response"))


async def assert_same_bytes(turn: Turn, upstream: ResponsesServer) -> list[SentRequest]:
    rows = await in_database(sent_of, turn)
    assert [row.exact_body() for row in rows] == [entry.raw for entry in upstream.requests]
    for row, entry in zip(rows, upstream.requests, strict=True):
        assert row.sha256 == hashlib.sha256(entry.raw).hexdigest()
        assert row.manifest["body"] == {"encoding": "zlib", "bytes": len(entry.raw)}
        assert int(entry.headers["content-length"]) == len(entry.raw)
    return rows


async def test_steps_that_call_tools_and_speak_many_languages(
    person: User, upstream: ResponsesServer, turns: None
) -> None:
    assistant = await in_database(
        make_assistant, person, upstream, capabilities={"include": True}, parameters={"temperature": 0.5}
    )
    upstream.script({"items": [SEALED], "calls": [call("add", "c1", a=1)]}, {"text": "Ünïcode 🦜\u2028 and “quotes”."})
    conversation = uuid.uuid4()
    turn, _, _ = await answered(person, assistant, 'Größe? 大きさ \\ "a" </script>', conversation=conversation)
    await assert_same_bytes(turn, upstream)
    bodies = [json.loads(entry.raw) for entry in upstream.requests]
    assert [body["stream"] for body in bodies] == [True, True]
    assert bodies[0]["temperature"] == 0.5
    assert SEALED["encrypted_content"] in [item.get("encrypted_content") for item in bodies[1]["input"]]

    upstream.reset()
    upstream.script({"text": "Again."})
    second, _, _ = await answered(person, assistant, "And then?", conversation=conversation)
    (row,) = await assert_same_bytes(second, upstream)
    assert "🦜" in (row.exact_body() or b"").decode()
    assert row.body is not None
    assert len(row.body) < row.manifest["body"]["bytes"]


async def test_a_retry_that_changes_the_request_has_a_row_of_its_own(
    person: User, upstream: ResponsesServer, turns: None
) -> None:
    assistant = await in_database(make_assistant, person, upstream, capabilities={"include": True})
    upstream.script({"items": [SEALED], "calls": [call("add", "c1", a=1)]}, REFUSED, {"text": "Two."})
    turn, final, _ = await answered(person, assistant)
    assert final["status"] == "completed"
    rows = await assert_same_bytes(turn, upstream)
    assert [(row.response.step, row.response.attempt, row.response.status) for row in rows] == [
        (0, 0, "completed"), (1, 0, "failed"), (1, 1, "completed"),
    ]  # fmt: skip
    _, refused, repaired = rows
    assert refused.sha256 != repaired.sha256
    assert b"sealed" in (refused.exact_body() or b"")
    assert b"sealed" not in (repaired.exact_body() or b"")
    assert "stripped_reasoning" not in refused.manifest
    assert repaired.manifest["stripped_reasoning"]["count"] == 1
    assert 0 < repaired.manifest["tokens"]["steps"] < refused.manifest["tokens"]["steps"]


@pytest.mark.parametrize("capabilities", [{}, {"store": False, "tools": False, "metadata": False}])
async def test_a_server_that_knows_little_gets_little_and_that_is_what_is_kept(
    person: User, upstream: ResponsesServer, turns: None, capabilities: dict[str, bool]
) -> None:
    assistant = await in_database(make_assistant, person, upstream, capabilities=capabilities)
    upstream.script({"status": 503, "body": {"error": {"message": "busy"}}}, {"text": "Yes."})
    turn, _, _ = await answered(person, assistant)
    first, again = await assert_same_bytes(turn, upstream)
    assert first.sha256 == again.sha256
    assert ("tools" in json.loads(upstream.requests[0].raw)) == (not capabilities)


async def test_without_a_model_what_is_quoted_from_is_kept(person: User, turns: None) -> None:
    assistant = await in_database(
        lambda: factories.assistant(owner=person, model=factories.chat_model(), retrieval="off")
    )
    turn, _, _ = await answered(person, assistant, "What opens at six?")
    (row,) = await in_database(sent_of, turn)
    assert json.loads(row.exact_body() or b"") == {
        "model": "extractive", "question": "What opens at six?", "passages": [],
    }  # fmt: skip


async def test_bodies_go_with_their_conversation(person: User, upstream: ResponsesServer, turns: None) -> None:
    assistant = await in_database(make_assistant, person, upstream)
    upstream.script({"text": "Yes."})
    turn, _, _ = await answered(person, assistant)
    assert await in_database(SentRequest.objects.count) == 1
    await in_database(lambda: Conversation.objects.get(id=turn.conversation_id).delete())
    assert await in_database(SentRequest.objects.count) == 0
