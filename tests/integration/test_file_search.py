"""`file_search`: what the model finds itself is cited and verified like what came with the question."""

import json
from typing import Any

import pytest

from chat.models import Assistant, Citation, Conversation
from chat.turns.scope import tool_scope
from core.bridge import in_database
from core.models import User
from core.models.grants import Grant, Role
from retrieval.models import Document
from tests import factories
from tests import tools as samples
from tests.calling import answered, call, make_assistant, outputs
from tests.responses_server import ResponsesServer

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def tools(settings: Any) -> None:
    settings.TOOLS = ["tools.builtin.search.FILE_SEARCH", *samples.PATHS]


def library(person: User, upstream: ResponsesServer, **version: Any) -> Assistant:
    store = factories.store(owner=factories.user())
    factories.indexed_document(store, text="The pier is closed on Mondays.", name="pier.txt")
    factories.indexed_document(store, text="The lighthouse was built in 1871.", name="light.txt")
    return make_assistant(person, upstream, stores=[store], **version)


def searching(body: Any) -> dict[str, Any] | None:
    """Searches twice, then cites the best passage of each output, and one that was never sent."""
    if not (told := outputs(body)):
        queries = ("When is the pier closed?", "When was the lighthouse built?")
        return {"calls": [call("file_search", query=query) for query in queries]}
    best = [json.loads(output)["passages"][0] for _, output in told]
    return {"text": " ".join(f"{one['text']} [{one['number']}]" for one in best) + " Nobody said so. [99]"}


@pytest.mark.parametrize("retrieval", ["tool", "auto"])
async def test_the_model_searches_and_its_citations_are_verified(
    person: User, upstream: ResponsesServer, turns: None, retrieval: str
) -> None:
    tools = [] if retrieval == "tool" else [{"name": "file_search"}]
    assistant = await in_database(library, person, upstream, retrieval=retrieval, tools=tools)
    upstream.compute(searching)
    turn, final, _ = await answered(person, assistant, "Tell me of pier and lighthouse.")
    assert final["status"] == "completed"
    cited = await in_database(
        lambda: list(Citation.objects.filter(item__turn=turn).order_by("number").values_list("document_name", "quote"))
    )
    assert sorted(cited) == [
        ("light.txt", "The lighthouse was built in 1871."),
        ("pier.txt", "The pier is closed on Mondays."),
    ]
    assert "[99]" not in final["html"]
    assert final["html"].count('class="citation"') == 2
    carried = "<passages>" in str(upstream.requests[0].body["input"])
    assert carried is (retrieval == "auto")
    numbers = [reference["number"] for reference in turn.passages]
    assert len(numbers) == len(set(numbers)) == 2, "what is found again keeps its number"


BEFORE = {"type": "lt", "key": "year", "value": 2000}


def dated(person: User, upstream: ResponsesServer, **version: Any) -> Assistant:
    """An assistant whose documents of this century do not count."""
    store = factories.store(owner=factories.user())
    for year in (1931, 1987, 2020):
        made = factories.indexed_document(store, text=f"The pier was painted in {year}.", name=f"{year}.txt")
        Document.objects.filter(pk=made.pk).update(attributes={"year": year})
    return make_assistant(person, upstream, stores=[store], **{"retrieval_parameters": {"filter": BEFORE}, **version})


@pytest.mark.parametrize("whole", [{}, {"whole_tokens": 2000}])
async def test_a_version_draws_on_what_passes_its_filter(
    person: User, upstream: ResponsesServer, turns: None, whole: dict[str, int]
) -> None:
    assistant = await in_database(
        dated, person, upstream, retrieval="auto", retrieval_parameters={"filter": BEFORE, **whole}
    )
    turn, _, _ = await answered(person, assistant, "When was the pier painted?")
    assert {reference["name"] for reference in turn.passages} == {"1931.txt", "1987.txt"}
    assert {bool(reference.get("whole")) for reference in turn.passages} == {bool(whole)}


NARROWED: list[tuple[dict[str, Any], set[str] | str]] = [
    ({}, {"1931.txt", "1987.txt"}),
    ({"file_name": "1987.txt"}, {"1987.txt"}),
    ({"file_name": "2020.txt"}, set()),
    ({"attributes": [{"key": "year", "type": "gt", "value": 1950}]}, {"1987.txt"}),
    ({"attributes": [{"key": "year", "type": "eq", "value": 2020}]}, set()),
    ({"attributes": [{"key": "year", "type": "eq", "value": True}]}, set()),
    ({"attributes": [{"key": "year", "type": "gt", "value": True}]}, "These attributes cannot be compared."),
]


@pytest.mark.parametrize(("narrowing", "expected"), NARROWED)
async def test_the_model_narrows_within_what_the_version_allows(
    person: User, upstream: ResponsesServer, turns: None, narrowing: dict[str, Any], expected: set[str] | str
) -> None:
    def once(body: Any) -> dict[str, Any] | None:
        if outputs(body):
            return {"text": "Done."}
        return {"calls": [call("file_search", query="When was the pier painted?", **narrowing)]}

    assistant = await in_database(dated, person, upstream, retrieval="tool", tools=[])
    upstream.compute(once)
    turn, final, _ = await answered(person, assistant, "When was the pier painted?")
    assert final["status"] == "completed"
    if isinstance(expected, str):
        (_, told), *_ = outputs(upstream.requests[-1].body)
        assert expected in told
    else:
        assert {reference["name"] for reference in turn.passages} == expected


async def test_a_server_without_tools_is_searched_for(person: User, upstream: ResponsesServer, turns: None) -> None:
    assistant = await in_database(library, person, upstream, retrieval="tool", tools=[], capabilities={"tools": False})
    _, final, _ = await answered(person, assistant, "When is the pier closed?")
    assert "tools" not in upstream.requests[0].body
    assert "closed on Mondays" in final["html"]


def test_a_tool_searches_what_its_person_may_see_now(transactional_db: None, upstream: ResponsesServer) -> None:
    owner, teammate, outsider = factories.user(), factories.user(), factories.user()
    assistant = library(owner, upstream, retrieval="tool")
    grant = Grant.objects.create(target=assistant, user=teammate, role=Role.READER)
    version = assistant.published_version
    assert version is not None
    shared = version.stores.get()

    def scope(person: User) -> set[Any]:
        own = factories.store(owner=person, kind="conversation")
        conversation = Conversation.objects.create(user=person, assistant=assistant, store=own)
        found = set(tool_scope(version, conversation.id, person.id))
        if person != outsider:
            assert not tool_scope(version, conversation.id, outsider.id).exists(), "a foreign conversation's files"
        return {"shared" if store == shared else "own" for store in found}

    assert scope(owner) == scope(teammate) == {"shared", "own"}
    assert scope(outsider) == {"own"}
    grant.delete()
    assert scope(teammate) == {"own"}
    User.objects.filter(id=owner.id).update(is_active=False)
    assert scope(owner) == set()
