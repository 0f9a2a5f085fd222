"""A document that is deleted or replaced: what answers quoted stays, what was sent of it goes, and is said to."""

import hashlib
import io
from typing import Any

import pytest
from django.db import connection
from django.test import Client

from chat.models import Assistant, Citation, Conversation, Item, Response, SentRequest, Turn
from core.bridge import in_database
from core.models import User
from retrieval import services
from retrieval.models import Document, Revision, VectorStore
from tests import factories
from tests import tools as samples
from tests.admin_pages import page
from tests.calling import answered, call, make_assistant, outputs
from tests.ingesting import work
from tests.responses_server import ResponsesServer
from tests.threads import in_thread

pytestmark = pytest.mark.django_db(transaction=True)

PIER = "The pier is closed on Mondays."
LIGHT = "The lighthouse was built in 1871."


@pytest.fixture(autouse=True)
def tools(settings: Any) -> None:
    settings.TOOLS = ["tools.builtin.search.FILE_SEARCH", *samples.PATHS]


def library(person: User, upstream: ResponsesServer, **version: Any) -> tuple[Assistant, Document]:
    store = factories.store(owner=person)
    pier = factories.indexed_document(store, text=PIER, name="pier.txt")
    factories.indexed_document(store, text=LIGHT, name="light.txt")
    return make_assistant(person, upstream, stores=[store], **{"tools": [], "retrieval": "auto", **version}), pier


def delete(document: Document) -> None:
    assert document.store.owner
    services.delete_document(user=document.store.owner, document_id=document.pk)
    work()
    assert not Document.objects.filter(pk=document.pk).exists()


def replace(document: Document) -> None:
    assert document.store.owner
    content = io.BytesIO(b"The pier is closed on Fridays.")
    services.replace_document(user=document.store.owner, document_id=document.pk, name="", content=content)
    work()
    assert Document.objects.get(pk=document.pk).chunks.get().text.endswith("Fridays.")


def bodies(turn: Turn) -> list[bytes | None]:
    rows = SentRequest.objects.filter(response__turn=turn).order_by("response__step", "response__attempt")
    return [row.exact_body() for row in rows]


def erased(turn: Turn) -> set[Any]:
    manifests = SentRequest.objects.filter(response__turn=turn).values_list("manifest", flat=True)
    return {manifest["body"].get("erased") for manifest in manifests}


def citing(body: Any) -> dict[str, Any]:
    return {"text": f"{PIER} [1] {LIGHT} [2]"}


@pytest.mark.parametrize("gone", [delete, replace])
async def test_bodies_that_carried_its_passages_are_erased(
    person: User, upstream: ResponsesServer, turns: None, gone: Any
) -> None:
    assistant, pier = await in_database(library, person, upstream)
    upstream.compute(citing)
    about, _, _ = await answered(person, assistant, "When is the pier closed?")
    other, _, _ = await answered(person, assistant, "When was the lighthouse built?")
    names = [{reference["name"] for reference in turn.passages} for turn in (about, other)]
    assert names == [{"pier.txt"}, {"light.txt"}]
    before = await in_database(bodies, other)
    assert [b"Mondays" in (body or b"") for body in await in_database(bodies, about)] == [True]
    await in_database(gone, pier)
    assert await in_database(bodies, about) == [None]
    assert await in_database(erased, about) == {"document"}
    assert await in_database(bodies, other) == before
    assert await in_database(erased, other) == {None}
    (quote,) = await in_database(lambda: list(Citation.objects.filter(item__turn=about)))
    assert (quote.quote, quote.document_name, quote.revision_id) == (PIER, "pier.txt", None)


async def test_so_are_those_that_carried_what_a_tool_found(
    person: User, upstream: ResponsesServer, turns: None
) -> None:
    """Also in later turns, whose window has the outputs of earlier ones."""

    def searching(body: Any) -> dict[str, Any] | None:
        asked = "pier" in str(body["input"][-1])
        return {"calls": [call("file_search", query="When is the pier closed?")]} if asked else {"text": "So it is."}

    assistant, pier = await in_database(library, person, upstream, retrieval="tool", strategy="window")
    upstream.compute(lambda body: {"text": "Closed."} if outputs(body) else searching(body))
    first, _, _ = await answered(person, assistant, "When is the pier closed?")
    later, _, _ = await answered(person, assistant, "Really?", conversation=first.conversation_id)
    elsewhere, _, _ = await answered(person, assistant, "Really?")
    mondays = [[b"Mondays" in (body or b"") for body in await in_database(bodies, turn)] for turn in (first, later)]
    assert mondays == [[False, True], [True]]
    before = await in_database(bodies, elsewhere)
    await in_database(delete, pier)
    assert await in_database(bodies, first) == [None, None]
    assert await in_database(bodies, later) == [None]
    assert await in_database(bodies, elsewhere) == before


async def test_an_answer_goes_on_without_the_document_that_it_quotes(
    person: User, upstream: ResponsesServer, turns: None
) -> None:
    assistant, pier = await in_database(library, person, upstream)

    def meanwhile(body: Any) -> dict[str, Any]:
        in_thread(lambda: delete(pier))
        return citing(body)

    upstream.compute(meanwhile)
    turn, final, _ = await answered(person, assistant, "When is the pier closed?")
    assert final["status"] == "completed"
    (quote,) = await in_database(lambda: list(Citation.objects.filter(item__turn=turn)))
    assert (quote.quote, quote.revision_id) == (PIER, None)
    assert "citation--gone" in final["html"]
    assert await in_database(bodies, turn) == [None]


