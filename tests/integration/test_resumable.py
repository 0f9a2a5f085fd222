"""Uploads in parts: what was acknowledged is there, each byte once, whatever dies or comes twice."""

import base64
import hashlib
import io
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from django.core.files.storage import default_storage
from django.db import connections
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pytest_django import Settings

import retrieval.tasks  # noqa: F401  (registers the handlers, as a worker does)
from core import outbox
from core.errors import ConflictError, LimitError, NotFoundError, PermissionDeniedError
from core.models import User, Work
from core.models.grants import Role
from retrieval import services
from retrieval.errors import (
    DamagedUploadError,
    EmptyFileError,
    OffsetError,
    QuotaExceededError,
    TooLargeError,
    UnsupportedTypeError,
)
from retrieval.models import Document, Upload, UploadPart, VectorStore
from retrieval.services import resumable
from tests import factories

pytestmark = pytest.mark.django_db

TEXT = b"".join(b"%06d tide tables of Korsund\n" % number for number in range(400))
TUS = {"Tus-Resumable": "1.0.0"}


@pytest.fixture(autouse=True)
def files(tmp_path: Path, settings: Settings) -> Path:
    """A storage of the test's own, and parts of 4 KB."""
    location = {"location": str(tmp_path / "files"), "base_url": None}
    settings.STORAGES = {**settings.STORAGES, "default": {**settings.STORAGES["default"], "OPTIONS": location}}
    settings.UPLOAD_PART_BYTES = 4096
    return tmp_path / "files"


@pytest.fixture
def owner() -> User:
    return factories.user()


@pytest.fixture
def store(owner: User) -> VectorStore:
    return factories.store(owner=owner)


def stored(files: Path) -> list[bytes]:
    return [path.read_bytes() for path in sorted(files.rglob("*")) if path.is_file()]


def begin(store: VectorStore, content: bytes = TEXT, **values: Any) -> Upload:
    assert store.owner
    file = services.Announced(**{"client_id": uuid.uuid4(), "name": "tides.txt", "size": len(content), **values})
    return services.begin_upload(user=store.owner, store=store, file=file)


def append(upload: Upload, offset: int, content: bytes, **values: Any) -> Upload:
    values = {"user": upload.owner, **values}
    return services.append_part(upload_id=upload.pk, offset=offset, content=io.BytesIO(content), **values)


def append_all(upload: Upload, content: bytes = TEXT, *, size: int = 4096) -> Upload:
    for at in range(0, len(content), size):
        upload = append(upload, at, content[at : at + size])
    return upload


def test_parts_become_the_file(store: VectorStore, files: Path) -> None:
    upload = append_all(begin(store, path="papers/tides/tides.txt"))
    document = Document.objects.get()
    assert (upload.state, upload.document, document.pk) == ("done", document, upload.pk)
    assert (document.name, document.attributes) == ("tides.txt", {"path": "papers/tides/tides.txt"})
    assert document.sha256 == hashlib.sha256(TEXT).hexdigest()
    assert stored(files) == [TEXT], "the parts are gone, and the file is there"
    assert Work.objects.filter(kind="retrieval.ingest", subject=document.pk).count() == 1


# Where a request begins (None: where the server said to go on) and how many bytes it has.
REQUESTS = st.lists(st.tuples(st.none() | st.integers(0, 40), st.integers(0, 20)), max_size=12)


@hypothesis_settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=20), requests=REQUESTS)
def test_any_cut_in_any_order_gives_the_same_bytes_or_says_where_to_go_on(
    store: VectorStore, content: bytes, requests: list[tuple[int | None, int]]
) -> None:
    """Requests as a confused network and several tabs send them: the right next one, old ones again, and later ones."""
    content = b"text " + content.hex().encode()
    upload, received = begin(store, content), 0
    for place, size in [*requests, (None, len(content))]:
        offset = received if place is None else place
        told = ask(upload, offset, content[offset : offset + size])
        if offset == received:
            received = min(received + size, len(content))
            assert told == "taken"
        else:
            assert told == received
        assert Upload.objects.get(pk=upload.pk).received == received
    document = Upload.objects.get(pk=upload.pk).document
    assert document
    with default_storage.open(document.file.storage_name) as kept:
        assert kept.read() == content


