"""The library's pages and addresses: what each person may see and do, and how errors are told."""

import io
import uuid
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.test import AsyncClient, Client
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries, Settings

from core.models import User, Work
from core.models.grants import Role
from retrieval.models import Chunk, Document, Revision, VectorStore
from retrieval.selectors.text import Sheet
from tests import factories

pytestmark = pytest.mark.django_db

# A form field where the file should be.
NO_FILE = b"--x\r\nContent-Disposition: form-data; name=file\r\n\r\nno file\r\n--x--"
CONTENT = b"<html><script>alert(1)</script></html>" * 20_000
JSON = {"Accept": "application/json"}


@pytest.fixture(autouse=True)
def files(tmp_path: Path, settings: Settings) -> Path:
    """A storage of the test's own."""
    location = {"location": str(tmp_path / "files"), "base_url": None}
    settings.STORAGES = {**settings.STORAGES, "default": {**settings.STORAGES["default"], "OPTIONS": location}}
    return tmp_path / "files"


@pytest.fixture
def cast() -> factories.Cast:
    return factories.cast()


@pytest.fixture
def store(cast: factories.Cast) -> VectorStore:
    """A store of the owner's that the teammate may read."""
    made = factories.store(owner=cast.owner, name="Harbour papers")
    factories.grant(made, cast.team, Role.READER)
    return made


def as_(person: User) -> Client:
    client = Client()
    client.force_login(person)
    return client


def upload_url(store: VectorStore) -> str:
    return reverse("retrieval:upload", args=[store.pk])


def post_file(client: Client, store: VectorStore, content: bytes, name: str = "tides.txt") -> Any:
    body = io.BytesIO(content)
    body.name = name
    return client.post(upload_url(store), {"file": body}, headers=JSON)


