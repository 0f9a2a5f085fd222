"""The addresses for scripts: with a token only, in its person's name and with that person's rights."""

import base64
import io
import uuid
from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from pytest_django import Settings

from core.accounts.access import make_access_token
from core.models import AccessToken, User
from core.models.grants import Role
from retrieval import services
from retrieval.models import Document, VectorStore
from tests import factories
from tests.ingesting import work

pytestmark = pytest.mark.django_db

STORES = "/api/v1/stores"


class Script:
    """Calls with a token of a person and nothing else."""

    def __init__(self, person: User, scope: str = "write") -> None:
        self.secret = make_access_token(user=person, name="script", scope=scope, days=None)[1]
        self._client = Client(enforce_csrf_checks=True, headers={"Authorization": f"Bearer {self.secret}"})

    def __call__(self, method: str, address: str, **data: Any) -> tuple[int, Any]:
        send = getattr(self._client, method.lower())
        response = send(address, data) if method in {"GET", "POST"} else send(address)
        if response.streaming:
            return response.status_code, async_to_sync(whole)(response.streaming_content)
        return response.status_code, response.json() if response.content else None


async def whole(blocks: AsyncIterator[bytes]) -> bytes:
    return b"".join([block async for block in blocks])


@pytest.fixture
def cast() -> factories.Cast:
    factories.embedding_model(name="hashing-512", is_default=True)
    return factories.cast()


@pytest.fixture
def store(cast: factories.Cast) -> VectorStore:
    return factories.store(owner=cast.owner, name="Harbour")


def text(content: bytes = b"Tide tables of Korsund", name: str = "tides.txt") -> SimpleUploadedFile:
    return SimpleUploadedFile(name, content)


def documents_of(store: VectorStore) -> str:
    return f"{STORES}/{store.pk}/documents"


# Who comes in ---------------------------------------------------------------------------------------------------------


# one of nobody's; the same in each process that collects the tests
NOBODYS = uuid.UUID(int=1)
ADDRESSES = [
    ("GET", STORES),
    ("POST", STORES),
    ("GET", f"{STORES}/{NOBODYS}"),
    ("POST", f"{STORES}/{NOBODYS}/documents"),
    ("DELETE", f"/api/v1/documents/{NOBODYS}"),
    ("GET", f"/api/v1/documents/{NOBODYS}/file"),
    ("POST", f"/api/v1/documents/{NOBODYS}/retry"),
    ("POST", f"{STORES}/{NOBODYS}/uploads"),
    ("PATCH", f"/api/v1/uploads/{NOBODYS}"),
    ("GET", "/api/v2/anything"),
]


@pytest.mark.parametrize(("method", "address"), ADDRESSES)
def test_without_a_token_nobody_comes_in(client: Client, method: str, address: str) -> None:
    client.force_login(factories.superuser())  # a session's cookie is none
    for headers in ({}, {"Authorization": "Bearer parley_wrong"}, {"Authorization": "Basic cGFybGV5"}):
        response = client.generic(method, address, headers=headers)
        assert response.status_code == HTTPStatus.UNAUTHORIZED
        assert response.headers["WWW-Authenticate"].startswith("Bearer")
        assert response.json()["code"] == "not_authenticated"


def test_a_revoked_token_is_none(cast: factories.Cast) -> None:
    script = Script(cast.owner)
    assert script("GET", STORES)[0] == HTTPStatus.OK
    AccessToken.objects.all().delete()
    assert script("GET", STORES)[0] == HTTPStatus.UNAUTHORIZED


def test_a_token_to_read_with_changes_nothing(cast: factories.Cast, store: VectorStore) -> None:
    document = factories.document(store)
    script = Script(cast.owner, "read")
    assert script("GET", documents_of(store))[0] == HTTPStatus.OK
    for method, address in [
        ("POST", STORES),
        ("POST", documents_of(store)),
        ("DELETE", f"/api/v1/documents/{document.pk}"),
    ]:
        status, answer = script(method, address)
        assert (status, answer["code"]) == (HTTPStatus.FORBIDDEN, "insufficient_scope")
    assert Document.objects.live().count() == VectorStore.objects.count() == 1


def test_an_address_that_is_none_and_a_method_that_is_none_are_said(cast: factories.Cast) -> None:
    script = Script(cast.owner)
    assert script("GET", "/api/v1/nothing")[1]["code"] == "not_found"
    status, answer = script("DELETE", STORES)
    assert (status, answer["message"]) == (HTTPStatus.METHOD_NOT_ALLOWED, "This address takes GET, HEAD, POST.")


