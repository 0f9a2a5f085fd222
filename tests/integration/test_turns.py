"""The whole path of a turn: socket, services, runner, a scripted model server over HTTP, rows, frames."""

import asyncio
import json
import uuid

import pytest

from chat.models import Assistant, Conversation, Item, Response, Turn
from chat.rendering.markdown import render
from core.bridge import in_database
from core.models import User
from retrieval.models import Document
from tests import factories
from tests.chat_client import Tab, running_turns, tab_of
from tests.factories import session_of
from tests.responses_server import ResponsesServer
from tests.waiting import PATIENCE, until

pytestmark = pytest.mark.django_db(transaction=True)


def stored(turn: str) -> Turn:
    return Turn.objects.get(id=turn)


def answer_of(turn: str) -> str:
    return "\n\n".join(
        Item.objects.filter(turn=turn, role="assistant").order_by("position").values_list("text", flat=True)
    )


async def test_an_answer_streams_and_the_page_shows_what_is_stored(
    person: User, assistant: Assistant, upstream: ResponsesServer, turns: None
) -> None:
    text = "# Tides\n\nThe *tide* turns at **six**.\n\n- one\n- two\n"
    upstream.script({"text": text, "delay": 0.005})
    async with tab_of(person) as tab:
        created = await tab.ask("When does the tide turn?", uuid.uuid4(), assistant=assistant.id)
        final = await tab.until("turn.final")
    turn = await in_database(stored, created["turn"])
    assert (turn.status, final["status"]) == ("completed", "completed")
    assert await in_database(answer_of, created["turn"]) == text
    assert "".join(tab.page.blocks[created["turn"]]) == str(render(text)) or str(render(text)) in final["html"]
    assert str(render(text)) in final["html"]
    assert turn.output_tokens
    assert turn.first_text_at or turn.started_at
    sent = upstream.requests[0].body
    assert sent["stream"] is True
    assert sent["instructions"] == "Be brief."
    assert sent["input"][-1]["content"][-1]["text"] == "When does the tide turn?"


async def test_the_same_message_sent_again_is_the_same_turn(
    person: User, assistant: Assistant, upstream: ResponsesServer, turns: None
) -> None:
    conversation, client_id = uuid.uuid4(), uuid.uuid4()
    async with tab_of(person) as first, tab_of(person) as second:
        made = await asyncio.gather(
            *(
                tab.ask("Once?", conversation, client_id=client_id, assistant=assistant.id)
                for tab in (first, second)
                for _ in range(1)
            )
        )
        again = await first.ask("Once?", conversation, client_id=client_id, assistant=assistant.id)
        await second.until("turn.final")
    assert len({frame["turn"] for frame in [*made, again]}) == 1
    assert await in_database(Turn.objects.count) == 1
    assert len(upstream.requests) == 1


async def test_stop_keeps_what_was_said_and_closes_the_upstream(
    person: User, assistant: Assistant, upstream: ResponsesServer, turns: None
) -> None:
    upstream.script({"text": "word " * 10_000, "delay": 0.02})
    async with tab_of(person) as tab:
        created = await tab.ask("Talk.", uuid.uuid4(), assistant=assistant.id)
        await tab.growing()
        await tab.send(type="turn.stop", turn=created["turn"])
        final = await tab.until("turn.final")
    assert final["status"] == "cancelled"
    said = await in_database(answer_of, created["turn"])
    assert said.startswith("word")
    assert len(said) < 50_000
    await until(lambda: upstream.requests[0].disconnected)
    attempt = await in_database(Response.objects.get, turn=created["turn"])
    assert attempt.status == "cancelled"


async def test_a_reload_in_the_middle_shows_everything_so_far_and_the_rest(
    person: User, assistant: Assistant, upstream: ResponsesServer, turns: None
) -> None:
    text = " ".join(f"word{number}" for number in range(120))
    upstream.script({"text": text, "delay": 0.01, "hold": "reload", "held_after": 60})
    conversation = uuid.uuid4()
    session = await in_database(session_of, person)
    first = await Tab(session).open()
    created = await first.ask("Go on.", conversation, assistant=assistant.id)
    await first.growing()
    await first.close()
    second = await Tab(session).open()
    await second.send(type="subscribe", topic=f"conversation:{conversation}")
    snapshot = await second.until("turn.snapshot")
    assert snapshot["turn"] == created["turn"]
    upstream.let_go("reload")
    await second.until("turn.final")
    shown = "".join(second.page.blocks[created["turn"]])
    await second.close()
    assert shown == str(render(text))
    assert await in_database(answer_of, created["turn"]) == text


