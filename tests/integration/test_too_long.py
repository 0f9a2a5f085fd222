"""Requests that a server finds too long although we did not, and models with more room for what one has none for."""

import uuid
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from django.utils import timezone

from chat.models import Assistant, AssistantVersion, FallbackModel, Response, Turn
from chat.turns.steps import MAX_ATTEMPTS
from core.bridge import in_database
from core.models import EndpointModel, User
from tests import factories
from tests.chat_client import running_turns, tab_of
from tests.responses_server import ResponsesServer
from tests.upstream.script import Body, Script

pytestmark = pytest.mark.django_db(transaction=True)

ANSWER = 500
WORDS = "word " * 300


@pytest.fixture
def person(transactional_db: None) -> User:
    return factories.user()


@pytest.fixture
def model(upstream: ResponsesServer) -> EndpointModel:
    endpoint = factories.responses_endpoint(upstream.base_url)
    return factories.chat_model(endpoint=endpoint, name="small", context_window=6_000, max_output_tokens=ANSWER)


@pytest.fixture
def assistant(person: User, model: EndpointModel) -> Assistant:
    return factories.assistant(owner=person, model=model, retrieval="off", strategy="window")


@pytest.fixture
async def turns(transactional_db: None) -> AsyncIterator[None]:
    async with running_turns():
        yield


def talk(person: User, assistant: Assistant, turns: int = 12) -> Turn:
    """A conversation whose window is full, and the last of its turns."""
    conversation = factories.conversation(person, assistant)
    parent = None
    for number in range(turns):
        parent = factories.turn(conversation, text=f"Question {number}?", answer=WORDS, parent=parent)
    assert parent is not None
    return parent


def size(body: Body) -> int:
    """What this server counts: two tokens for each word."""
    return 2 * str(body["input"]).count("word ")


def refusing(limit: int, message: str, *, status: int = 400) -> Callable[[Body], Script | None]:
    """A server that takes `limit` tokens by its own count; its error names both with {counted} and {limit}."""

    def answer(body: Body) -> Script | None:
        if (counted := size(body)) <= limit or body["model"] != "small":
            return None
        said = {"message": message.format(counted=counted, limit=limit), "code": "context_length_exceeded"}
        if status == 200:
            return Script(fault="error_nested", after=-1, error=said)
        return Script(status=status, body={"error": said})

    return answer


async def ask(person: User, after: Turn, text: str = "And now?") -> dict[str, Any]:
    async with tab_of(person) as tab:
        await tab.ask(text, after.conversation_id, client_id=uuid.uuid4())
        return await tab.until("turn.final")


def responses() -> list[Response]:
    return list(Response.objects.order_by("created_at").select_related("sent"))


def fall_back(assistant: Assistant, upstream: ResponsesServer, **windows: int) -> None:
    """Publish a version that turns to models of these windows, in order."""
    before = assistant.published_version
    assert before is not None
    version = AssistantVersion.objects.create(
        assistant=assistant, number=2, model=before.model, retrieval="off", strategy="window"
    )
    for position, (name, window) in enumerate(windows.items()):
        endpoint = factories.responses_endpoint(upstream.base_url)
        model = factories.chat_model(endpoint=endpoint, name=name, context_window=window, max_output_tokens=ANSWER)
        FallbackModel.objects.create(version=version, model=model, position=position)
    version.published_at = timezone.now()
    version.save()
    assistant.published_version = version
    assistant.save()


NUMBERS = "This model's maximum context length is {limit} tokens. However, your request has {counted} input tokens."


@pytest.mark.parametrize("status", [400, 200])
async def test_what_the_server_finds_too_long_is_shortened_by_its_own_numbers(
    person: User, assistant: Assistant, model: EndpointModel, upstream: ResponsesServer, turns: None, status: int
) -> None:
    upstream.compute(refusing(5_500, NUMBERS, status=status))
    last = await in_database(talk, person, assistant)
    assert (await ask(person, last))["status"] == "completed"
    refused, answered = await in_database(responses)
    assert (refused.status, answered.status) == ("failed", "completed")
    assert (refused.attempt, answered.attempt) == (0, 1)
    assert refused.error_code == "context_length_exceeded"
    assert refused.idempotency_key != answered.idempotency_key
    assert refused.sent.manifest["limits"]["ratio"] == 1.0
    assert answered.sent.manifest["limits"]["ratio"] >= 1.8
    kept = len(answered.sent.manifest["turns"])
    assert 5 <= kept < len(refused.sent.manifest["turns"]), "no more is left out than has to be"
    assert {"part": "window", "count": 12 - kept, "why": "over the ceiling"} in answered.sent.manifest["dropped"]
    await in_database(model.refresh_from_db)
    assert model.token_ratio == answered.sent.manifest["limits"]["ratio"]

    assert (await ask(person, await in_database(Turn.objects.latest, "created_at")))["status"] == "completed"
    assert len(await in_database(responses)) == 3, "the next turn is short enough at once"


