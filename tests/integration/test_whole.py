"""Documents that are short enough go in whole: in order, as citable passages, the same bytes in every turn."""

import uuid
from collections.abc import AsyncIterator
from itertools import pairwise
from typing import Any

import orjson
import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from chat.models import Assistant, Citation, SentRequest, Turn
from chat.turns.job import Claimed, load_job
from core.bridge import in_database
from core.models import User
from retrieval import ingestion
from retrieval.models import Document, Revision, VectorStore
from retrieval.search import whole
from tests import factories
from tests.chat_client import running_turns, tab_of
from tests.responses_server import ResponsesServer

pytestmark = pytest.mark.django_db(transaction=True)

TIDES = "# Tides\n\nThe tide turns at six. " + "It rises slowly. " * 60 + "\n\n# Boats\n\nEvery ferry needs a pilot.\n"
RULES = "Ships wait at the quay until the pilot is on board."


@pytest.fixture
def person(transactional_db: None) -> User:
    return factories.user()


@pytest.fixture
def store(person: User) -> VectorStore:
    made = factories.store(owner=person)
    indexed(made, TIDES, name="tides.md")
    indexed(made, RULES, name="rules.txt")
    return made


@pytest.fixture
async def turns(transactional_db: None) -> AsyncIterator[None]:
    async with running_turns():
        yield


def indexed(store: VectorStore, text: str, *, name: str = "", pages: list[list[int]] | None = None) -> Document:
    """A document whose headings and pages are known, indexed."""
    made = factories.document(store, text=text, name=name)
    headings = [[at, 1, line[2:]] for at, line in offsets(text) if line.startswith("# ")]
    Revision.objects.create(document=made, text=text, headings=headings, pages=pages or [], extractor="test")
    ingestion.ingest([factories.claim(ingestion.INGEST, made.pk)])
    made.refresh_from_db()
    assert made.state == Document.State.READY
    return made


def offsets(text: str) -> list[tuple[int, str]]:
    found, at = [], 0
    for line in text.splitlines(keepends=True):
        found.append((at, line.rstrip()))
        at += len(line)
    return found


def scope(*stores: VectorStore) -> Any:
    return VectorStore.objects.filter(pk__in=[store.pk for store in stores])


def test_all_of_every_document_comes_once_and_in_order(store: VectorStore) -> None:
    found = whole(scope(store), limit=8_000)
    texts = {document.revision_id: document.revision.text for document in Document.objects.all() if document.revision}
    assert all(texts[each.revision_id][each.start : each.end] == each.text for each in found.passages)
    assert [each.document_name for each in found.passages] == ["tides.md", "tides.md", "rules.txt"]
    assert [each.heading for each in found.passages] == ["Tides", "Boats", ""]
    for text in (TIDES, RULES):
        together = "".join(each.text for each in found.passages if each.text in text)
        assert "".join(together.split()) == "".join(text.split()), "nothing is missing and nothing comes twice"
    assert found.tokens == sum(Document.objects.values_list("token_count", flat=True))


def test_it_is_decided_by_one_statement_and_one_token_too_many_is_too_many(store: VectorStore) -> None:
    tokens = whole(scope(store), limit=8_000).tokens
    with CaptureQueriesContext(
        connection,
    ) as queries:
        assert whole(scope(store), limit=tokens).passages
    assert len(queries) == 1
    assert whole(scope(store), limit=tokens - 1).passages == ()
    assert whole(scope(store), limit=1).tokens > 1


def test_what_is_not_in_scope_or_on_its_way_out_is_not_in_it(store: VectorStore) -> None:
    foreign = factories.store(owner=factories.user())
    indexed(foreign, "The safe opens with 4711.")
    Document.objects.filter(name="rules.txt").update(life=Document.Life.DELETING)
    factories.document(store, text="Not read yet.")
    factories.document(store, text="Broken.", state=Document.State.FAILED)
    found = whole(scope(store), limit=8_000)
    assert {each.document_name for each in found.passages} == {"tides.md"}
    assert whole(VectorStore.objects.none(), limit=8_000).passages == ()


def test_pages_are_kept_apart(person: User) -> None:
    store = factories.store(owner=person)
    first, second = "First page. " * 60, "Second page. " * 60
    pages = [[0, len(first)], [len(first) + 1, len(first) + 1 + len(second)]]
    indexed(store, f"{first}\n{second}", pages=pages)
    found = whole(scope(store), limit=8_000).passages
    assert [(each.page_start, each.text.split()[0]) for each in found] == [(1, "First"), (2, "Second")]


