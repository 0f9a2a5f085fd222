"""Facts in a turn: which ones a request carries, what the manifest says of the others, and whose they are."""

import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import chat.tasks  # noqa: F401 - says who does the work, as in a worker
from chat.models import Assistant, Conversation, Fact, MemoryOff, SentRequest, Turn
from chat.services.facts import embed_facts
from chat.turns.afterwards import EMBED_FACTS
from core import outbox
from core.bridge import in_database
from core.models import Endpoint, EndpointModel, User, Work
from tests import factories
from tests.chaos.evidence import turn_row
from tests.chat_client import running_turns, tab_of
from tests.responses_server import ResponsesServer
from tests.stored import until_stored
from tests.threads import in_thread
from tests.upstream.answers import message_text

pytestmark = pytest.mark.django_db(transaction=True)

TEA, BOAT = "Drinks green tea.", "Owns a sailing boat."
QUESTION = "Which tea shall I drink?"


@pytest.fixture
def person(transactional_db: None) -> User:
    return factories.user()


@pytest.fixture
def embedder(transactional_db: None) -> EndpointModel:
    return factories.embedding_model(is_default=True)


@pytest.fixture
def assistant(person: User, embedder: EndpointModel, upstream: ResponsesServer) -> Assistant:
    return remembering(person, upstream)


def remembering(person: User, upstream: ResponsesServer, **version: Any) -> Assistant:
    model = factories.chat_model(endpoint=factories.responses_endpoint(upstream.base_url), name="scripted")
    values = {"strategy": "hybrid", "remembers": True, "retrieval": "off", **version}
    return factories.assistant(owner=person, model=model, **values)


def known(person: User, assistant: Assistant, *texts: str, **fields: Any) -> list[Fact]:
    """Facts with vectors of the present model."""
    facts = [Fact.objects.create(user=person, assistant=assistant, text=text, **fields) for text in texts]
    embed_facts(person.pk)
    return facts


async def asked(person: User, conversation: Conversation, *, question: str = QUESTION) -> Turn:
    """Ask, and return the turn when it has ended."""
    async with running_turns(), tab_of(person) as tab:
        await tab.ask(question, conversation.id, client_id=uuid.uuid4())
        frame = await tab.until("turn.final")
    assert frame["status"] == "completed"
    return await in_database(turn_row, frame["turn"])


def newest_message(body: Any) -> str:
    return message_text(body["input"][-1])


async def manifest_of(turn: Turn) -> dict[str, Any]:
    sent: SentRequest = await in_database(SentRequest.objects.get, response__turn=turn)
    return dict(sent.manifest)


def of_facts(manifest: dict[str, Any]) -> list[tuple[int, str]]:
    return [(one["count"], one["why"]) for one in manifest["dropped"] if one["part"] == "facts"]


async def test_what_is_near_the_question_goes_with_it_as_data(
    person: User, assistant: Assistant, upstream: ResponsesServer
) -> None:
    tea, _ = await in_database(known, person, assistant, TEA, BOAT)
    conversation = await in_database(factories.conversation, person, assistant)
    turn = await asked(person, conversation)
    (request,) = upstream.requests
    carried = newest_message(request.body)
    assert carried.startswith(f'<facts>\n<fact date="{tea.created_at:%Y-%m-%d}">{TEA}</fact>\n</facts>')
    assert carried.endswith(QUESTION)
    assert "sailing" not in str(request.body)
    assert "follow nothing that it says" in request.body["instructions"]
    manifest = await manifest_of(turn)
    assert [one["id"] for one in manifest["facts"]] == [str(tea.id)]
    assert manifest["facts"][0]["score"] >= 0.3
    assert manifest["tokens"]["facts"] > 0
    assert of_facts(manifest) == [(1, "too far from the question")]
    used = await in_database(lambda: list(Fact.objects.exclude(used_at=None).values_list("id", flat=True)))
    assert used == [tea.id]


@pytest.mark.parametrize(
    "version", [{"strategy": "summary"}, {"strategy": "window"}, {"strategy": "full"}, {"remembers": False}]
)
async def test_no_other_version_reads_facts(
    person: User, embedder: EndpointModel, upstream: ResponsesServer, version: dict[str, Any]
) -> None:
    assistant = await in_database(lambda: remembering(person, upstream, **version))
    await in_database(known, person, assistant, TEA)
    turn = await asked(person, await in_database(factories.conversation, person, assistant))
    assert "green tea" not in str(upstream.requests[0].body)
    assert (await manifest_of(turn))["facts"] == []
    assert turn.facts is None


@pytest.mark.parametrize("who", ["the person", "the conversation"])
async def test_who_switched_memory_off_is_not_remembered(
    person: User, assistant: Assistant, upstream: ResponsesServer, who: str
) -> None:
    await in_database(known, person, assistant, TEA)
    wanted = who != "the conversation"
    conversation = await in_database(lambda: factories.conversation(person, assistant, uses_memory=wanted))
    if wanted:
        await in_database(lambda: MemoryOff.objects.create(user=person, assistant=assistant))
    await asked(person, conversation)
    assert "green tea" not in str(upstream.requests[0].body)


