"""Uploading: what is taken is stored once, under our own name, and queued; what is refused leaves nothing behind."""

import hashlib
import io
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from django.core.files.storage import default_storage
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import DatabaseError, connection, connections, transaction
from pytest_django import Settings

from core.errors import NotFoundError, PermissionDeniedError
from core.models import User, Work
from core.models.grants import Role
from retrieval import ingestion, services
from retrieval.errors import EmptyFileError, TooLargeError, UnsupportedTypeError
from retrieval.models import Document, File, VectorStore
from tests import factories

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def files(tmp_path: Path, settings: Settings) -> Path:
    """A storage of the test's own."""
    location = {"location": str(tmp_path / "files"), "base_url": None}
    settings.STORAGES = {**settings.STORAGES, "default": {**settings.STORAGES["default"], "OPTIONS": location}}
    return tmp_path / "files"


def blobs(files: Path) -> list[Path]:
    return sorted(path for path in files.rglob("*") if path.is_file())


def put(store: VectorStore, content: bytes, name: str = "notes.txt", user: User | None = None) -> services.UploadResult:
    assert store.owner
    return services.upload(user=user or store.owner, store=store, name=name, content=io.BytesIO(content))


def test_a_file_becomes_a_queued_document(files: Path) -> None:
    store = factories.store(owner=factories.user())
    result = put(store, b"Tide tables of Korsund", "tides.txt")
    document = Document.objects.get()
    assert result == services.UploadResult(document, created=True)
    assert (document.name, document.state, document.uploaded_by) == ("tides.txt", "queued", store.owner)
    assert document.sha256 == hashlib.sha256(b"Tide tables of Korsund").hexdigest()
    assert (document.file.size, document.file.mime_type) == (22, "text/plain")
    work = Work.objects.get()
    assert (work.kind, work.subject, work.owner) == (ingestion.INGEST, document.pk, store.owner)
    (blob,) = blobs(files)
    assert blob.read_bytes() == b"Tide tables of Korsund"
    assert "tides" not in document.file.storage_name
    assert blob == files / document.file.storage_name


def test_the_type_is_found_from_the_bytes() -> None:
    store = factories.store(owner=factories.user())
    pdf = (Path(__file__).parents[1] / "files" / "lighthouse.pdf").read_bytes()
    upload = SimpleUploadedFile("lie.txt", pdf, content_type="text/html")
    result = services.upload(user=store.owner, store=store, name="lie.txt", content=upload)  # type: ignore[arg-type]
    assert result.document.file.mime_type == "application/pdf"


def test_the_same_content_is_the_same_document(files: Path) -> None:
    store = factories.store(owner=factories.user())
    first = put(store, b"the same", "one.txt")
    second = put(store, b"the same", "two.txt")
    assert (second.created, second.document.pk, second.document.name) == (False, first.document.pk, "one.txt")
    assert Document.objects.count() == File.objects.count() == Work.objects.count() == len(blobs(files)) == 1


def test_another_store_has_its_own_document_of_the_same_file(files: Path) -> None:
    owner = factories.user()
    put(factories.store(owner=owner), b"the same")
    assert put(factories.store(owner=owner), b"the same").created
    assert Document.objects.count() == 2
    assert File.objects.count() == len(blobs(files)) == 1


def test_uploading_again_tries_a_failed_one_again() -> None:
    store = factories.store(owner=factories.user())
    document = put(store, b"was unlucky").document
    Work.objects.all().delete()
    Document.objects.update(state="failed", error_code="internal", error_message="Oh.", error_retryable=True)
    result = put(store, b"was unlucky")
    assert (result.created, result.document.state) == (False, "queued")
    document.refresh_from_db()
    assert (document.state, document.error_code, document.error_message) == ("queued", "", "")
    assert Work.objects.get().subject == document.pk


def test_a_lost_blob_comes_back_with_the_same_content(files: Path) -> None:
    owner = factories.user()
    document = put(factories.store(owner=owner), b"lost and found").document
    default_storage.delete(document.file.storage_name)
    again = put(factories.store(owner=owner), b"lost and found").document
    assert again.file_id == document.file_id
    (blob,) = blobs(files)
    assert blob.read_bytes() == b"lost and found"
    assert blob == files / File.objects.get().storage_name


