"""A worker that is killed in the middle of a stage: another one goes on, nothing is lost, doubled or stuck."""

import pytest
from django.db import transaction

from core.models import Work
from retrieval.models import Chunk, Document, Revision, VectorStore
from tests import factories
from tests.ingesting import assert_whole, put_file, work
from tests.killed_workers import expire, it_waits_for_a_lock, worker
from tests.responses_server import ResponsesServer
from tests.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)

HOLD = {"hold": "embedding", "endpoint": "embeddings"}


def take_over() -> None:
    """What the sweep does once the dead worker's lease has run out."""
    expire()
    work()
    assert not Work.objects.exists()


def state(document: Document) -> str:
    return Document.objects.get(pk=document.pk).state


def test_killed_while_it_reads_the_file() -> None:
    document = put_file(factories.store(owner=factories.user()), "lighthouse.pdf")
    with worker():
        wait_until(lambda: state(document) == "extracting")
    assert state(document) == "extracting"
    take_over()
    assert_whole(document)


def test_killed_while_it_embeds(upstream: ResponsesServer) -> None:
    model = factories.embedding_model(endpoint=factories.responses_endpoint(upstream.base_url))
    document = put_file(factories.store(owner=factories.user(), model=model), "tides.md")
    upstream.script(HOLD)
    with worker():
        upstream.await_requests(1)
    assert state(document) == "embedding"
    (kept,) = Revision.objects.all()
    take_over()
    assert_whole(document)
    assert document.revision == kept


def test_killed_between_chunks_and_state() -> None:
    """The worker is stopped within the transaction that makes the chunks visible."""
    document = put_file(factories.store(owner=factories.user()), "tides.md")
    with transaction.atomic():
        VectorStore.objects.select_for_update().get()
        with worker():
            wait_until(it_waits_for_a_lock)
        assert not Chunk.objects.exists()
    assert state(document) == "embedding"
    take_over()
    assert_whole(document)


def test_killed_again_and_again_the_file_is_given_up(upstream: ResponsesServer) -> None:
    model = factories.embedding_model(endpoint=factories.responses_endpoint(upstream.base_url))
    document = put_file(factories.store(owner=factories.user(), model=model), "tides.md")
    for killed in (1, 2, 3):
        upstream.script(HOLD)
        with worker():
            upstream.await_requests(killed)
        assert state(document) == "embedding"
        expire()
    document.refresh_from_db()
    assert (document.state, document.error_code, document.error_retryable) == ("failed", "worker_lost", True)
    assert not Work.objects.exists()