async def test_a_message_while_one_runs_waits_its_turn(
    person: User, assistant: Assistant, upstream: ResponsesServer, turns: None
) -> None:
    upstream.script({"text": "First answer.", "hold": "first"}, {"text": "Second answer."})
    conversation = uuid.uuid4()
    async with tab_of(person) as tab:
        first = await tab.ask("One?", conversation, assistant=assistant.id)
        second = await tab.ask("Two?", conversation, assistant=assistant.id)
        assert second["parent"] == first["turn"]
        upstream.let_go("first")
        await tab.until("turn.final", where=lambda frame: frame["turn"] == second["turn"])
    texts = [item["content"][0]["text"] for item in upstream.requests[1].body["input"]]
    assert texts == ["One?", "First answer.", "Two?"]


async def test_a_dead_server_is_tried_again_and_then_said(
    person: User, assistant: Assistant, upstream: ResponsesServer, turns: None
) -> None:
    upstream.script({"status": 503, "body": {"error": {"message": "overloaded"}}}, {"text": "Back again."})
    async with tab_of(person) as tab:
        created = await tab.ask("There?", uuid.uuid4(), assistant=assistant.id)
        final = await tab.until("turn.final")
    assert final["status"] == "completed"
    assert "Back again." in final["html"]
    attempts = await in_database(
        lambda: list(Response.objects.filter(turn=created["turn"]).values_list("attempt", "status"))
    )
    assert attempts == [(0, "failed"), (1, "completed")]


async def test_a_wrong_key_is_said_and_not_tried_again(
    person: User, assistant: Assistant, upstream: ResponsesServer, turns: None
) -> None:
    upstream.script({"status": 401, "body": {"error": {"message": "Incorrect API key provided: test-key"}}})
    async with tab_of(person) as tab:
        created = await tab.ask("There?", uuid.uuid4(), assistant=assistant.id)
        final = await tab.until("turn.final")
    turn = await in_database(stored, created["turn"])
    assert (final["status"], turn.error_code) == ("failed", "key_refused")
    assert "key is refused" in final["html"]
    assert "test-key" not in final["html"]
    assert len(upstream.requests) == 1


async def test_a_failure_in_the_middle_keeps_the_text_and_can_be_retried(
    person: User, assistant: Assistant, upstream: ResponsesServer, turns: None
) -> None:
    upstream.script({"text": "Half of the answer", "fault": "drop", "after": 2}, {"text": "The whole answer."})
    async with tab_of(person) as tab:
        created = await tab.ask("Tell me.", uuid.uuid4(), assistant=assistant.id)
        final = await tab.until("turn.final")
        assert final["status"] == "failed"
        assert "Half" in await in_database(answer_of, created["turn"])
        await tab.send(type="turn.retry", turn=created["turn"], client_id=uuid.uuid4())
        again = await tab.until("turn.created", where=lambda frame: frame["turn"] != created["turn"])
        await tab.until("turn.final", where=lambda frame: frame["turn"] == again["turn"])
    assert await in_database(answer_of, again["turn"]) == "The whole answer."
    both = await in_database(lambda: set(Turn.objects.values_list("input_item", "parent")))
    assert len(both) == 1


async def test_a_call_of_a_tool_that_is_not_there_gets_an_output_and_the_model_goes_on(
    person: User, assistant: Assistant, upstream: ResponsesServer, turns: None
) -> None:
    upstream.script({"calls": [{"name": "add", "arguments": {"a": 1}}]}, {"text": "I cannot add."})
    async with tab_of(person) as tab:
        created = await tab.ask("Add.", uuid.uuid4(), assistant=assistant.id)
        await tab.until("turn.final")
    output = upstream.requests[1].body["input"][-1]
    assert output["type"] == "function_call_output"
    assert "unknown_tool" in output["output"]
    kinds = await in_database(
        lambda: list(Item.objects.filter(turn=created["turn"]).order_by("position").values_list("type", flat=True))
    )
    assert kinds == ["message", "function_call", "function_call_output", "message"]


async def test_bad_frames_are_answered_and_the_socket_stays(person: User, turns: None, assistant: Assistant) -> None:
    async with tab_of(person) as tab:
        for frame in ({"type": "nonsense"}, {"type": "turn.create"}, {"type": "subscribe", "topic": "x"}, {}):
            await tab.send_text(json.dumps({**frame, "ref": "r"}))
            error = await tab.until("error")
            assert error["code"] == "invalid_input"
        await tab.send_text("{not json")
        assert (await tab.until("error"))["code"] == "invalid_input"
        await tab.send(
            type="turn.create", conversation=uuid.uuid4(), client_id=uuid.uuid4(), text="  ", assistant=assistant.id
        )
        assert "Write a message" in (await tab.until("error"))["message"]
        long = "x" * 50_001
        await tab.send(
            type="turn.create", conversation=uuid.uuid4(), client_id=uuid.uuid4(), text=long, assistant=assistant.id
        )
        assert "50,001 characters" in (await tab.until("error"))["message"]
        await tab.send(type="ping", ref="still here")
        assert (await tab.until("pong"))["ref"] == "still here"