def assistant_of(person: User, upstream: ResponsesServer, store: VectorStore, **fields: Any) -> Assistant:
    sizes = {"context_window": 16_000, "max_output_tokens": 500, **fields.pop("sizes", {})}
    model = factories.chat_model(endpoint=factories.responses_endpoint(upstream.base_url), name="scripted", **sizes)
    values = {"retrieval_parameters": {"whole_tokens": 2_000}, "strategy": "window", **fields}
    return factories.assistant(owner=person, model=model, stores=[store], **values)


async def converse(person: User, assistant: Assistant, *texts: str) -> None:
    conversation = uuid.uuid4()
    async with tab_of(person) as tab:
        for place, text in enumerate(texts):
            more: dict[str, Any] = {} if place else {"assistant": assistant.id}
            await tab.ask(text, conversation, client_id=uuid.uuid4(), **more)
            assert (await tab.until("turn.final"))["status"] == "completed"


def manifests() -> list[dict[str, Any]]:
    return [sent.manifest for sent in SentRequest.objects.order_by("created_at")]


def text_of(item: dict[str, Any]) -> str:
    return "".join(part["text"] for part in item["content"])


async def test_they_stand_before_the_conversation_and_stay_the_same(
    person: User, store: VectorStore, upstream: ResponsesServer, turns: None
) -> None:
    upstream.script({"text": "A pilot [2].", "always": True})
    assistant = await in_database(assistant_of, person, upstream, store)
    await converse(person, assistant, "What does a ferry need?", "And what rises slowly?", "Where do ships wait?")
    bodies = [entry.body["input"] for entry in upstream.requests]
    assert len({text_of(body[0]) for body in bodies}) == 1
    assert 'number="3" document="rules.txt"' in text_of(bodies[0][0])
    assert [text_of(item) for item in bodies[1][1:]] == [
        "What does a ferry need?",
        "A pilot [2].",
        "And what rises slowly?",
    ]
    for before, after in pairwise(bodies):
        assert orjson.dumps(after).startswith(orjson.dumps(before)[:-1]), "each request begins with the one before it"
    for manifest in await in_database(manifests):
        assert manifest["retrieval"]["how"] == "whole"
        assert [passage["number"] for passage in manifest["passages"]] == [1, 2, 3]
        assert manifest["tokens"]["passages"] > 200

    citations = await in_database(lambda: list(Citation.objects.select_related("revision")))
    assert len(citations) == 3
    for citation in citations:
        assert citation.revision is not None
        assert citation.revision.text[citation.start : citation.end] == citation.quote
        assert "pilot" in citation.quote
        assert citation.heading == "Boats"


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"retrieval_parameters": {"whole_tokens": 100}}, "too_long"),
        ({"sizes": {"context_window": 600, "max_output_tokens": 200}}, "no_room"),
    ],
)
async def test_where_they_do_not_go_in_they_are_searched_and_the_manifest_says_why(
    person: User, store: VectorStore, upstream: ResponsesServer, turns: None, fields: dict[str, Any], why: str
) -> None:
    assistant = await in_database(lambda: assistant_of(person, upstream, store, passages=1, **fields))
    await converse(person, assistant, "What does a ferry need? A pilot?")
    (manifest,) = await in_database(manifests)
    assert manifest["retrieval"] == {"how": "search", "why": why}
    assert len(manifest["passages"]) == 1
    assert "whole" not in manifest["passages"][0]
    assert "A pilot?" in text_of(upstream.requests[0].body["input"][-1])
    assert "<passages>" in text_of(upstream.requests[0].body["input"][-1])


async def test_without_the_parameter_there_is_nothing_to_say(
    person: User, store: VectorStore, upstream: ResponsesServer, turns: None
) -> None:
    assistant = await in_database(lambda: assistant_of(person, upstream, store, retrieval_parameters={}))
    await converse(person, assistant, "What does a ferry need? A pilot?")
    (manifest,) = await in_database(manifests)
    assert "retrieval" not in manifest
    assert manifest["passages"]


async def test_who_takes_the_turn_over_has_the_same_passages(
    person: User, store: VectorStore, upstream: ResponsesServer, turns: None
) -> None:
    assistant = await in_database(assistant_of, person, upstream, store)
    await converse(person, assistant, "What does a ferry need?")

    def taken_over() -> tuple[Any, Any]:
        turn = Turn.objects.get()
        Turn.objects.update(status="in_progress", owner=uuid.uuid4(), finished_at=None, epoch=2)
        job = load_job(Claimed(turn.id, 2, turn.conversation_id, person.pk))
        return job, turn

    job, turn = await in_database(taken_over)
    assert [passage.reference() for passage in job.passages] == turn.passages
    assert all(passage.whole for passage in job.passages)
    assert job.retrieval == turn.retrieval == {"how": "whole", "tokens": turn.retrieval["tokens"]}