def test_a_lost_blob_of_a_failed_document_comes_back(files: Path) -> None:
    store = factories.store(owner=factories.user())
    document = put(store, b"lost and found").document
    default_storage.delete(document.file.storage_name)
    Document.objects.update(state="failed", error_code="not_found", error_message="The file is missing.")
    assert not put(store, b"lost and found").created
    assert [blob.read_bytes() for blob in blobs(files)] == [b"lost and found"]


class Endless(io.RawIOBase):
    """A body that never ends, and counts what was taken of it."""

    taken = 0

    def read(self, size: int = -1, /) -> bytes:
        self.taken += size
        return b"x" * size


def test_too_much_is_refused_while_it_is_read(files: Path, settings: Settings) -> None:
    settings.UPLOAD_MAX_BYTES = 1024 * 1024
    store, body = factories.store(owner=factories.user()), Endless()
    with pytest.raises(TooLargeError, match="larger than 1 MB"):
        services.upload(user=store.owner, store=store, name="big.txt", content=body)  # type: ignore[arg-type]
    assert body.taken < 2 * settings.UPLOAD_MAX_BYTES
    assert blobs(files) == []
    put(store, b"x" * settings.UPLOAD_MAX_BYTES)


@pytest.mark.parametrize(
    ("content", "error"),
    [(b"", EmptyFileError), (b"\n \n", EmptyFileError), (b"\x7fELF\x02\x01" + bytes(200), UnsupportedTypeError)],
)
def test_what_cannot_be_read_is_refused(files: Path, content: bytes, error: type[Exception]) -> None:
    with pytest.raises(error):
        put(factories.store(owner=factories.user()), content)
    assert not Document.objects.exists()
    assert not File.objects.exists()
    assert blobs(files) == []


def test_nothing_is_kept_where_the_transaction_fails(files: Path) -> None:
    store = factories.store(owner=factories.user())
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE core_work ADD CONSTRAINT no_more_work CHECK (false) NOT VALID")
    with pytest.raises(DatabaseError), transaction.atomic():
        put(store, b"bad luck")
    assert not Document.objects.exists()
    assert not File.objects.exists()
    assert blobs(files) == []


def test_who_may_upload() -> None:
    cast = factories.cast()
    store = factories.store(owner=cast.owner)
    with pytest.raises(NotFoundError):
        put(store, b"from the teammate", user=cast.teammate)
    given = factories.grant(store, cast.team, Role.READER)
    with pytest.raises(PermissionDeniedError):
        put(store, b"from the teammate", user=cast.teammate)
    given.role = Role.EDITOR
    given.save()
    assert put(store, b"from the teammate", user=cast.teammate).document.uploaded_by == cast.teammate
    with pytest.raises(NotFoundError):
        put(store, b"from the outsider", user=cast.outsider)
    assert Document.objects.count() == 1


def at_once(count: int, do: Callable[[int], Any]) -> list[Any]:
    """Run `do(0)`, `do(1)`, … in as many threads, all beginning together."""
    start = threading.Barrier(count)

    def run(number: int) -> Any:
        start.wait()
        try:
            return do(number)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(count) as threads:
        return list(threads.map(run, range(count)))


@pytest.fixture
def people() -> list[User]:
    return [factories.user() for _ in range(4)]


@pytest.mark.django_db(transaction=True)
def test_the_same_content_from_many_at_once_is_one_document(files: Path, people: list[User]) -> None:
    store = factories.store(owner=people[0])
    for person in people[1:]:
        factories.grant(store, person, Role.EDITOR)
    results = at_once(8, lambda number: put(store, b"all at once" * 1000, user=people[number % 4]))
    assert sum(result.created for result in results) == 1
    assert len({result.document.pk for result in results}) == 1
    assert Document.objects.count() == File.objects.count() == Work.objects.count() == len(blobs(files)) == 1
    assert blobs(files)[0] == files / File.objects.get().storage_name