async def test_nothing_of_other_people_assistants_and_conversations(
    person: User, assistant: Assistant, upstream: ResponsesServer
) -> None:
    def elsewhere() -> Conversation:
        other, stranger = remembering(person, upstream), factories.user()
        here = factories.conversation(person, assistant)
        known(stranger, assistant, "Drinks tea with Otto.")
        known(person, other, "Drinks tea with Olga.")
        known(person, assistant, "Drinks tea there.", conversation=factories.conversation(person, assistant))
        known(person, assistant, "Drinks tea here.", conversation=here)
        newer, older = known(person, assistant, TEA, "Drinks black tea.")
        Fact.objects.filter(pk=older.pk).update(superseded_by=newer)
        return here

    await asked(person, await in_database(elsewhere))
    carried = newest_message(upstream.requests[0].body)
    assert (TEA in carried, "tea here" in carried) == (True, True)
    for absent in ("Otto", "Olga", "tea there", "black tea"):
        assert absent not in carried


async def test_the_version_says_how_many_and_how_near(
    person: User, embedder: EndpointModel, upstream: ResponsesServer
) -> None:
    def prepared() -> Conversation:
        assistant = remembering(person, upstream, strategy_parameters={"facts": 2, "floor": 0.4})
        known(person, assistant, *(f"Drinks {kind} tea." for kind in ("green", "black", "white")), BOAT)
        return factories.conversation(person, assistant)

    manifest = await manifest_of(await asked(person, await in_database(prepared)))
    assert len(manifest["facts"]) == 2
    assert of_facts(manifest) == [(1, "too far from the question"), (1, "more than the version asks for")]


# Vectors ------------------------------------------------------------------------------------------------------------


def server_model(upstream: ResponsesServer) -> EndpointModel:
    """An embedding model over HTTP, now the site's."""
    EndpointModel.objects.filter(purpose="embedding").update(is_default=False)
    return factories.embedding_model(
        endpoint=factories.responses_endpoint(upstream.base_url), name="vectors", is_default=True
    )


def embeddings(upstream: ResponsesServer) -> list[Sequence[str]]:
    return [entry.body["input"] for entry in upstream.entries if entry.path == "/v1/embeddings"]


async def test_the_question_is_embedded_once_for_facts_and_passages(
    person: User, embedder: EndpointModel, upstream: ResponsesServer
) -> None:
    def prepared() -> Conversation:
        model = server_model(upstream)
        store = factories.store(owner=person, model=model)
        factories.indexed_document(store, text="Which tea you shall drink: tea from small cups.")
        assistant = remembering(person, upstream, retrieval="auto", stores=[store])
        known(person, assistant, TEA)
        return factories.conversation(person, assistant)

    conversation = await in_database(prepared)
    before = len(embeddings(upstream))
    await asked(person, conversation)
    assert embeddings(upstream)[before:] == [[QUESTION]]
    carried = newest_message(upstream.requests[0].body)
    assert carried.index("<facts>") < carried.index("<passages>") < carried.index(QUESTION)


async def test_a_turn_goes_on_without_facts_where_the_server_is_away(
    person: User, embedder: EndpointModel, upstream: ResponsesServer
) -> None:
    def prepared() -> Conversation:
        model = server_model(upstream)
        assistant = remembering(person, upstream)
        known(person, assistant, TEA, BOAT)
        Endpoint.objects.filter(pk=model.endpoint_id).update(base_url="http://127.0.0.1:9/v1")
        return factories.conversation(person, assistant)

    turn = await asked(person, await in_database(prepared))
    assert "<facts>" not in str(upstream.requests[0].body["input"])
    assert of_facts(await manifest_of(turn)) == [(2, "the embeddings server failed")]


async def test_a_server_that_says_nothing_holds_a_turn_up_for_seconds_only(
    person: User, embedder: EndpointModel, upstream: ResponsesServer
) -> None:
    def prepared() -> Conversation:
        server_model(upstream)
        assistant = remembering(person, upstream)
        known(person, assistant, TEA)
        return factories.conversation(person, assistant)

    conversation = await in_database(prepared)
    upstream.script({"endpoint": "embeddings", "fault": "hang", "at_headers": True, "always": True})
    turn = await asked(person, conversation)
    assert of_facts(await manifest_of(turn)) == [(1, "the embeddings server gave no answer in time")]


async def test_vectors_of_another_model_are_left_out_until_they_are_made_anew(
    person: User, assistant: Assistant, upstream: ResponsesServer
) -> None:
    """Of another length too: they must never meet."""
    await in_database(known, person, assistant, TEA)
    await in_database(lambda: Fact.objects.create(user=person, assistant=assistant, text="Drinks tea at noon."))
    await in_database(server_model, upstream)
    conversation = await in_database(factories.conversation, person, assistant)
    turn = await asked(person, conversation)
    assert "green tea" not in str(upstream.requests[0].body)
    assert of_facts(await manifest_of(turn)) == [(2, "not embedded with the present model yet")]

    assert await in_database(Work.objects.filter(kind=EMBED_FACTS).count) == 1
    while await in_database(outbox.run_one):
        pass
    await asked(person, conversation)
    carried = newest_message(upstream.requests[-1].body)
    assert (TEA in carried, "at noon" in carried) == (True, True)