@pytest.mark.parametrize("person", ["outsider", "teammate"])
def test_what_is_somebody_elses_is_not_found(cast: factories.Cast, store: VectorStore, person: str) -> None:
    document = factories.document(store, state="ready")
    script = Script(getattr(cast, person))
    missing = script("GET", f"{STORES}/{uuid.uuid4()}")
    assert script("GET", f"{STORES}/{store.pk}") == missing
    assert script("GET", documents_of(store)) == missing
    for method, path in [("GET", ""), ("DELETE", ""), ("GET", "/file"), ("POST", "/retry")]:
        status, answer = script(method, f"/api/v1/documents/{document.pk}{path}")
        assert (status, answer["code"]) == (HTTPStatus.NOT_FOUND, "not_found")
    assert script("POST", documents_of(store), file=text())[0] == HTTPStatus.NOT_FOUND
    assert script("GET", STORES)[1]["data"] == []
    assert Document.objects.live().count() == 1


def test_a_reader_reads(cast: factories.Cast, store: VectorStore) -> None:
    factories.grant(store, cast.team, Role.READER)
    script = Script(cast.teammate)
    assert script("GET", documents_of(store))[0] == HTTPStatus.OK
    status, answer = script("POST", documents_of(store), file=text())
    assert (status, answer["code"]) == (HTTPStatus.FORBIDDEN, "permission_denied")
    factories.grant(store, cast.teammate, Role.EDITOR)
    assert script("POST", documents_of(store), file=text())[0] == HTTPStatus.CREATED


# What it does ---------------------------------------------------------------------------------------------------------


def test_from_an_upload_to_its_removal(cast: factories.Cast) -> None:
    script = Script(cast.owner)
    status, store = script("POST", STORES, name="Tides", description="By year")
    assert (status, store["name"], store["object"]) == (HTTPStatus.CREATED, "Tides", "vector_store")
    assert script("GET", f"{STORES}/{store['id']}") == (HTTPStatus.OK, store)

    status, document = script("POST", f"{STORES}/{store['id']}/documents", file=text())
    assert (status, document["state"], document["name"]) == (HTTPStatus.CREATED, "queued", "tides.txt")
    assert (document["size"], document["mime_type"]) == (22, "text/plain")
    assert document["uploaded_by"] == cast.owner.email
    work()

    status, document = script("GET", document["url"])
    assert (status, document["state"], document["chunks"]) == (HTTPStatus.OK, "ready", 1)
    assert document["error"] is document["progress"] is None
    assert script("GET", f"{document['url']}/file") == (HTTPStatus.OK, b"Tide tables of Korsund")

    status, again = script("POST", f"{STORES}/{store['id']}/documents", file=text(name="copy.txt"))
    assert (status, again) == (HTTPStatus.OK, document)

    assert script("DELETE", document["url"]) == (HTTPStatus.NO_CONTENT, None)
    assert script("GET", document["url"])[0] == HTTPStatus.NOT_FOUND
    work()
    assert not Document.objects.exists()


def test_what_failed_says_why_and_is_tried_again(cast: factories.Cast, store: VectorStore) -> None:
    document = factories.document(store, state="failed", error_code="embedding_unavailable", error_message="Away.")
    script = Script(cast.owner)
    address = f"/api/v1/documents/{document.pk}"
    assert script("GET", address)[1]["error"] == {
        "code": "embedding_unavailable",
        "message": "Away.",
        "retryable": False,
    }
    assert script("POST", f"{address}/retry")[1]["state"] == "queued"
    status, answer = script("POST", f"{address}/retry")
    assert (status, answer["code"]) == (HTTPStatus.CONFLICT, "conflict")


