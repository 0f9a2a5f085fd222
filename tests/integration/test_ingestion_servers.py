"""Embedding by a server that is slow, away, or has changed its mind."""

import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta

import pytest
from django.db import connections
from django.utils import timezone

import retrieval.tasks  # noqa: F401  (registers the handlers, as a worker does)
from core import outbox
from core.models import EndpointModel, Work
from retrieval import services
from retrieval.models import (
    Chunk,
    ChunkEmbedding,
    Document,
    Revision,
    TermFrequency,
)
from tests import factories
from tests.ingesting import assert_whole, let_time_pass, put_file, work
from tests.responses_server import ResponsesServer

pytestmark = pytest.mark.django_db(transaction=True)

# An answer that asks for more patience than one attempt has.
AWAY = {"status": 503, "headers": {"retry-after": "60"}, "endpoint": "embeddings"}


class TestEmbeddingServer:
    """With embeddings from a server that fails as told."""

    @pytest.fixture
    def model(self, upstream: ResponsesServer) -> EndpointModel:
        return factories.embedding_model(endpoint=factories.responses_endpoint(upstream.base_url), name="embedder")

    def test_the_length_of_vectors_is_learnt(self, model: EndpointModel) -> None:
        document = put_file(factories.store(owner=factories.user(), model=model), "tides.md")
        work()
        assert EndpointModel.objects.get(pk=model.pk).dimensions == 256
        assert_whole(document)

    def test_another_length_is_an_error(self, model: EndpointModel) -> None:
        document = put_file(factories.store(owner=factories.user(), model=model), "tides.md")
        EndpointModel.objects.filter(pk=model.pk).update(dimensions=77)
        work()
        document.refresh_from_db()
        assert (document.state, document.error_code) == ("failed", "embedding_dimension")
        assert not ChunkEmbedding.objects.exists()

    def test_a_refused_key_fails_and_can_be_tried_again_when_it_is_mended(
        self, model: EndpointModel, upstream: ResponsesServer
    ) -> None:
        store = factories.store(owner=factories.user(), model=model)
        document = put_file(store, "tides.md")
        refused = {"status": 401, "endpoint": "embeddings", "body": {"error": {"message": "Incorrect API key"}}}
        upstream.script(refused)
        work()
        document.refresh_from_db()
        assert (document.state, document.error_code, document.error_retryable) == ("failed", "embedding_key", True)
        assert store.owner
        services.retry_document(user=store.owner, document_id=document.pk)
        work()
        assert_whole(document)

    def test_a_server_that_is_away_is_waited_for(self, model: EndpointModel, upstream: ResponsesServer) -> None:
        document = put_file(factories.store(owner=factories.user(), model=model), "tides.md")
        upstream.script(AWAY)
        work()
        document.refresh_from_db()
        assert (document.state, document.error_code) == ("queued", "")
        assert "503" in document.error_message
        (revision,) = Revision.objects.all()
        waiting = Work.objects.get()
        assert waiting.run_after > timezone.now()
        assert waiting.arguments["retries"] == 1
        let_time_pass()
        work()
        assert_whole(document)
        assert document.revision == revision

    def test_a_server_that_stays_away_is_given_up(self, model: EndpointModel, upstream: ResponsesServer) -> None:
        document = put_file(factories.store(owner=factories.user(), model=model), "tides.md")
        for _ in range(6):
            upstream.script(AWAY)
            work()
            let_time_pass()
            document.refresh_from_db()
            assert document.state == "queued"
        upstream.script(AWAY)
        work()
        document.refresh_from_db()
        expected = ("failed", "embedding_unavailable", True)
        assert (document.state, document.error_code, document.error_retryable) == expected
        assert not Work.objects.exists()

    def test_deleted_while_it_is_embedded(self, model: EndpointModel, upstream: ResponsesServer) -> None:
        store = factories.store(owner=factories.user(), model=model)
        document = put_file(store, "tides.md")
        assert store.owner
        with embedding_elsewhere(upstream):
            services.delete_document(user=store.owner, document_id=document.pk)
            assert Work.objects.filter(state="running").exists()
        work()
        assert not Document.objects.exists()
        assert not Chunk.objects.exists()
        assert not TermFrequency.objects.exists()
        assert not Work.objects.exists()

    def test_taken_over_while_it_is_embedded(self, model: EndpointModel, upstream: ResponsesServer) -> None:
        """The first worker was thought dead and comes back: what it has is thrown away, what the second made stays."""
        document = put_file(factories.store(owner=factories.user(), model=model), "tides.md")
        with embedding_elsewhere(upstream):
            Work.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
            outbox.relay()
            work()
            assert_whole(document)
            chunks = set(Chunk.objects.values_list("id", flat=True))
        assert_whole(document)
        assert set(Chunk.objects.values_list("id", flat=True)) == chunks
        assert not Work.objects.exists()


@contextmanager
def embedding_elsewhere(upstream: ResponsesServer) -> Iterator[None]:
    """In this block a worker in another thread waits for the server's answer; after it, it has come to its end."""
    upstream.script({"hold": "embedding", "endpoint": "embeddings"})
    with ThreadPoolExecutor(1) as worker:
        running = worker.submit(work_elsewhere)
        try:
            wait_for_a_request(upstream, running)
            yield
            assert not running.done(), "it did not wait"
        finally:
            upstream.let_go("embedding")
        running.result(timeout=60)


def work_elsewhere() -> None:
    """One piece of work in another thread, with a connection of its own."""
    try:
        outbox.run_one()
    finally:
        connections.close_all()


def wait_for_a_request(upstream: ResponsesServer, running: "Future[None]") -> None:
    """Wait until the worker has asked the server, which now takes its time; the worker's own failure is ours."""
    deadline = time.monotonic() + 60
    while not upstream.entries:
        assert time.monotonic() < deadline, "it never asked"
        if running.done():
            running.result()
            raise AssertionError("it ended without asking")
        time.sleep(0.02)