def ask(upload: Upload, offset: int, content: bytes) -> int | str:
    """Send a part: "taken", or where the server says to go on."""
    try:
        append(upload, offset, content)
    except OffsetError as error:
        return error.offset
    return "taken"


def test_more_than_announced_is_refused(store: VectorStore) -> None:
    upload = append(begin(store, b"twelve bytes"), 0, b"twelve")
    with pytest.raises(TooLargeError):
        append(upload, 6, b" bytes and more")
    assert append(upload, 6, b" bytes").state == "done"


def test_more_than_a_part_is_refused(store: VectorStore, files: Path) -> None:
    upload = begin(store)
    with pytest.raises(TooLargeError, match="4,096"):
        append(upload, 0, TEXT[:4097])
    assert stored(files) == []


def test_begun_again_it_is_the_same(store: VectorStore) -> None:
    client_id = uuid.uuid4()
    upload = append(begin(store, client_id=client_id), 0, TEXT[:100])
    again = begin(store, client_id=client_id)
    assert (again.pk, again.received) == (upload.pk, 100)
    with pytest.raises(ConflictError):
        begin(store, b"another file", client_id=client_id)


def test_what_is_announced_is_held_against_the_limits(store: VectorStore, settings: Settings) -> None:
    settings.UPLOAD_MAX_BYTES = 1000
    with pytest.raises(TooLargeError):
        begin(store, size=1001)
    with pytest.raises(EmptyFileError):
        begin(store, size=0)
    settings.UPLOADS_MAX_UNFINISHED = 2
    kept = [begin(store, size=1000) for _ in range(2)]
    with pytest.raises(LimitError, match="2 unfinished"):
        begin(store, size=1000)
    services.discard_upload(user=kept[0].owner, upload_id=kept[0].pk)
    begin(store, size=1000)


def test_the_quota_holds_at_the_beginning_and_at_the_end(store: VectorStore, settings: Settings) -> None:
    settings.QUOTA_BYTES = 20
    with pytest.raises(QuotaExceededError):
        begin(store, size=21)
    one, other = begin(store, b"twelve bytes"), begin(store, b"twelve more!")
    append(one, 0, b"twelve bytes")
    with pytest.raises(QuotaExceededError):
        append(other, 0, b"twelve more!")
    assert (Upload.objects.get(pk=other.pk).state, Document.objects.get().pk) == ("refused", one.pk)


def test_a_part_that_arrives_damaged_does_not_count(store: VectorStore, files: Path) -> None:
    upload = begin(store)
    with pytest.raises(DamagedUploadError):
        append(upload, 0, TEXT[:100], sha256=hashlib.sha256(b"something else").hexdigest())
    assert Upload.objects.get().received == 0
    assert stored(files) == []
    assert append(upload, 0, TEXT[:100], sha256=hashlib.sha256(TEXT[:100]).hexdigest()).received == 100


def test_a_whole_that_is_not_what_was_announced_is_refused(store: VectorStore, files: Path) -> None:
    upload = begin(store, sha256=hashlib.sha256(b"what was meant").hexdigest())
    with pytest.raises(DamagedUploadError):
        append_all(upload)
    assert not Document.objects.exists()
    assert stored(files) == []
    assert (Upload.objects.get().state, Upload.objects.get().error_code) == ("refused", "damaged_upload")


def test_a_part_that_changed_in_the_storage_is_found(store: VectorStore) -> None:
    upload = append(begin(store, TEXT[:5000]), 0, TEXT[:4096])
    name = UploadPart.objects.get().storage_name
    Path(default_storage.path(name)).write_bytes(b"x" * 4096)
    with pytest.raises(DamagedUploadError):
        append(upload, 4096, TEXT[4096:5000])
    assert not Document.objects.exists()


def test_a_kind_that_is_not_read_is_refused_each_time(store: VectorStore, files: Path) -> None:
    program = b"\x7fELF\x02\x01" + bytes(200)
    with pytest.raises(UnsupportedTypeError) as first:
        append_all(begin(store, program), program)
    with pytest.raises(UnsupportedTypeError, match=first.value.message[:-1]):
        services.finish_upload(Upload.objects.get())
    assert stored(files) == []


def test_content_that_is_there_is_the_same_document(store: VectorStore) -> None:
    first = append_all(begin(store))
    second = append_all(begin(store, name="other.txt"))
    assert second.document == first.document
    assert second.document_id != second.pk
    assert Document.objects.count() == 1