async def test_without_numbers_it_is_shortened_step_by_step(
    person: User, assistant: Assistant, upstream: ResponsesServer, turns: None
) -> None:
    upstream.compute(refusing(7_600, "Your input exceeds the context window of this model."))
    last = await in_database(talk, person, assistant, 16)
    assert (await ask(person, last))["status"] == "completed"
    sizes = [size(entry.body) for entry in upstream.requests]
    assert len(sizes) == 2
    assert sizes[1] <= sizes[0] / 1.2


async def test_it_is_not_tried_for_ever_and_then_the_next_model_is_asked(
    person: User, assistant: Assistant, upstream: ResponsesServer, turns: None
) -> None:
    upstream.compute(refusing(0, "The context window is too small for this."))
    await in_database(fall_back, assistant, upstream, large=40_000)
    last = await in_database(talk, person, assistant)
    assert (await ask(person, last))["status"] == "completed"
    assert [entry.body["model"] for entry in upstream.requests] == ["small"] * MAX_ATTEMPTS + ["large"]


async def test_what_cannot_become_shorter_is_not_sent_again(
    person: User, assistant: Assistant, upstream: ResponsesServer, turns: None
) -> None:
    """Where the first word is too much, there is nothing to leave out."""
    upstream.compute(refusing(-1, "The context window is too small for this."))
    async with tab_of(person) as tab:
        await tab.ask("word", uuid.uuid4(), assistant=assistant.id)
        final = await tab.until("turn.final")
    assert final["status"] == "failed"
    assert len(upstream.requests) == 1
    stored = await in_database(Turn.objects.latest, "created_at")
    assert stored.error_code == "input_too_long"


async def test_a_window_that_is_smaller_than_its_row_says_is_no_measure_of_a_tokenizer(
    person: User, assistant: Assistant, model: EndpointModel, upstream: ResponsesServer, turns: None
) -> None:
    await in_database(EndpointModel.objects.filter(id=model.id).update, context_window=200_000)
    upstream.compute(refusing(4_000, NUMBERS))
    last = await in_database(talk, person, assistant)
    assert (await ask(person, last))["status"] == "completed"
    assert len(upstream.requests) == 2
    await in_database(model.refresh_from_db)
    assert model.token_ratio < 1.5, "as the answer's usage says; the refusal says fifty"


async def test_a_model_with_more_room_answers_what_the_first_has_none_for(
    person: User, assistant: Assistant, upstream: ResponsesServer, turns: None
) -> None:
    await in_database(fall_back, assistant, upstream, middle=8_000, large=40_000)
    last = await in_database(talk, person, assistant, 1)
    assert (await ask(person, last, "a " * 10_000))["status"] == "completed"
    assert [entry.body["model"] for entry in upstream.requests] == ["large"], "the others are not even asked"


async def test_what_fits_no_model_is_refused_with_the_figures_of_the_largest(
    person: User, assistant: Assistant, upstream: ResponsesServer, turns: None
) -> None:
    await in_database(fall_back, assistant, upstream, large=12_000, tiny=2_000)
    last = await in_database(talk, person, assistant, 1)
    assert (await ask(person, last, "a " * 15_000))["status"] == "failed"
    assert not upstream.requests
    turn = await in_database(Turn.objects.latest, "created_at")
    assert (turn.error_code, turn.error_retryable) == ("input_too_long", False)
    assert "it has 15,0" in turn.error_message
    assert "10,9" in turn.error_message


async def test_a_server_that_fails_is_told_of_rather_than_a_model_without_room(
    person: User, assistant: Assistant, upstream: ResponsesServer, turns: None
) -> None:
    await in_database(fall_back, assistant, upstream, large=40_000)
    upstream.script({"status": 401, "body": {"error": {"code": "invalid_api_key"}}})
    last = await in_database(talk, person, assistant, 1)
    assert (await ask(person, last, "a " * 10_000))["status"] == "failed"
    assert (await in_database(Turn.objects.latest, "created_at")).error_code == "key_refused"