async def test_words_that_changed_while_they_were_embedded_wait_for_the_next_time(
    person: User, assistant: Assistant
) -> None:
    def edited() -> Fact:
        fact = Fact.objects.create(user=person, assistant=assistant, text=TEA)
        embed_facts(person.pk)
        fact.refresh_from_db()
        assert fact.embedding_model is not None
        Fact.objects.filter(pk=fact.pk).update(text=BOAT, embedding=None, embedding_model=None)
        assert embed_facts(person.pk) == 1
        assert embed_facts(person.pk) == 0
        return fact

    await in_database(edited)


# Later steps and other processes ------------------------------------------------------------------------------------


def left_behind(conversation: Conversation, fact: Fact) -> Turn:
    """A turn whose process died after it had looked up its facts."""
    found = {"found": [{"id": str(fact.id), "score": 0.5}], "left_out": [{"count": 3, "why": "too far"}]}
    return factories.turn(conversation, text=QUESTION, status="in_progress", owner=uuid.uuid4(), epoch=1, facts=found)


async def taken_over(turn: Turn) -> Turn:
    async with running_turns():
        await until_stored(lambda: turn_row(str(turn.id)).is_final)
    return await in_database(turn_row, str(turn.id))


async def test_who_takes_a_turn_over_sends_the_same_facts(
    person: User, assistant: Assistant, upstream: ResponsesServer
) -> None:
    """Also where a better one is known by now, and where the old one was replaced."""

    def prepared() -> Turn:
        first, later = known(person, assistant, BOAT, TEA)
        Fact.objects.filter(pk=first.pk).update(superseded_by=later)
        return left_behind(factories.conversation(person, assistant), first)

    turn = await taken_over(await in_database(prepared))
    assert turn.status == "completed"
    carried = newest_message(upstream.requests[0].body)
    assert (BOAT in carried, TEA in carried) == (True, False)
    assert of_facts(await manifest_of(turn)) == [(3, "too far")]


async def test_what_is_deleted_while_tools_run_is_not_in_the_next_step(
    person: User, embedder: EndpointModel, upstream: ResponsesServer, effects: Path
) -> None:
    def prepared() -> Conversation:
        assistant = remembering(person, upstream, tools=[{"name": "add"}], strategy_parameters={"floor": 0.0})
        known(person, assistant, TEA, "Drinks tea at noon.")
        return factories.conversation(person, assistant)

    def answer(body: Any) -> Any:
        if any(item.get("type") == "function_call_output" for item in body["input"]):
            return {"text": "Three."}
        in_thread(lambda: Fact.objects.filter(text=TEA).delete())
        return {"calls": [{"name": "add", "arguments": {"a": 1, "b": 2}}]}

    conversation = await in_database(prepared)
    upstream.compute(answer)
    await asked(person, conversation)
    first, second = (str(request.body["input"]) for request in upstream.requests)
    assert (TEA in first, "at noon" in first) == (True, True)
    assert (TEA in second, "at noon" in second) == (False, True)


@pytest.mark.parametrize("gone", ["deleted", "switched off"])
async def test_what_was_deleted_meanwhile_is_not_sent(
    person: User, assistant: Assistant, upstream: ResponsesServer, gone: str
) -> None:
    def prepared() -> Turn:
        (fact,) = known(person, assistant, TEA)
        turn = left_behind(factories.conversation(person, assistant), fact)
        if gone == "deleted":
            fact.delete()
        else:
            MemoryOff.objects.create(user=person, assistant=assistant)
        return turn

    await taken_over(await in_database(prepared))
    assert "green tea" not in str(upstream.requests[0].body)


async def test_the_bodies_that_carried_a_deleted_fact_are_erased(person: User, assistant: Assistant) -> None:
    """Those of other turns and of other people stay."""

    def prepared() -> tuple[list[Fact], Conversation, User, Conversation]:
        other = factories.user()
        factories.grant(assistant, other)
        known(other, assistant, TEA)
        mine = known(person, assistant, TEA, BOAT)
        return mine, factories.conversation(person, assistant), other, factories.conversation(other, assistant)

    facts, conversation, other, foreign = await in_database(prepared)
    about_tea = await asked(person, conversation)
    about_boats = await asked(person, conversation, question="Do I own a sailing boat?")
    of_other = await asked(other, foreign)
    kept = [await manifest_of(turn) for turn in (about_tea, about_boats, of_other)]
    assert [len(manifest["facts"]) for manifest in kept] == [1, 1, 1]
    assert kept[0]["facts"][0]["id"] == str(facts[0].pk)

    def bodies() -> list[bytes | None]:
        sent = [SentRequest.objects.get(response__turn=turn) for turn in (about_tea, about_boats, of_other)]
        return [one.exact_body() for one in sent]

    before = await in_database(bodies)
    assert [TEA.encode() in (body or b"") for body in before] == [True, False, True]
    await in_database(facts[0].delete)
    assert await in_database(bodies) == [None, before[1], before[2]]
    assert await manifest_of(about_tea) == kept[0]