def test_a_document_is_made_once_though_finishing_is_done_again(store: VectorStore, files: Path) -> None:
    """A process that is killed between the document and the note of it leaves an upload that is received."""
    upload = append_all(begin(store))
    Upload.objects.filter(pk=upload.pk).update(state="received", document=None)
    at = default_storage.save("uploads/again", io.BytesIO(TEXT))
    UploadPart.objects.create(
        upload=upload, start=0, size=len(TEXT), sha256=hashlib.sha256(TEXT).hexdigest(), storage_name=at
    )
    again = services.finish_upload(Upload.objects.get())
    assert again.document_id == upload.pk
    assert Document.objects.count() == 1


def test_a_worker_finishes_what_no_request_has(store: VectorStore) -> None:
    upload = append(begin(store, b"twelve bytes"), 0, b"twelve byte")
    found = Upload.objects.get()
    with resumable.received_part(io.BytesIO(b"s"), limit=1) as part, resumable.stored_part(upload.pk, 11, part) as name:
        resumable._add(found, 11, part, name)
    assert Upload.objects.get().state == "received"
    Work.objects.update(run_after=timezone.now())
    resumable.finish_left_upload(factories.claim(resumable.FINISH, upload.pk))
    assert Upload.objects.get().state == "done"
    assert Document.objects.get().pk == upload.pk


def test_discarded_nothing_is_left(store: VectorStore, files: Path) -> None:
    upload = append(begin(store), 0, TEXT[:100])
    services.discard_upload(user=upload.owner, upload_id=upload.pk)
    assert not Upload.objects.exists()
    assert stored(files) == []
    with pytest.raises(NotFoundError):
        append(upload, 100, TEXT[100:200])


def test_what_stands_still_expires(store: VectorStore, files: Path, settings: Settings) -> None:
    upload = append(begin(store), 0, TEXT[:100])
    resumable.expire_upload(factories.claim(resumable.EXPIRE, upload.pk))
    assert Upload.objects.exists(), "it goes on until its time is over"
    waiting = Work.objects.get(kind=resumable.EXPIRE, state="waiting")
    assert waiting.run_after > timezone.now() + timedelta(hours=settings.UPLOAD_KEEP_HOURS - 1)
    Upload.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    resumable.expire_upload(factories.claim(resumable.EXPIRE, upload.pk))
    assert not Upload.objects.exists()
    assert stored(files) == []


def test_parts_of_a_store_that_is_gone_expire_too(store: VectorStore, files: Path) -> None:
    upload = append(begin(store), 0, TEXT[:100])
    VectorStore.objects.all().delete()
    assert stored(files)
    resumable.expire_upload(factories.claim(resumable.EXPIRE, upload.pk))
    assert stored(files) == []


def test_who_may(store: VectorStore) -> None:
    cast = factories.cast()
    upload = begin(store)
    for person in (cast.teammate, cast.outsider):
        with pytest.raises(NotFoundError):
            append(upload, 0, b"foreign", user=person)
        with pytest.raises(NotFoundError):
            services.discard_upload(user=person, upload_id=upload.pk)
    given_role = factories.grant(store, cast.teammate, Role.EDITOR)
    theirs = services.begin_upload(
        user=cast.teammate, store=store, file=services.Announced(uuid.uuid4(), "a.txt", len(TEXT))
    )
    append(theirs, 0, TEXT[:100])
    given_role.role = Role.READER
    given_role.save()
    with pytest.raises(PermissionDeniedError):
        append(theirs, 100, TEXT[100:200])