async def test_what_a_turn_sends_after_its_document_is_gone_is_not_kept(
    person: User, upstream: ResponsesServer, turns: None
) -> None:
    assistant, pier = await in_database(library, person, upstream, tools=[{"name": "add"}])

    def twice(body: Any) -> dict[str, Any]:
        if outputs(body):
            return citing(body)
        in_thread(lambda: delete(pier))
        return {"calls": [call("add", a=1, b=2)]}

    upstream.compute(twice)
    turn, final, _ = await answered(person, assistant, "When is the pier closed?")
    assert final["status"] == "completed"
    assert await in_database(bodies, turn) == [None, None]
    assert await in_database(erased, turn) == {"document"}


def sent_turns(conversation: Conversation, text: Revision, count: int) -> None:
    """Turns, each with one request whose body carries a passage of `text`."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO chat_turn (id, conversation_id, depth, client_id, version_id, status, epoch, passages,"
            " created_at, finished_at, error_code, error_message, error_retryable)"
            " SELECT gen_random_uuid(), %s, 0, gen_random_uuid(), %s, 'completed', 1,"
            " jsonb_build_array(jsonb_build_object('number', 1, 'revision', %s::text)), now(), now(), '', '', false"
            " FROM generate_series(1, %s)",
            [conversation.pk, conversation.assistant.published_version_id, str(text.pk), count],
        )
        cursor.execute(
            "INSERT INTO chat_response (id, turn_id, step, attempt, epoch, model_name, status, idempotency_key,"
            " upstream_id, incomplete_reason, error_code, error_message, created_at)"
            " SELECT gen_random_uuid(), id, 0, 0, 1, 'm', 'completed', 'k', '', '', '', '', now() FROM chat_turn"
            " WHERE conversation_id = %s",
            [conversation.pk],
        )
        cursor.execute(
            "INSERT INTO chat_sentrequest (response_id, manifest, sha256, body, created_at)"
            " SELECT response.id, '{\"body\": {\"bytes\": 4}}', %s, 'body', now()"
            " FROM chat_response response JOIN chat_turn turn ON turn.id = response.turn_id WHERE conversation_id = %s",
            [hashlib.sha256(b"body").hexdigest(), conversation.pk],
        )


def test_ten_thousand_bodies_go_at_once(person: User) -> None:
    store = factories.store(owner=person)
    gone, kept = (factories.indexed_document(store, text=text) for text in (PIER, LIGHT))
    for document in (gone, kept):
        assert document.revision
        sent_turns(factories.conversation(person), document.revision, 10_000)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE chat_turn, chat_response, chat_sentrequest")
    delete(gone)
    assert SentRequest.objects.filter(body=None, manifest__body={"bytes": 4, "erased": "document"}).count() == 10_000
    assert SentRequest.objects.filter(body__isnull=False, manifest__body={"bytes": 4}).count() == 10_000


def cited(person: User, document: Document) -> Citation:
    assert document.revision
    turn = factories.turn(factories.conversation(person), answer="Closed [1].")
    turn.passages = [{"number": 1, "document": str(document.pk), "revision": str(document.revision.pk)}]
    turn.save()
    return Citation.objects.create(
        item=Item.objects.get(turn=turn, role="assistant"), number=1, position=7, revision=document.revision,
        document_name=document.name, page=3, start=0, end=len(PIER), quote=PIER, support=1.0,
    )  # fmt: skip


@pytest.fixture
def pier(person: User) -> Document:
    return factories.indexed_document(factories.store(owner=person), text=PIER, name="pier.txt")


def shown(client: Client, citation: Citation) -> tuple[str, str]:
    """The conversation's page and the panel."""
    address = citation.item.conversation.get_absolute_url()
    return client.get(address).content.decode(), client.get(f"/citations/{citation.pk}/").content.decode()


def test_the_quote_stays_and_says_that_its_file_was_deleted(client: Client, person: User, pier: Document) -> None:
    citation = cited(person, pier)
    client.force_login(person)
    html, panel = shown(client, citation)
    assert "citation--gone" not in html
    assert "since" not in panel
    assert pier.store.owner
    services.delete_document(user=pier.store.owner, document_id=pier.pk)
    for _ in ("before the worker has removed it", "and after"):
        html, panel = shown(client, citation)
        assert 'class="citation citation--gone"' in html
        assert "pier.txt, page 3 (deleted or replaced since)" in html
        assert "This file has been deleted since." in panel
        assert PIER in panel
        assert pier.get_absolute_url() not in panel
        work()


def test_the_quote_stays_and_leads_to_the_file_that_replaced_it(client: Client, person: User, pier: Document) -> None:
    citation = cited(person, pier)
    replace(pier)
    client.force_login(person)
    html, panel = shown(client, citation)
    assert 'class="citation citation--gone"' in html
    assert "This file has been replaced since." in panel
    assert PIER in panel
    assert pier.get_absolute_url() in panel
    VectorStore.objects.update(owner=factories.user())
    assert pier.get_absolute_url() not in shown(client, citation)[1]


def test_a_rename_and_a_move_leave_quotes_as_they_are(client: Client, person: User, pier: Document) -> None:
    citation = cited(person, pier)
    far = factories.store(owner=person, chunk_tokens=64)
    services.rename_document(user=person, document_id=pier.pk, name="jetty.txt")
    work()
    services.move_document(user=person, document_id=pier.pk, store_id=far.pk)
    work()
    citation.refresh_from_db()
    assert Document.objects.get(pk=pier.pk).store == far
    assert citation.revision == pier.revision
    client.force_login(person)
    assert "citation--gone" not in shown(client, citation)[0]


def test_the_admin_says_why_a_body_is_gone(client: Client, person: User, pier: Document) -> None:
    assert pier.revision
    sent_turns(factories.conversation(person), pier.revision, 1)
    delete(pier)
    client.force_login(factories.superuser())
    html = client.get(page("chat_response_sent", Response.objects.get().pk)).content.decode()
    assert "carried passages of a document" in html
