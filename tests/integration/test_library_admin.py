"""The library in the admin: what its lists and pages show, to whom, and what is done there."""

from http import HTTPStatus

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from pytest_django import DjangoAssertNumQueries

from core.models import User
from core.models.grants import Role
from retrieval.models import Chunk, Document, VectorStore
from tests import factories
from tests.admin_pages import page, staff

pytestmark = pytest.mark.django_db

LISTS = ("vectorstore", "document", "file")


@pytest.fixture
def store() -> VectorStore:
    return factories.store(owner=factories.user(), name="Harbour")


def as_(person: User) -> Client:
    client = Client()
    client.force_login(person)
    return client


def documents_page(client: Client, **query: str) -> str:
    response = client.get(page("retrieval_document_changelist"), query)
    assert response.status_code == HTTPStatus.OK
    return response.text


def listed(client: Client, **query: str) -> list[str]:
    """The names that the list of documents shows."""
    response = client.get(page("retrieval_document_changelist"), query)
    assert response.status_code == HTTPStatus.OK
    return sorted(document.name for document in response.context["cl"].result_list)


# What is listed -----------------------------------------------------------------------------------------------------


def test_lists_take_no_more_statements_for_more_rows(
    store: VectorStore, boss: User, client: Client, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    states = ["failed", "ready", "queued", "embedding"]
    for number in range(50):
        in_store = factories.store(owner=store.owner)
        factories.document(
            in_store, state=states[number % 4], name=f"report {number}.txt", uploaded_by=factories.user()
        )
    for name in LISTS:
        with django_assert_max_num_queries(20):
            response = client.get(page(f"retrieval_{name}_changelist"))
        assert len(response.context["cl"].result_list) == 50
        row = response.context["cl"].result_list[0]
        with django_assert_max_num_queries(20):
            assert client.get(page(f"retrieval_{name}_changelist"), {"q": "report"}).status_code == HTTPStatus.OK
        with django_assert_max_num_queries(40):
            assert client.get(page(f"retrieval_{name}_change", row.pk)).status_code == HTTPStatus.OK


def test_a_document_says_what_it_is_and_what_becomes_of_it(store: VectorStore, boss: User, client: Client) -> None:
    factories.document(store, state="failed", name="broken.txt")
    factories.document(
        store, state="ready", name="good.txt", page_count=1234, chunk_count=5678, token_count=91011,
        notice_kind="running", notice="Its new content is being read.", uploaded_by=factories.user("ada@example.org"),
    )  # fmt: skip
    factories.document(store, name="leaving.txt", life="deleting")
    text = documents_page(client)
    for shown in ("Failed<br>This file is damaged.", "Ready<br>Its new content is being read.", "Being deleted"):
        assert shown in text
    for shown in ("1,234", "5,678", "91,011", "ada@example.org", "Harbour", "Text"):
        assert f">{shown}<" in text


def test_documents_are_filtered(store: VectorStore, boss: User, client: Client) -> None:
    chat = factories.store(owner=store.owner, kind="conversation")
    factories.document(store, state="failed", name="broken", error_code="encrypted_file", language="english")
    picture = factories.document(chat, state="ready", name="picture")
    picture.file.mime_type = "image/png"
    picture.file.save()
    factories.document(store, name="leaving", life="deleting", language="german")
    every = ["broken", "leaving", "picture"]
    assert listed(client) == every
    assert listed(client, state__exact="failed") == ["broken"]
    assert listed(client, life__exact="deleting") == ["leaving"]
    assert listed(client, kind="image/png") == ["picture"]
    assert listed(client, store__kind__exact="conversation") == ["picture"]
    assert listed(client, error_code="encrypted_file") == ["broken"]
    assert listed(client, error_code="-") == ["leaving", "picture"]
    assert listed(client, language="german") == ["leaving"]
    assert listed(client, language="-") == ["picture"]
    assert listed(client, store=str(chat.pk)) == ["picture"]
    assert listed(client, file=str(picture.file_id)) == ["picture"]
    assert listed(client, q="harbour") == ["broken", "leaving"]
    counted = documents_page(client, _facets="True", store=str(store.pk))
    assert "Text (text/plain) (2)" in counted
    assert "encrypted_file (1)" in counted
    # what makes no sense leads back to all, as everywhere in the admin
    wrong = client.get(page("retrieval_document_changelist"), {"store": "x"}, follow=True)
    assert wrong.redirect_chain


def test_documents_are_searched_by_their_title(store: VectorStore, boss: User, client: Client) -> None:
    document = factories.document(store, state="ready", name="a17.txt")
    assert document.revision
    document.revision.title = "Tides of the northern harbour"
    document.revision.save()
    factories.document(store, name="b18.txt")
    assert listed(client, q="northern") == ["a17.txt"]


@pytest.mark.parametrize("column", ["page_count", "chunk_count", "token_count"])
def test_documents_are_sorted_by_figures(column: str, store: VectorStore, boss: User, client: Client) -> None:
    place = {"page_count": 6, "chunk_count": 7, "token_count": 8}[column]
    for number in (2, 3, 1):
        made = factories.indexed_document(
            store, text=f"Tide table {number}. " + "Slack water. " * 200, name=str(number)
        )
        Document.objects.filter(pk=made.pk).update(**{column: number})
    for order, expected in (("", ["1", "2", "3"]), ("-", ["3", "2", "1"])):
        shown = client.get(page("retrieval_document_changelist"), {"o": f"{order}{place}"}).context["cl"].result_list
        assert [document.name for document in shown] == expected


def test_stores_say_what_is_in_them(store: VectorStore, boss: User, client: Client) -> None:
    for state in ("ready", "ready", "failed", "chunking"):
        factories.document(store, state=state, text="x" * 1000 + state + str(Document.objects.count()), token_count=700)
    factories.document(store, life="deleting", state="failed", token_count=5)
    factories.store(owner=store.owner, name="Attic")
    response = client.get(page("retrieval_vectorstore_changelist"))
    assert "2 ready, 1 under way, 1 failed" in response.text
    assert f"?store={store.pk}&amp;life__exact=live" in response.text
    assert ">2,800<" in response.text
    assert ">3.9\xa0KB<" in response.text
    for column in ("3", "5", "6"):  # documents, size, tokens
        listed_first = client.get(page("retrieval_vectorstore_changelist"), {"o": f"-{column}"}).context["cl"]
        assert [row.name for row in listed_first.result_list] == ["Harbour", "Attic"], column


def test_files_name_the_documents_made_of_them(store: VectorStore, boss: User, client: Client) -> None:
    first = factories.document(store, name="tides.txt", text="Tide tables")
    for number in range(4):
        factories.document(factories.store(owner=store.owner), name=f"copy {number}.txt", text="Tide tables")
    factories.document(store, name="alone.txt")
    text = client.get(page("retrieval_file_changelist")).text
    assert f'"{page("retrieval_document_changelist")}?file={first.file_id}">and more' in text
    assert text.count("and more") == 1
    assert "copy 3.txt</a>" in text
    assert "copy 0.txt" not in text, "only the latest are named"
    assert "alone.txt</a> (Harbour)" in text


# One document -------------------------------------------------------------------------------------------------------


def test_a_document_shows_its_text_a_part_at_a_time(store: VectorStore, boss: User, client: Client) -> None:
    text = "".join(f"<b>{number:05}</b>" for number in range(2000))  # 24,000 characters
    document = factories.document(store, state="ready", text=text)
    address = page("retrieval_document_change", document.pk)
    with CaptureQueriesContext(connection) as statements:
        first = client.get(address)
    assert first.context["text"] == text[:8000]
    assert "&lt;b&gt;00000" in first.text
    assert "<b>0" not in first.text
    assert f'href="{document.get_absolute_url()}"' in first.text
    part = 'SUBSTRING("retrieval_revision"."text", 1, 8000)'
    assert any(part in query["sql"] for query in statements), "the control"
    whole = [query for query in statements if '"retrieval_revision"."text",' in query["sql"].replace(part, "")]
    assert not whole, "the text as a whole is never loaded"
    assert client.get(address, {"part": "2"}).context["text"] == text[8000:16000]
    last = client.get(address, {"part": "99"})
    assert (last.context["text"], last.context["past"]) == (text[16000:], len(text))


def test_a_document_without_text_says_so(store: VectorStore, boss: User, client: Client) -> None:
    failed = factories.document(store, state="failed")
    assert "Nothing has been read of it." in client.get(page("retrieval_document_change", failed.pk)).text
    leaving = factories.document(store, life="deleting")
    assert "In the library" not in client.get(page("retrieval_document_change", leaving.pk)).text


def test_a_documents_chunks_are_listed_in_their_order(
    store: VectorStore, boss: User, client: Client, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    text = "\n\n".join(f"Paragraph {number} of the pilot book. " + "North by west. " * 90 for number in range(60))
    document = factories.indexed_document(store, text=text, name="pilots.txt")
    other = factories.indexed_document(store, text="Something else", name="other.txt")
    number = Chunk.objects.filter(document=document).count()
    assert number > 50
    link = f"{page('retrieval_chunk_changelist')}?document={document.pk}"
    assert f'href="{link}"' in client.get(page("retrieval_document_change", document.pk)).text
    with CaptureQueriesContext(connection) as statements, django_assert_max_num_queries(20):
        response = client.get(link)
    rows = list(response.context["cl"].result_list)
    assert [row.position for row in rows] == list(range(50))
    assert "Chunks of pilots.txt" in response.text
    assert response.context["cl"].result_count == number
    of_chunks = [query["sql"] for query in statements if 'FROM "retrieval_chunk"' in query["sql"]]
    assert of_chunks
    assert all('"retrieval_chunk"."revision_id" =' in sql for sql in of_chunks), "no statement is about all chunks"
    assert len(client.get(link + "&p=2").context["cl"].result_list) == min(50, number - 50)
    second = rows[1]
    part = f"{page('retrieval_document_change', document.pk)}?part={second.start // 8000 + 1}#text"
    assert part in response.text
    shown = client.get(page("retrieval_chunk_change", second.pk))
    assert shown.status_code == HTTPStatus.OK
    assert Chunk.objects.get(pk=second.pk).text[-40:].strip() in shown.text
    assert other.name not in response.text


def test_without_a_document_no_chunk_is_listed(store: VectorStore, boss: User, client: Client) -> None:
    factories.indexed_document(store, text="Tide tables")
    for query in ({}, {"document": "x"}, {"document": str(store.pk)}):
        response = client.get(page("retrieval_chunk_changelist"), query)
        assert response.context["cl"].result_count == 0
        assert "its page leads to them" in response.text
    assert "/chunk/" not in client.get(page("index")).text


# Who sees what ------------------------------------------------------------------------------------------------------


def test_without_a_right_on_the_store_there_is_nothing(store: VectorStore) -> None:
    person = staff("view_document", "change_document", "view_vectorstore", "view_file")
    client = as_(person)
    document = factories.indexed_document(store, text="Tide tables", name="tides.txt", language="english")
    chunk = Chunk.objects.get(document=document)
    pages = [page("retrieval_document_change", document.pk), page("retrieval_chunk_change", chunk.pk)]
    chunks = f"{page('retrieval_chunk_changelist')}?document={document.pk}"

    def everything() -> str:
        return " ".join(client.get(page(f"retrieval_{name}_changelist")).text for name in LISTS)

    found = everything() + client.get(chunks).text + documents_page(client, store=str(store.pk))
    for secret in ("tides.txt", "Harbour", "english", "text/plain", "Tide tables"):
        assert secret not in found
    assert [client.get(address).status_code for address in pages] == [302, 302]
    factories.grant(store, person, Role.READER)
    found = everything() + client.get(chunks).text
    for shown in ("tides.txt", "Harbour", "english", "text/plain", "Tide tables"):
        assert shown in found
    assert [client.get(address).status_code for address in pages] == [200, 200]


def test_chunks_need_the_permission_for_documents(store: VectorStore) -> None:
    clerk = staff("view_file")
    document = factories.indexed_document(store, text="Tide tables")
    factories.grant(store, clerk, Role.READER)
    address = f"{page('retrieval_chunk_changelist')}?document={document.pk}"
    assert as_(clerk).get(address).status_code == HTTPStatus.FORBIDDEN


def test_a_file_names_documents_only_where_its_owner_may_read_them(store: VectorStore) -> None:
    person = staff("view_file")
    document = factories.document(store, name="tides.txt")
    document.file.owner = person
    document.file.save()
    text = as_(person).get(page("retrieval_file_changelist")).text
    assert document.sha256[:12] in text
    assert "tides.txt" not in text
    factories.grant(store, person, Role.READER)
    assert "tides.txt" in as_(person).get(page("retrieval_file_changelist")).text