@pytest.mark.parametrize(
    ("file", "status", "code"),
    [
        (text(b" "), HTTPStatus.UNPROCESSABLE_ENTITY, "empty_file"),
        (text(b"\x7fELF\x02\x01" + bytes(200)), HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "unsupported_type"),
        (text(b"x" * 2_000_000), HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too_large"),
        ("no file", HTTPStatus.BAD_REQUEST, "invalid_input"),
    ],
    ids=["empty", "unknown", "large", "none"],
)
def test_what_is_not_taken_is_named(
    cast: factories.Cast, store: VectorStore, settings: Settings, file: Any, status: int, code: str
) -> None:
    settings.UPLOAD_MAX_BYTES = 1_000_000
    found, answer = Script(cast.owner)("POST", documents_of(store), file=file)
    assert (found, answer["code"]) == (status, code)
    assert answer["message"]
    assert not Document.objects.exists()


def test_a_body_that_is_no_form_is_named(cast: factories.Cast, store: VectorStore) -> None:
    headers = {"Authorization": f"Bearer {Script(cast.owner).secret}"}
    body = b"--x\r\nContent-Disposition: form-data; name=file; filename=a.txt\r\n\r\ncut sh"
    response = Client().post(documents_of(store), body, content_type="multipart/form-data; boundary=", headers=headers)
    assert (response.status_code, response.json()["code"]) == (HTTPStatus.BAD_REQUEST, "invalid_input")


# Lists ----------------------------------------------------------------------------------------------------------------


def test_lists_are_read_in_parts(cast: factories.Cast, store: VectorStore) -> None:
    for number in range(7):
        content = io.BytesIO(f"Number {number}".encode())
        services.upload(user=cast.owner, store=store, name=f"{number}.txt", content=content)
    script = Script(cast.owner, "read")
    address, names, after = documents_of(store), list[str](), ""
    while True:
        status, part = script("GET", f"{address}?limit=3{after}")
        assert (status, len(part["data"])) == (HTTPStatus.OK, min(3, 7 - len(names)))
        names += [entry["name"] for entry in part["data"]]
        if not part["has_more"]:
            break
        after = f"&after={part['last_id']}"
    assert names == [f"{number}.txt" for number in reversed(range(7))]


def test_lists_are_narrowed(cast: factories.Cast, store: VectorStore) -> None:
    failed, ready = factories.document(store, state="failed"), factories.document(store, state="ready")
    factories.store(owner=cast.owner, name="Another")
    script = Script(cast.owner)

    def found(address: str) -> list[str]:
        return [entry["id"] for entry in script("GET", address)[1]["data"]]

    assert found(f"{documents_of(store)}?state=failed") == [str(failed.pk)]
    assert found(f"{documents_of(store)}?sha256={ready.sha256.upper()}") == [str(ready.pk)]
    assert found(f"{STORES}?name=Harbour") == [str(store.pk)]


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "limit=x", "limit=²", "after=x", f"after={NOBODYS}"])
def test_a_part_that_is_none_is_refused(cast: factories.Cast, query: str) -> None:
    assert Script(cast.owner)("GET", f"{STORES}?{query}")[0] == HTTPStatus.BAD_REQUEST


def test_a_state_that_is_none_is_refused(cast: factories.Cast, store: VectorStore) -> None:
    assert Script(cast.owner)("GET", f"{documents_of(store)}?state=lost")[0] == HTTPStatus.BAD_REQUEST


# In parts (what the protocol does beyond that stands in test_resumable.py) --------------------------------------------


def tus(script: Script, method: str, address: str, body: bytes = b"", **headers: str) -> Any:
    """Call as a client of tus does, with the token and nothing else."""
    told = {"Authorization": f"Bearer {script.secret}", "Tus-Resumable": "1.0.0"}
    told |= {name.replace("_", "-"): value for name, value in headers.items()}
    kind = "application/offset+octet-stream"
    return Client(enforce_csrf_checks=True).generic(method, address, body, content_type=kind, headers=told)


def test_a_large_file_goes_in_parts(cast: factories.Cast, store: VectorStore) -> None:
    script, content = Script(cast.owner), b"Tide tables of Korsund"
    name = base64.b64encode(b"tides.txt").decode()
    announced = {"Upload_Length": str(len(content)), "Upload_Metadata": f"filename {name}"}
    begun = tus(script, "POST", f"{STORES}/{store.pk}/uploads", **announced)
    assert begun.status_code == HTTPStatus.CREATED
    address = begun.headers["Location"]
    assert address.startswith("/api/v1/uploads/")
    for start in range(0, len(content), 10):
        assert tus(script, "HEAD", address).headers["Upload-Offset"] == str(start)
        part = content[start : start + 10]
        assert tus(script, "PATCH", address, part, Upload_Offset=str(start)).status_code == HTTPStatus.NO_CONTENT
    document = Document.objects.get(pk=tus(script, "GET", address).json()["document"])
    assert (document.name, document.state, document.store) == ("tides.txt", "queued", store)


def test_parts_need_the_right_to_change_and_the_right_person(cast: factories.Cast, store: VectorStore) -> None:
    announced = {"Upload_Length": "10", "Upload_Metadata": "filename YQ=="}
    begin = f"{STORES}/{store.pk}/uploads"
    assert tus(Script(cast.owner, "read"), "POST", begin, **announced).status_code == HTTPStatus.FORBIDDEN
    assert tus(Script(cast.outsider), "POST", begin, **announced).status_code == HTTPStatus.NOT_FOUND
    address = tus(Script(cast.owner), "POST", begin, **announced).headers["Location"]
    for method in ("HEAD", "PATCH", "DELETE"):
        refused = tus(Script(cast.outsider), method, address, b"x", Upload_Offset="0")
        assert refused.status_code == HTTPStatus.NOT_FOUND
