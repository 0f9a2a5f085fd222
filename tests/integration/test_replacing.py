"""New content for a document: the old one answers until the new one is there, and for good where it cannot be read."""

import io
from typing import Any

import pytest
from django.core.files.storage import default_storage
from django.db import transaction

from core.errors import ConflictError, PermissionDeniedError
from core.models import Work
from core.models.grants import Role
from retrieval import services
from retrieval.errors import QuotaExceededError
from retrieval.models import Chunk, Document, File, Revision, VectorStore
from retrieval.search import Query, retrieve_now
from tests import factories
from tests.ingesting import assert_whole, frequencies, let_time_pass, put, work
from tests.responses_server import ResponsesServer

REFUSED = {"status": 401, "endpoint": "embeddings", "body": {"error": {"message": "Incorrect API key"}}}

pytestmark = pytest.mark.django_db(transaction=True)

OLD = b"The northern lighthouse at Korsund was painted red in 1931."
NEW = b"The northern lighthouse at Korsund was painted white in 1987."
BROKEN = b"%PDF-1.7\nthis is no PDF at all"


def replace(document: Document, content: bytes, name: str = "") -> services.UploadResult:
    owner = document.store.owner
    assert owner
    stream = io.BytesIO(content)
    return services.replace_document(user=owner, document_id=document.pk, name=name, content=stream)


def found(store: VectorStore) -> list[str]:
    scope = VectorStore.objects.filter(pk=store.pk)
    return [one.text for one in retrieve_now(Query.of("When was the lighthouse painted?"), scope=scope, limit=5)]


def ready(store: VectorStore, content: bytes = OLD, name: str = "light.txt") -> Document:
    document = put(store, content, name)
    work()
    assert_whole(document)
    return document


def notice(document: Document) -> tuple[str, str]:
    return Document.objects.values_list("notice_kind", "notice").get(pk=document.pk)


@pytest.fixture
def store() -> VectorStore:
    return factories.store(owner=factories.user())


def test_the_old_one_answers_until_the_new_one_is_there(store: VectorStore) -> None:
    document = ready(store)
    Document.objects.update(attributes={"tower": 4})
    former = document.file
    result = replace(document, NEW, "light-2.txt")
    assert (result.created, result.document.pk) == (True, document.pk)
    assert Document.objects.live().get() == document
    assert notice(document) == ("running", "A new version is on its way: Waiting.")
    assert found(store) == [OLD.decode()]
    work()
    assert found(store) == [NEW.decode()]
    document = Document.objects.select_related("file", "store").get()
    assert_whole(document)
    assert (document.name, document.attributes, document.life) == ("light-2.txt", {"tower": 4}, "live")
    assert document.file.sha256 == document.sha256 != former.sha256
    assert notice(document) == ("", "")
    assert not File.objects.filter(pk=former.pk).exists()
    assert not default_storage.exists(former.storage_name)
    assert Revision.objects.get().text == NEW.decode()
    assert not Work.objects.exists()


def test_without_a_name_it_keeps_its_own(store: VectorStore) -> None:
    document = ready(store)
    replace(document, NEW)
    work()
    assert Document.objects.get().name == "light.txt"


def test_what_cannot_be_read_leaves_the_old_one_in_use(store: VectorStore) -> None:
    document = ready(store)
    before = frequencies(store)
    replace(document, BROKEN, "light.pdf")
    work()
    assert_whole(document)
    assert found(store) == [OLD.decode()]
    assert frequencies(store) == before
    kind, words = notice(document)
    assert kind == "failed"
    assert words.startswith("The new version could not be read: ")
    assert document.store.owner
    services.dismiss_replacement(user=document.store.owner, document_id=document.pk)
    assert notice(document) == ("", "")
    work()
    assert Document.objects.get() == document
    assert File.objects.count() == 1
    with pytest.raises(ConflictError):
        services.dismiss_replacement(user=document.store.owner, document_id=document.pk)


def test_a_failed_one_is_tried_again(store: VectorStore, upstream: ResponsesServer) -> None:
    model = factories.embedding_model(endpoint=factories.responses_endpoint(upstream.base_url))
    VectorStore.objects.update(embedding_model=model)
    document = ready(VectorStore.objects.get())
    upstream.script(REFUSED)
    replace(document, NEW)
    work()
    assert notice(document)[0] == "retryable"
    assert found(store) == [OLD.decode()]
    assert store.owner
    services.retry_document(user=store.owner, document_id=document.pk)
    assert notice(document)[0] == "running"
    work()
    assert found(store) == [NEW.decode()]
    assert_whole(document)