@pytest.mark.django_db(transaction=True)
def test_of_several_tabs_one_wins_each_part(store: VectorStore, files: Path) -> None:
    """Each of four tabs sends the whole file, part by part, and goes on where it is told to."""
    upload, start = begin(store), threading.Barrier(4)

    def tab(_number: int) -> int:
        won = offset = 0
        start.wait()
        try:
            while offset < len(TEXT):
                try:
                    offset = append(upload, offset, TEXT[offset : offset + 4096]).received
                    won += 1
                except OffsetError as error:
                    offset = error.offset
        finally:
            connections.close_all()
        return won

    with ThreadPoolExecutor(4) as threads:
        wins = sum(threads.map(tab, range(4)))
    assert wins == -(-len(TEXT) // 4096)
    services.finish_upload(Upload.objects.select_related("owner", "store").get())
    assert Document.objects.get().sha256 == hashlib.sha256(TEXT).hexdigest()
    assert stored(files) == [TEXT]


# Over HTTP -----------------------------------------------------------------------------------------------------------


def packed(**values: str) -> str:
    return ",".join(f"{key} {base64.b64encode(value.encode()).decode()}" for key, value in values.items())


class Tus:
    """A client of the protocol, as the specification has it."""

    def __init__(self, person: User) -> None:
        self.client = Client()
        self.client.force_login(person)

    def begin(self, store: VectorStore, size: int = len(TEXT), **values: str) -> Any:
        headers = {**TUS, "Upload-Length": str(size), "Upload-Metadata": packed(filename="tides.txt", **values)}
        return self.client.post(reverse("retrieval:begin_upload", args=[store.pk]), headers=headers)

    def patch(self, at: str, offset: int, content: bytes, **headers: str) -> Any:
        headers = {**TUS, "Upload-Offset": str(offset), **headers}
        return self.client.patch(at, content, content_type="application/offset+octet-stream", headers=headers)


class TestProtocol:
    def test_the_whole_way(self, store: VectorStore, owner: User) -> None:
        tus = Tus(owner)
        begun = tus.begin(store)
        assert (begun.status_code, begun.headers["Upload-Offset"]) == (HTTPStatus.CREATED, "0")
        at = begun.headers["Location"]
        for offset in range(0, len(TEXT), 4096):
            head = tus.client.head(at, headers=TUS)
            assert (head.headers["Upload-Offset"], head.headers["Upload-Length"]) == (str(offset), str(len(TEXT)))
            assert "no-store" in head.headers["Cache-Control"]
            part = TEXT[offset : offset + 4096]
            answer = tus.patch(at, offset, part)
            assert answer.status_code == HTTPStatus.NO_CONTENT
            assert answer.headers["Upload-Offset"] == str(offset + len(part))
            assert answer.headers["Tus-Resumable"] == "1.0.0"
        told = tus.client.get(at).json()
        assert (told["state"], told["created"], told["document"]) == ("done", True, str(Document.objects.get().pk))
        assert "tides.txt" in told["html"]

    def test_a_wrong_place_is_told(self, store: VectorStore, owner: User) -> None:
        tus = Tus(owner)
        at = tus.begin(store).headers["Location"]
        tus.patch(at, 0, TEXT[:100])
        answer = tus.patch(at, 50, TEXT[50:200])
        assert (answer.status_code, answer.headers["Upload-Offset"]) == (HTTPStatus.CONFLICT, "100")

    def test_what_is_stored_is_told_for_comparison(self, store: VectorStore, owner: User) -> None:
        tus = Tus(owner)
        at = tus.begin(store).headers["Location"]
        tus.patch(at, 0, TEXT[:100])
        assert tus.client.get(at).json()["parts"] == [[0, 100, hashlib.sha256(TEXT[:100]).hexdigest()]]

    def test_checksums(self, store: VectorStore, owner: User) -> None:
        tus = Tus(owner)
        at = tus.begin(store).headers["Location"]
        wrong = base64.b64encode(hashlib.sha256(b"else").digest()).decode()
        assert tus.patch(at, 0, TEXT[:100], **{"Upload-Checksum": f"sha256 {wrong}"}).status_code == 460
        assert tus.patch(at, 0, TEXT[:100], **{"Upload-Checksum": "md5 AAAA"}).status_code == HTTPStatus.BAD_REQUEST
        right = base64.b64encode(hashlib.sha256(TEXT[:100]).digest()).decode()
        answer = tus.patch(at, 0, TEXT[:100], **{"Upload-Checksum": f"sha256 {right}"})
        assert answer.status_code == HTTPStatus.NO_CONTENT

    def test_terminated_it_is_gone(self, store: VectorStore, owner: User) -> None:
        tus = Tus(owner)
        at = tus.begin(store).headers["Location"]
        assert tus.client.delete(at, headers=TUS).status_code == HTTPStatus.NO_CONTENT
        assert tus.client.head(at, headers=TUS).status_code == HTTPStatus.NOT_FOUND

    def test_another_version_is_refused(self, store: VectorStore, owner: User) -> None:
        client = Tus(owner).client
        at = reverse("retrieval:begin_upload", args=[store.pk])
        answer = client.post(at, headers={"Tus-Resumable": "0.2.2"})
        assert (answer.status_code, answer.headers["Tus-Version"]) == (HTTPStatus.PRECONDITION_FAILED, "1.0.0")
        assert "creation" in client.options(at).headers["Tus-Extension"]

    @pytest.mark.parametrize(
        "headers",
        [
            {},
            {"Upload-Length": "-1"},
            {"Upload-Length": "many"},
            {"Upload-Length": "5", "Upload-Metadata": "filename !!"},
            {"Upload-Length": "5", "Upload-Metadata": packed(id="no uuid")},
            {"Upload-Length": "5", "Upload-Metadata": packed(sha256="abc")},
        ],
    )
    def test_bad_beginnings(self, store: VectorStore, owner: User, headers: dict[str, str]) -> None:
        at = reverse("retrieval:begin_upload", args=[store.pk])
        answer = Tus(owner).client.post(at, headers={**TUS, **headers})
        assert (answer.status_code, answer.json()["code"]) == (HTTPStatus.BAD_REQUEST, "invalid_input")
        assert not Upload.objects.exists()

    def test_a_part_of_another_type_or_size_is_refused(self, store: VectorStore, owner: User) -> None:
        tus = Tus(owner)
        at = tus.begin(store).headers["Location"]
        form = tus.client.patch(at, b"x", content_type="text/plain", headers={**TUS, "Upload-Offset": "0"})
        assert form.status_code == HTTPStatus.BAD_REQUEST
        assert tus.patch(at, 0, TEXT[:5000]).status_code == HTTPStatus.REQUEST_ENTITY_TOO_LARGE

    def test_a_foreign_upload_answers_like_a_missing_one(self, store: VectorStore, owner: User) -> None:
        at = Tus(owner).begin(store).headers["Location"]
        foreign = Tus(factories.user())
        missing = reverse("retrieval:upload_parts", args=[uuid.uuid4()])
        for ask in (foreign.client.get, foreign.client.delete, foreign.client.head):
            there, nowhere = ask(at, headers=TUS), ask(missing, headers=TUS)
            assert there.status_code == nowhere.status_code == HTTPStatus.NOT_FOUND
            assert there.content == nowhere.content

    def test_a_foreign_site_begins_and_appends_nothing(self, store: VectorStore, owner: User) -> None:
        at = Tus(owner).begin(store).headers["Location"]
        forging = Tus(owner)
        forging.client = Client(enforce_csrf_checks=True)
        forging.client.force_login(owner)
        assert forging.begin(store).status_code == HTTPStatus.FORBIDDEN
        assert forging.patch(at, 0, TEXT[:10]).status_code == HTTPStatus.FORBIDDEN
        assert Upload.objects.get().received == 0

    def test_without_signing_in(self, store: VectorStore) -> None:
        at = reverse("retrieval:begin_upload", args=[store.pk])
        assert Client().post(at, headers=TUS).status_code == HTTPStatus.UNAUTHORIZED


def test_into_a_conversation(owner: User) -> None:
    factories.embedding_model(is_default=True)
    assistant, conversation, tus = factories.assistant(owner=owner), uuid.uuid4(), Tus(owner)
    headers = {**TUS, "Upload-Length": "5", "Upload-Metadata": packed(filename="a.txt", assistant=str(assistant.pk))}
    url = reverse("chat:begin_upload", args=[conversation])
    begun = tus.client.post(url, headers=headers)
    assert begun.status_code == HTTPStatus.CREATED
    assert tus.patch(begun.headers["Location"], 0, b"hello").status_code == HTTPStatus.NO_CONTENT
    assert Document.objects.get().store.kind == "conversation"
    assert Tus(factories.user()).client.post(url, headers=headers).status_code == HTTPStatus.NOT_FOUND


def test_the_sweep_knows_its_work(store: VectorStore) -> None:
    """What is asked for has a handler: else it would wait for ever."""
    append(begin(store), 0, TEXT[:10])
    Work.objects.update(run_after=timezone.now())
    while outbox.run_one():
        pass
    assert set(Work.objects.values_list("kind", "state")) == {(resumable.EXPIRE, "waiting")}