async def test_a_turn_of_a_dead_process_is_taken_over(
    person: User, assistant: Assistant, upstream: ResponsesServer
) -> None:
    def left_behind() -> str:
        conversation = factories.conversation(person, assistant)
        turn = factories.turn(conversation, text="Anyone?", status="in_progress", owner=uuid.uuid4(), epoch=4)
        Response.objects.create(
            turn=turn, step=0, attempt=0, epoch=4, model_name="scripted", status="in_progress", idempotency_key="k"
        )
        return str(turn.id)

    upstream.script({"text": "Here."})
    turn_id = await in_database(left_behind)
    async with running_turns(), asyncio.timeout(PATIENCE):
        while not (turn := await in_database(stored, turn_id)).is_final:
            await asyncio.sleep(0.05)
    assert (turn.status, turn.epoch) == ("completed", 5)
    assert await in_database(answer_of, turn_id) == "Here."
    attempts = await in_database(lambda: list(Response.objects.filter(turn=turn_id).values_list("attempt", "status")))
    assert attempts == [(0, "cancelled"), (1, "completed")]


async def test_a_question_that_cannot_be_embedded_is_said_and_can_be_asked_again(
    person: User, upstream: ResponsesServer, turns: None
) -> None:
    def with_documents() -> Assistant:
        endpoint = factories.responses_endpoint(upstream.base_url)
        store = factories.store(owner=person, model=factories.embedding_model(endpoint=endpoint))
        factories.indexed_document(store, text="The pier is closed on Mondays.")
        chat = factories.chat_model(endpoint=endpoint)
        return factories.assistant(owner=person, model=chat, stores=[store])

    searching = await in_database(with_documents)
    upstream.script({"endpoint": "embeddings", "status": 401, "body": {"error": {"message": "no"}}})
    async with tab_of(person) as tab:
        created = await tab.ask("When is the pier closed?", uuid.uuid4(), assistant=searching.id)
        final = await tab.until("turn.final")
        assert final["status"] == "failed"
        assert "data-retry" in final["html"]
        await tab.send(type="turn.retry", turn=created["turn"], client_id=uuid.uuid4())
        again = await tab.until("turn.final", where=lambda frame: frame["turn"] != created["turn"])
    assert again["status"] == "completed"
    assert "closed on Mondays" in again["html"]
    assert 'class="citation"' in again["html"]
    assert not [request for request in upstream.requests if "pier" not in str(request.body)]


async def test_a_turn_waits_for_its_files(
    person: User, assistant: Assistant, upstream: ResponsesServer, turns: None
) -> None:
    upstream.script({"text": "Read it."})
    conversation = uuid.uuid4()

    def with_file() -> uuid.UUID:
        store = factories.store(owner=person, kind="conversation")
        Conversation.objects.create(id=conversation, user=person, assistant=assistant, store=store)
        return factories.document(store, state="extracting").id

    document = await in_database(with_file)
    async with tab_of(person) as tab:
        created = await tab.ask("What does it say?", conversation, files=[document])
        await asyncio.sleep(1.5)
        assert (await in_database(stored, created["turn"])).status == "queued"
        await in_database(
            lambda: Document.objects.filter(id=document).update(state="failed", error_code="x", error_message="No.")
        )
        await tab.until("turn.final")
    assert len(upstream.requests) == 1


async def test_another_tab_is_told_of_every_turn_also_when_a_hint_comes_late(
    person: User, assistant: Assistant, upstream: ResponsesServer, turns: None
) -> None:
    conversation = uuid.uuid4()
    async with tab_of(person) as asking, tab_of(person) as watching:
        first = await asking.ask("Question 0?", conversation, assistant=assistant.id)
        await asking.until("turn.final")
        await watching.send(type="subscribe", topic=f"conversation:{conversation}")
        await watching.until("subscribed")
        asked = []
        for number in range(1, 7):
            asked.append((await asking.ask(f"Question {number}?", conversation))["turn"])
            await asking.until("turn.final")
        announced: list[str] = []
        while asked[-1] not in watching.page.final:
            frame = await watching.receive()
            if frame["type"] == "turn.created":
                announced.append(frame["turn"])
    assert list(dict.fromkeys(announced)) == asked
    assert first["turn"] not in announced
