"""A worker that is killed while it reads new content, or moves a document: the old answers until another did it."""

import io
from collections.abc import Callable

import pytest
from django.db import transaction

from core.models import Work
from retrieval import services
from retrieval.models import Chunk, Document, File, Revision, VectorStore
from retrieval.search import Query, retrieve_now
from tests import factories
from tests.ingesting import assert_whole, counted, frequencies, put, work
from tests.killed_workers import expire, it_waits_for_a_lock, worker
from tests.responses_server import ResponsesServer
from tests.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)

HOLD = {"hold": "embedding", "endpoint": "embeddings"}
OLD = "The northern lighthouse at Korsund was painted red in 1931."
NEW = "The northern lighthouse at Korsund was painted white in 1987."


def replace(document: Document) -> None:
    assert document.store.owner
    content = io.BytesIO(NEW.encode())
    services.replace_document(user=document.store.owner, document_id=document.pk, name="", content=content)


def move(document: Document) -> None:
    owner = document.store.owner
    far = factories.store(owner=owner, model=document.store.embedding_model, chunk_tokens=64)
    assert owner
    services.move_document(user=owner, document_id=document.pk, store_id=far.pk)


def found() -> list[str]:
    every = VectorStore.objects.all()
    return [one.text for one in retrieve_now(Query.of("When was the lighthouse painted?"), scope=every, limit=5)]


def take_over() -> Document:
    """What the sweep does once the dead worker's lease has run out, and that it ends whole."""
    expire()
    work()
    assert not Work.objects.exists()
    document = Document.objects.get()
    assert_whole(document)
    assert document.notice == ""
    assert Revision.objects.count() == File.objects.count() == 1
    assert all(frequencies(store) == counted(store) for store in VectorStore.objects.all())
    return document


@pytest.fixture
def document(upstream: ResponsesServer) -> Document:
    model = factories.embedding_model(endpoint=factories.responses_endpoint(upstream.base_url))
    put(factories.store(owner=factories.user(), model=model), OLD.encode(), "light.txt")
    work()
    return Document.objects.get()


@pytest.mark.parametrize(("what", "after"), [(replace, NEW), (move, OLD)])
def test_killed_while_it_embeds(
    upstream: ResponsesServer, document: Document, what: Callable[[Document], None], after: str
) -> None:
    what(document)
    before = len(upstream.entries)
    upstream.script(HOLD)
    with worker():
        upstream.await_requests(before + 1)
    assert found() == [OLD]
    assert Document.objects.get(life="live").notice_kind == "running"
    assert take_over() == document
    assert found() == [after]


@pytest.mark.parametrize(("what", "after"), [(replace, NEW), (move, OLD)])
def test_killed_within_the_swap(document: Document, what: Callable[[Document], None], after: str) -> None:
    what(document)
    chunks = list(Chunk.objects.values_list("id", flat=True))
    with transaction.atomic():
        list(VectorStore.objects.select_for_update())
        with worker():
            wait_until(it_waits_for_a_lock)
        assert list(Chunk.objects.values_list("id", flat=True)) == chunks
    assert found() == [OLD]
    take_over()
    assert found() == [after]


def test_killed_again_and_again_the_old_one_stays(upstream: ResponsesServer, document: Document) -> None:
    replace(document)
    for _ in range(3):
        before = len(upstream.entries)
        upstream.script(HOLD)
        with worker():
            upstream.await_requests(before + 1)
        expire()
    document.refresh_from_db()
    assert document.notice_kind == "retryable"
    assert document.notice.startswith("The new version could not be read: ")
    assert_whole(document)
    assert found() == [OLD]
    assert not Work.objects.exists()