class TestUpload:
    def test_the_answer_has_the_row(self, cast: factories.Cast, store: VectorStore) -> None:
        response = post_file(as_(cast.owner), store, b"Tide tables of Korsund")
        assert response.status_code == HTTPStatus.CREATED
        document = Document.objects.get()
        answer = response.json()
        assert (answer["document"], answer["created"]) == (str(document.pk), True)
        assert "tides.txt" in answer["html"]
        assert f'data-document="{document.pk}"' in answer["html"]
        assert Work.objects.get().subject == document.pk

    def test_content_that_is_there_is_said_so(self, cast: factories.Cast, store: VectorStore) -> None:
        first = post_file(as_(cast.owner), store, b"Tide tables")
        again = post_file(as_(cast.owner), store, b"Tide tables", "other name.txt")
        assert again.status_code == HTTPStatus.OK
        assert again.json()["created"] is False
        assert again.json()["document"] == first.json()["document"]

    def test_a_hostile_name_is_only_text(self, cast: factories.Cast, store: VectorStore) -> None:
        answer = post_file(as_(cast.owner), store, b"x1", '<img src=x onerror="alert(1)">.txt').json()
        assert "<img" not in answer["html"]

    @pytest.mark.parametrize(
        ("content", "status", "code"),
        [
            (b"", HTTPStatus.UNPROCESSABLE_ENTITY, "empty_file"),
            (b"\x7fELF\x02\x01" + bytes(200), HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "unsupported_type"),
        ],
    )
    def test_what_is_wrong_is_said(
        self, cast: factories.Cast, store: VectorStore, content: bytes, status: HTTPStatus, code: str
    ) -> None:
        response = post_file(as_(cast.owner), store, content)
        assert response.status_code == status
        assert response.json() == {"code": code, "message": response.json()["message"], "retryable": False}
        assert response.json()["message"].endswith(".")
        assert not Document.objects.exists()

    def test_too_much_is_refused(self, cast: factories.Cast, store: VectorStore, settings: Settings) -> None:
        settings.UPLOAD_MAX_BYTES = 1000
        response = post_file(as_(cast.owner), store, b"x" * 1001)
        assert (response.status_code, response.json()["code"]) == (HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too_large")

    def test_a_huge_body_is_not_read(self, cast: factories.Cast, store: VectorStore) -> None:
        class Unread(io.BytesIO):
            def read(self, *_: Any) -> bytes:
                raise AssertionError("the body was read")

        unread: dict[str, Any] = {"CONTENT_LENGTH": str(10**12), "wsgi.input": Unread()}
        form: dict[str, Any] = {"content_type": "multipart/form-data; boundary=x"}
        response = as_(cast.owner).generic("POST", upload_url(store), headers=JSON, **form, **unread)
        assert (response.status_code, response.json()["code"]) == (HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too_large")

    @pytest.mark.parametrize(
        ("body", "content_type"),
        [
            (b"", "multipart/form-data; boundary=x"),
            (b"--x\r\nbroken", "multipart/form-data; boundary=x"),
            (b"junk", "multipart/form-data"),
            (b'{"file": "x"}', "application/json"),
            (NO_FILE, "multipart/form-data; boundary=x"),
        ],
    )
    def test_another_body_is_bad_input(
        self, cast: factories.Cast, store: VectorStore, body: bytes, content_type: str
    ) -> None:
        response = as_(cast.owner).generic("POST", upload_url(store), body, content_type, headers=JSON)
        assert (response.status_code, response.json()["code"]) == (HTTPStatus.BAD_REQUEST, "invalid_input")

    def test_a_foreign_site_cannot_upload(self, cast: factories.Cast, store: VectorStore) -> None:
        client = Client(enforce_csrf_checks=True)
        client.force_login(cast.owner)
        assert post_file(client, store, b"forged").status_code == HTTPStatus.FORBIDDEN
        assert not Document.objects.exists()
        client.cookies["csrftoken"] = token = "a" * 32
        response = client.post(upload_url(store), {"file": io.BytesIO(b"mine")}, headers={**JSON, "X-CSRFToken": token})
        assert response.status_code == HTTPStatus.CREATED

    def test_a_plain_form_goes_back_to_the_store(self, cast: factories.Cast, store: VectorStore) -> None:
        response = as_(cast.owner).post(upload_url(store), {"file": io.BytesIO(b"without a script")})
        assert response.status_code == HTTPStatus.FOUND
        assert response.headers["Location"] == store.get_absolute_url()


class TestStates:
    def test_documents_by_their_ids(self, cast: factories.Cast, store: VectorStore) -> None:
        ready = factories.document(store, state="ready")
        failed = factories.document(store, state="failed", error_message="It is broken.", error_retryable=True)
        foreign, gone = factories.document(factories.store()), uuid.uuid4()
        asked = ",".join(str(ident) for ident in (ready.pk, failed.pk, foreign.pk, gone))
        answer = as_(cast.teammate).post(reverse("retrieval:states", args=[store.pk]), {"ids": asked}).json()
        assert answer == {
            str(ready.pk): {"state": "ready", "label": "Ready", "message": "", "retryable": False},
            str(failed.pk): {"state": "failed", "label": "Failed", "message": "It is broken.", "retryable": True},
        }

    def test_other_input_is_refused(self, cast: factories.Cast, store: VectorStore) -> None:
        url = reverse("retrieval:states", args=[store.pk])
        assert as_(cast.owner).post(url, {"ids": "1,2"}).status_code == HTTPStatus.BAD_REQUEST
        assert as_(cast.outsider).post(url, {"ids": str(uuid.uuid4())}).status_code == HTTPStatus.NOT_FOUND


class TestRetryFailed:
    def test_what_may_be_read_after_all_is_queued_once(self, cast: factories.Cast, store: VectorStore) -> None:
        failed = [factories.document(store, state="failed", error_retryable=True) for _ in range(3)]
        factories.document(store, state="failed")
        factories.document(store, state="ready")
        factories.document(factories.store(owner=cast.owner), state="failed", error_retryable=True)
        url = reverse("retrieval:retry_failed", args=[store.pk])
        assert as_(cast.owner).post(url, headers=JSON).json() == {"retried": 3}
        assert as_(cast.owner).post(url, headers=JSON).json() == {"retried": 0}
        again = Document.objects.filter(state="queued")
        assert {document.pk for document in again} == {document.pk for document in failed}
        work = Work.objects.filter(kind="retrieval.ingest")
        assert {(row.subject, row.owner_id) for row in work} == {(row.pk, row.uploaded_by_id) for row in again}
        assert all(document.error_code == document.error_message == "" for document in again)

    def test_only_for_editors(self, cast: factories.Cast, store: VectorStore) -> None:
        url = reverse("retrieval:retry_failed", args=[store.pk])
        assert as_(cast.teammate).post(url, headers=JSON).status_code == HTTPStatus.FORBIDDEN
        assert as_(cast.outsider).post(url, headers=JSON).status_code == HTTPStatus.NOT_FOUND

    def test_many_are_queued_with_few_statements(
        self, cast: factories.Cast, store: VectorStore, django_assert_max_num_queries: DjangoAssertNumQueries
    ) -> None:
        for _ in range(40):
            factories.document(store, state="failed", error_retryable=True)
        client = as_(cast.owner)
        with django_assert_max_num_queries(12):
            answer = client.post(reverse("retrieval:retry_failed", args=[store.pk]), headers=JSON)
        assert answer.json() == {"retried": 40}


Ask = Callable[[Client], Any]


def asks(document: Document) -> dict[str, Ask]:
    """Every address of a store and a document, as a script asks it."""
    store = document.store
    urls = {name: reverse(f"retrieval:{name}", args=[document.pk]) for name in ("document", "file", "retry", "delete")}
    return {
        "store": lambda client: client.get(store.get_absolute_url(), headers=JSON),
        "upload": lambda client: post_file(client, store, b"something new"),
        "document": lambda client: client.get(urls["document"], headers=JSON),
        "file": lambda client: client.get(urls["file"], headers=JSON),
        "retry": lambda client: client.post(urls["retry"], headers=JSON),
        "delete": lambda client: client.post(urls["delete"], headers=JSON),
    }


class TestPermission:
    @pytest.fixture
    def document(self, store: VectorStore) -> Document:
        return factories.document(store, text="The harbour code is 4711.", state="ready")

    @pytest.mark.parametrize("name", ["store", "upload", "document", "file", "retry", "delete"])
    def test_a_foreign_id_answers_like_a_missing_one(self, cast: factories.Cast, document: Document, name: str) -> None:
        ask = asks(document)[name]
        foreign = ask(as_(cast.outsider))
        VectorStore.objects.all().delete()
        missing = ask(as_(cast.outsider))
        assert foreign.status_code == missing.status_code == HTTPStatus.NOT_FOUND
        assert foreign.content == missing.content

    @pytest.mark.parametrize("name", ["upload", "retry", "delete"])
    def test_a_reader_changes_nothing(self, cast: factories.Cast, document: Document, name: str) -> None:
        response = asks(document)[name](as_(cast.teammate))
        assert (response.status_code, response.json()["code"]) == (HTTPStatus.FORBIDDEN, "permission_denied")
        assert Document.objects.get().life == "live"

    @pytest.mark.parametrize("name", ["store", "document"])
    def test_a_reader_reads(self, cast: factories.Cast, document: Document, name: str) -> None:
        response = asks(document)[name](as_(cast.teammate))
        assert response.status_code == HTTPStatus.OK
        assert document.name in response.content.decode()

    def test_an_editor_changes(self, cast: factories.Cast, document: Document) -> None:
        document.store.grants.update(role=Role.EDITOR)
        client = as_(cast.teammate)
        assert asks(document)["upload"](client).status_code == HTTPStatus.CREATED
        assert asks(document)["delete"](client).status_code == HTTPStatus.OK
        assert Document.objects.get(pk=document.pk).life == "deleting"
        assert asks(document)["document"](client).status_code == HTTPStatus.NOT_FOUND

    @pytest.mark.parametrize("name", ["store", "upload", "document", "file", "retry", "delete"])
    def test_nobody_is_asked_to_sign_in(self, document: Document, name: str) -> None:
        response = asks(document)[name](Client())
        assert (response.status_code, response.json()["code"]) == (HTTPStatus.UNAUTHORIZED, "not_signed_in")
        page = Client().get(document.get_absolute_url())
        assert page.status_code == HTTPStatus.FOUND
        assert page.headers["Location"].startswith(reverse("account_login"))

    def test_a_right_that_was_taken_away_is_gone(self, cast: factories.Cast, document: Document) -> None:
        client = as_(cast.teammate)
        assert asks(document)["document"](client).status_code == HTTPStatus.OK
        document.store.grants.all().delete()
        assert asks(document)["document"](client).status_code == HTTPStatus.NOT_FOUND

    def test_a_page_that_is_not_ones_own_is_the_404_page(self, cast: factories.Cast, document: Document) -> None:
        response = as_(cast.outsider).get(document.get_absolute_url())
        assert response.status_code == HTTPStatus.NOT_FOUND
        assert "text/html" in response.headers["Content-Type"]


def text_of(sheet: Sheet) -> str:
    return "".join(piece.text for piece in sheet.stretches)


class TestPages:
    def test_the_library_lists_what_one_may_read(self, cast: factories.Cast, store: VectorStore) -> None:
        factories.store(owner=cast.outsider, name="Secret papers")
        factories.store(owner=cast.owner, name="Dropped into a chat", kind="conversation")
        factories.document(store)
        for person in (cast.owner, cast.teammate):
            page = as_(person).get(reverse("retrieval:library")).content.decode()
            assert "Harbour papers" in page
            assert store.get_absolute_url() in page
            assert "Secret papers" not in page
            assert "Dropped into a chat" not in page

    def test_a_store_is_paged(
        self, cast: factories.Cast, store: VectorStore, django_assert_max_num_queries: DjangoAssertNumQueries
    ) -> None:
        for number in range(60):
            factories.document(store, name=f"paper-{number}.txt")
        client = as_(cast.owner)
        with django_assert_max_num_queries(13):
            first = client.get(store.get_absolute_url())
        second = client.get(store.get_absolute_url(), {"page": 2})
        assert len(first.context["documents"]) == 50
        assert len(second.context["documents"]) == 10
        assert first.context["upload_url"] == upload_url(store)

    def test_a_reader_is_not_offered_to_upload(self, cast: factories.Cast, store: VectorStore) -> None:
        assert as_(cast.teammate).get(store.get_absolute_url()).context["upload_url"] == ""

    def test_a_document_shows_its_pages(self, cast: factories.Cast, store: VectorStore) -> None:
        text = "".join(f"This is page {number}.\n" for number in range(1, 26))
        document = factories.document(store, text=text, state="ready")
        ends = [at + 1 for at, char in enumerate(text) if char == "\n"]
        Revision.objects.update(pages=list(zip([0, *ends], ends, strict=False)))
        client = as_(cast.teammate)
        last = client.get(document.get_absolute_url(), {"page": 3})
        assert [(sheet.number, text_of(sheet)) for sheet in last.context["sheets"]] == [
            (number, f"This is page {number}.\n") for number in range(21, 26)
        ]
        assert "This is page 25." in last.content.decode()
        first = client.get(document.get_absolute_url())
        assert [sheet.number for sheet in first.context["sheets"]] == list(range(1, 11))

    def test_a_document_without_pages_is_shown_in_parts(self, cast: factories.Cast, store: VectorStore) -> None:
        text = "\n\n".join(f"Paragraph {number} tells of the tide. " * 20 for number in range(60))
        document = factories.indexed_document(store, text=text)
        client = as_(cast.owner)
        parts, page = [], 1
        while True:
            response = client.get(document.get_absolute_url(), {"page": page})
            parts += map(text_of, response.context["sheets"])
            if not response.context["page_obj"].has_next():
                break
            page += 1
        assert "".join(parts) == text
        assert len(parts) > 3
        starts = {chunk.text[:20] for chunk in Chunk.objects.all()}
        assert all(part[:20] in starts for part in parts)

    def test_text_of_documents_is_never_markup(self, cast: factories.Cast, store: VectorStore) -> None:
        document = factories.document(store, text="<script>alert(1)</script>", state="ready")
        page = as_(cast.owner).get(document.get_absolute_url()).content.decode()
        assert "<script>alert" not in page
        assert "&lt;script&gt;alert" in page

    def test_one_that_failed_says_why(self, cast: factories.Cast, store: VectorStore) -> None:
        factories.document(store, state="failed", error_code="x", error_message="It is damaged.", error_retryable=True)
        page = as_(cast.owner).get(store.get_absolute_url())
        (view,) = page.context["documents"]
        assert (view.state, view.message, view.retryable, view.progress) == ("failed", "It is damaged.", True, None)
        assert "It is damaged." in page.content.decode()

    def test_progress_is_shown(self, store: VectorStore, cast: factories.Cast) -> None:
        factories.document(store, state="embedding", progress_done=128, progress_total=512)
        (view,) = as_(cast.owner).get(store.get_absolute_url()).context["documents"]
        assert (view.progress, view.label) == (25, "Indexing (128 of 512)")


class TestActions:
    def test_retry(self, cast: factories.Cast, store: VectorStore) -> None:
        document = factories.document(store, state="failed", error_retryable=True)
        response = as_(cast.owner).post(reverse("retrieval:retry", args=[document.pk]), headers=JSON)
        assert response.status_code == HTTPStatus.OK
        assert 'data-state="queued"' in response.json()["html"]
        assert Work.objects.get().subject == document.pk

    def test_only_what_failed_is_tried_again(self, cast: factories.Cast, store: VectorStore) -> None:
        document = factories.document(store, state="ready")
        response = as_(cast.owner).post(reverse("retrieval:retry", args=[document.pk]), headers=JSON)
        assert (response.status_code, response.json()["code"]) == (HTTPStatus.CONFLICT, "conflict")

    def test_a_new_store(self, cast: factories.Cast) -> None:
        factories.embedding_model(is_default=True)
        response = as_(cast.owner).post(reverse("retrieval:library"), {"name": "  New\tpapers "}, headers=JSON)
        assert response.status_code == HTTPStatus.CREATED
        made = VectorStore.objects.get()
        assert (made.name, made.owner, made.kind) == ("New papers", cast.owner, "library")
        assert response.json() == {"store": str(made.pk), "url": made.get_absolute_url()}

    def test_a_store_needs_a_name_and_a_model(self, cast: factories.Cast) -> None:
        client = as_(cast.owner)
        nameless = client.post(reverse("retrieval:library"), {"name": " "}, headers=JSON)
        assert (nameless.status_code, nameless.json()["code"]) == (HTTPStatus.BAD_REQUEST, "invalid_input")
        modelless = client.post(reverse("retrieval:library"), {"name": "Papers"}, headers=JSON)
        assert (modelless.status_code, modelless.json()["code"]) == (HTTPStatus.SERVICE_UNAVAILABLE, "no_model")
        page = client.post(reverse("retrieval:library"), {"name": " "}, follow=True)
        assert "needs a name" in page.content.decode()


@pytest.mark.django_db(transaction=True)
class TestOriginal:
    async def test_it_is_an_attachment_of_a_fixed_type(self) -> None:
        cast, document = await in_thread(self.make)
        client = AsyncClient()
        await client.aforce_login(cast.teammate)
        response = await client.get(reverse("retrieval:file", args=[document.pk]))
        assert response.status_code == HTTPStatus.OK
        assert response.headers["Content-Type"] == "application/octet-stream"
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.headers["Content-Disposition"].startswith("attachment; ")
        assert "no-store" in response.headers["Cache-Control"]
        body = b"".join([block async for block in response.streaming_content])  # type: ignore[attr-defined]
        assert body == CONTENT
        assert response.headers["Content-Length"] == str(len(CONTENT))

    async def test_an_outsider_gets_nothing(self) -> None:
        cast, document = await in_thread(self.make)
        client = AsyncClient()
        await client.aforce_login(cast.outsider)
        response = await client.get(reverse("retrieval:file", args=[document.pk]), headers=JSON)
        assert response.status_code == HTTPStatus.NOT_FOUND

    @staticmethod
    def make() -> tuple[factories.Cast, Document]:
        cast = factories.cast()
        store = factories.store(owner=cast.owner)
        factories.grant(store, cast.team, Role.READER)
        return cast, factories.document(store, text=CONTENT.decode(), name="page\u00e9.html")


async def in_thread(function: Callable[[], Any]) -> Any:
    return await sync_to_async(function)()


def test_ids_that_are_none_are_not_found(cast: factories.Cast) -> None:
    response = as_(cast.owner).get(f"/documents/{uuid.uuid4()}/", headers=JSON)
    assert (response.status_code, response.json()["code"]) == (HTTPStatus.NOT_FOUND, "not_found")
    assert as_(cast.owner).get("/documents/1/").status_code == HTTPStatus.NOT_FOUND
