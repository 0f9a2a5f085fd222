"""`file_search`: what the model finds itself is cited and verified like what came with the question."""

import json
from typing import Any

import pytest

from chat.models import Assistant, Citation, Conversation
from chat.turns.scope import tool_scope
from core.bridge import in_database
from core.models import User
from core.models.grants import Grant, Role
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