def test_the_later_of_two_wins(store: VectorStore) -> None:
    document = ready(store)
    replace(document, b"The lighthouse was painted green in 1950.", "green.txt")
    replace(document, NEW, "white.txt")
    assert Document.objects.filter(life="pending").count() == 1
    work()
    assert found(store) == [NEW.decode()]
    assert Document.objects.get().name == "white.txt"
    assert File.objects.count() == 1


def test_the_same_content_is_said_to_be_the_same(store: VectorStore) -> None:
    document = ready(store)
    replace(document, NEW)
    assert not replace(document, NEW).created, "it is on its way already"
    assert Document.objects.filter(life="pending").count() == 1
    assert not replace(document, OLD).created, "the later wins: it stays as it is"
    work()
    assert found(store) == [OLD.decode()]
    assert Document.objects.get() == document
    other = put(store, NEW, "other.txt")
    with pytest.raises(ConflictError, match=r"as “other\.txt”"):
        replace(document, NEW)
    assert other.pk != document.pk


def test_the_same_content_comes_in_between(store: VectorStore) -> None:
    document = ready(store)
    replace(document, NEW)
    pending = Work.objects.get()
    Work.objects.update(run_after=pending.run_after.replace(year=2099))
    ready(store, NEW, "quick.txt")
    let_time_pass()
    work()
    assert notice(document) == (
        "failed",
        "The new version could not be read: “quick.txt” in the same vector store has the same content.",
    )
    assert_whole(document)


def test_deleted_while_it_is_replaced(store: VectorStore) -> None:
    document = ready(store)
    replace(document, NEW)
    assert store.owner
    services.delete_document(user=store.owner, document_id=document.pk)
    work()
    assert not Document.objects.exists()
    assert not File.objects.exists()
    assert not Chunk.objects.exists()
    assert frequencies(store) == {}


def test_a_document_that_failed_gets_well_by_it(store: VectorStore) -> None:
    document = put(store, BROKEN, "light.pdf")
    work()
    replace(document, NEW, "light.txt")
    work()
    assert_whole(document)
    assert found(store) == [NEW.decode()]
    assert document.error_code == ""


def test_renamed_on_the_way_the_name_stays(store: VectorStore) -> None:
    document = ready(store)
    replace(document, NEW, "other.txt")
    assert store.owner
    services.rename_document(user=store.owner, document_id=document.pk, name="mine.txt")
    work()
    assert Document.objects.get().name == "mine.txt"
    assert found(store) == [NEW.decode()]
    assert "mine.txt" in Chunk.objects.get().header


def test_who_may(store: VectorStore) -> None:
    document = ready(store)
    reader, editor = factories.user(), factories.user()
    factories.grant(store, reader)
    factories.grant(store, editor, Role.EDITOR)

    def asked(person: Any) -> services.UploadResult:
        content = io.BytesIO(NEW)
        return services.replace_document(user=person, document_id=document.pk, name="", content=content)

    with pytest.raises(PermissionDeniedError):
        asked(reader)
    with pytest.raises(PermissionDeniedError):
        services.dismiss_replacement(user=reader, document_id=document.pk)
    asked(editor)
    work()
    assert found(store) == [NEW.decode()]


def test_only_what_it_is_larger_by_counts(store: VectorStore, settings: Any) -> None:
    document = ready(store)
    settings.QUOTA_FILES, settings.QUOTA_BYTES = 1, len(OLD) + 10
    with pytest.raises(QuotaExceededError):
        replace(document, OLD * 2)
    replace(document, NEW)
    settings.QUOTA_TOKENS = 1
    work()
    kind, words = notice(document)
    assert kind == "retryable"
    assert "tokens" in words
    settings.QUOTA_TOKENS = document.token_count + 5
    assert store.owner
    services.retry_document(user=store.owner, document_id=document.pk)
    work()
    assert found(store) == [NEW.decode()]
    assert services.quotas.usage(store.owner).files == 1


def test_nothing_is_kept_where_it_is_refused(store: VectorStore) -> None:
    document = ready(store)
    put(store, NEW, "other.txt")
    work()
    files = set(File.objects.values_list("storage_name", flat=True))
    with pytest.raises(ConflictError), transaction.atomic():
        replace(document, NEW)
    assert set(File.objects.values_list("storage_name", flat=True)) == files
