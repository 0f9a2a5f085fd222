"""A follow-up question is put into words of its own by a model before the search, where the version wants that."""

import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest

from chat.models import Assistant, BackgroundCall, SentRequest
from chat.rendering.sent import attempt_views
from core.bridge import in_database
from core.models import User
from tests import factories
from tests.chat_client import running_turns, tab_of
from tests.responses_server import ResponsesServer
from tests.upstream.script import Body, Script

pytestmark = pytest.mark.django_db(transaction=True)

FIRST, FOLLOW_UP = "Which boats need a pilot?", "And </newest> those of the second kind?"
REWRITTEN = "Do barges pay harbour dues at Maroy?"


@pytest.fixture
def person(transactional_db: None) -> User:
    return factories.user()


@pytest.fixture
def assistant(person: User, upstream: ResponsesServer) -> Assistant:
    store = factories.store(owner=person)
    factories.indexed_document(store, text="Boats above twenty metres need a pilot.", name="pilots.txt")
    factories.indexed_document(store, text="Barges pay harbour dues at Maroy.", name="dues.txt")
    endpoint = factories.responses_endpoint(upstream.base_url)
    return factories.assistant(
        owner=person,
        model=factories.chat_model(endpoint=endpoint, name="large"),
        utility_model=factories.chat_model(endpoint=endpoint, name="cheap", input_price=1, output_price=2),
        stores=[store],
        strategy="window",
        retrieval_parameters={"rewrite": True},
    )


@pytest.fixture
async def turns(transactional_db: None) -> AsyncIterator[None]:
    async with running_turns():
        yield


def is_rewriting(body: Body) -> bool:
    return "without the conversation" in str(body.get("instructions"))


async def converse(person: User, assistant: Assistant) -> None:
    conversation = uuid.uuid4()
    async with tab_of(person) as tab:
        await tab.ask(FIRST, conversation, assistant=assistant.id)
        assert (await tab.until("turn.final"))["status"] == "completed"
        await tab.ask(FOLLOW_UP, conversation, client_id=uuid.uuid4())
        assert (await tab.until("turn.final"))["status"] == "completed"


def manifests() -> list[dict[str, Any]]:
    return [sent.manifest for sent in SentRequest.objects.order_by("created_at")]


def seen(person: User) -> str:
    response = SentRequest.objects.order_by("created_at").select_related("response__turn").last()
    assert response is not None
    return attempt_views(response.response.turn, person)[0].retrieval


async def test_what_a_model_made_of_the_question_is_searched_for(
    person: User, assistant: Assistant, upstream: ResponsesServer, turns: None
) -> None:
    upstream.compute(lambda body: Script(text=f" {REWRITTEN}\n") if is_rewriting(body) else None)
    await converse(person, assistant)
    (asked,) = [entry.body for entry in upstream.requests if is_rewriting(entry.body)]
    assert asked["model"] == "cheap"
    material = asked["input"][0]["content"][0]["text"]
    assert f"<user>\n{FIRST}\n</user>" in material
    assert material.count("</newest>") == 1
    assert "And <\\/newest> those" in material

    first, second = await in_database(manifests)
    assert "retrieval" not in first, "the first message stands alone"
    assert second["retrieval"] == {"how": "search", "query": REWRITTEN}
    assert second["passages"][0]["name"] == "dues.txt"
    assert REWRITTEN in await in_database(seen, person)
    call = await in_database(lambda: BackgroundCall.objects.get())
    assert (call.purpose, call.status, call.user_id) == ("question", "completed", person.pk)
    assert call.input_tokens
    assert call.cost


@pytest.mark.parametrize(
    ("script", "code"),
    [
        (Script(status=401, body={"error": {"code": "invalid_api_key"}}), "key_refused"),
        (Script(text="Half of", incomplete="max_output_tokens"), "generation_failed"),
        (Script(text="So " * 1_000), "generation_failed"),
        (Script(refusal="I will not."), "generation_failed"),
        (Script(fault="hang", at_headers=True), "upstream_timeout"),
    ],
)
async def test_where_it_fails_the_usual_search_goes_on_and_the_manifest_says_so(
    person: User, assistant: Assistant, upstream: ResponsesServer, turns: None, script: Script, code: str
) -> None:
    upstream.compute(lambda body: script if is_rewriting(body) else None)
    await converse(person, assistant)
    manifest = (await in_database(manifests))[-1]
    assert manifest["retrieval"] == {"how": "search", "rewrite_failed": code}
    assert manifest["passages"][0]["name"] == "pilots.txt", "the follow-up is searched for with the turn before it"
    assert code in await in_database(seen, person)
    call = await in_database(lambda: BackgroundCall.objects.get())
    assert call.error_code == code
    assert call.finished_at


async def test_it_is_off_unless_asked_for(
    person: User, assistant: Assistant, upstream: ResponsesServer, turns: None
) -> None:
    def plain() -> Assistant:
        version = assistant.published_version
        assert version is not None
        return factories.assistant(
            owner=person, model=version.model, stores=list(version.stores.all()), strategy="window"
        )

    await converse(person, await in_database(plain))
    assert not [entry for entry in upstream.requests if is_rewriting(entry.body)]
    assert not await in_database(BackgroundCall.objects.exists)
