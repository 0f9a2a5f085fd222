"""Long documents: what was paid for is kept, and they do not stand in anybody's way."""

from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

import retrieval.tasks  # noqa: F401  (registers the handlers, as a worker does)
from core import outbox
from core.models import EndpointModel, Work
from retrieval import services
from retrieval.embeddings.batches import MAX_TEXTS
from retrieval.ingestion import GROUP
from retrieval.ingestion.staging import LONG
from retrieval.models import ChunkEmbedding, Document, StagedVector, VectorStore
from tests import factories
from tests.ingesting import assert_whole, let_time_pass, put
from tests.responses_server import ResponsesServer

pytestmark = pytest.mark.django_db(transaction=True)

CHUNKS = 1500
AWAY = {"status": 503, "headers": {"retry-after": "60"}, "endpoint": "embeddings"}


@pytest.fixture
def model(upstream: ResponsesServer) -> EndpointModel:
    return factories.embedding_model(endpoint=factories.responses_endpoint(upstream.base_url), name="embedder")


@pytest.fixture
def store(model: EndpointModel) -> VectorStore:
    return factories.store(owner=factories.user(), model=model, chunk_tokens=32, chunk_overlap=0)


def book(store: VectorStore, name: str = "book.txt") -> Document:
    """Some more chunks than CHUNKS; the file is one that goes alone."""
    text = "".join(
        f"Of buoy {number} in the bay of Korsund nothing more is known to anybody.\n\n"
        for number in range(CHUNKS + CHUNKS // 10)
    )
    document = put(store, text.encode(), name)
    Work.objects.filter(subject=document.pk).update(weight=2 * GROUP.weight)
    return document


def asked(upstream: ResponsesServer) -> list[str]:
    """All texts that the server was asked for and gave."""
    given = [entry for entry in upstream.entries if entry.status == 200]
    return [text for entry in given for text in entry.body["input"]]


def test_vectors_are_kept_as_they_come_and_gone_in_the_end(store: VectorStore, upstream: ResponsesServer) -> None:
    document = book(store)
    assert outbox.run_one() is True
    assert_whole(document)
    assert document.chunk_count > CHUNKS > LONG
    assert not StagedVector.objects.exists()
    assert len(asked(upstream)) == document.chunk_count
    assert max(len(entry.body["input"]) for entry in upstream.entries) == MAX_TEXTS


def test_what_was_given_before_a_failure_is_not_asked_for_again(store: VectorStore, upstream: ResponsesServer) -> None:
    document = book(store)
    # of the requests under way at once the third fails, and none is sent after it is known
    upstream.script({"endpoint": "embeddings"}, {"endpoint": "embeddings"}, AWAY)
    assert outbox.run_one() is True
    document.refresh_from_db()
    assert document.state == "queued"
    kept = StagedVector.objects.count()
    assert kept >= 2 * MAX_TEXTS
    assert not ChunkEmbedding.objects.exists()
    let_time_pass()
    assert outbox.run_one() is True
    assert_whole(document)
    texts = asked(upstream)
    assert len(texts) == len(set(texts)) == document.chunk_count
    assert not StagedVector.objects.exists()


def test_with_all_vectors_there_nothing_is_asked_for(store: VectorStore, upstream: ResponsesServer) -> None:
    document = book(store)
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE retrieval_chunk ADD CONSTRAINT bad_luck CHECK (tokens < 0) NOT VALID")
    try:
        assert outbox.run_one() is True
    finally:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE retrieval_chunk DROP CONSTRAINT bad_luck")
    document.refresh_from_db()
    assert (document.state, document.error_code) == ("failed", "internal")
    before = len(upstream.entries)
    assert store.owner
    services.retry_document(user=store.owner, document_id=document.pk)
    assert outbox.run_one() is True
    assert_whole(document)
    assert len(upstream.entries) == before


def test_chunked_in_another_way_only_the_same_texts_count(store: VectorStore, upstream: ResponsesServer) -> None:
    document = book(store)
    upstream.script(*[{"endpoint": "embeddings"}] * 2, AWAY)
    assert outbox.run_one() is True
    assert StagedVector.objects.exists()
    VectorStore.objects.update(chunk_tokens=64)
    let_time_pass()
    assert outbox.run_one() is True
    assert_whole(document)
    assert document.chunk_count > LONG
    assert not StagedVector.objects.exists()


def test_a_long_document_lets_waiting_small_work_go_first(store: VectorStore, upstream: ResponsesServer) -> None:
    """With one worker only: the small file of somebody else is ready before the long one, which loses nothing."""
    long = book(store)
    (claim,) = outbox.claim_group()
    assert claim.subject == long.pk
    outbox.give_way(claim, {})
    small = put(factories.store(owner=factories.user(), model=store.embedding_model), b"Tide tables of 1904.", "t.txt")
    Work.objects.filter(subject=small.pk).update(run_after=timezone.now() - timedelta(seconds=30))
    Work.objects.filter(subject=long.pk).update(run_after=timezone.now() - timedelta(minutes=1))
    assert outbox.run_one() is True
    long.refresh_from_db()
    assert (long.state, long.progress_done) == ("queued", StagedVector.objects.count())
    assert 0 < long.progress_done < long.progress_total
    order = [{document.name: document.state for document in Document.objects.all()}]
    while outbox.run_one():
        order.append({document.name: document.state for document in Document.objects.all()})
    assert order[0] == {"book.txt": "queued", "t.txt": "queued"}
    assert order[1] == {"book.txt": "queued", "t.txt": "ready"}
    assert order[-1] == {"book.txt": "ready", "t.txt": "ready"}
    assert_whole(small)
    assert_whole(long)
    texts = [text for text in asked(upstream) if "buoy" in text]
    assert len(texts) == len(set(texts)) == long.chunk_count


def test_it_gives_way_so_often_and_no_more(store: VectorStore) -> None:
    long = book(store)
    times = 0
    while not Document.objects.filter(pk=long.pk, state="ready").exists():
        small = put(store, f"Tide table {times}.".encode(), f"{times}.txt")
        # the long one is next all the same, as where other workers are busy
        Work.objects.filter(subject=small.pk).update(run_after=timezone.now() - timedelta(seconds=30))
        Work.objects.filter(subject=long.pk).update(run_after=timezone.now() - timedelta(minutes=1))
        assert outbox.run_one() is True
        times += 1
    assert times > 1
    assert Work.objects.filter(state="waiting").count() == times
    assert_whole(long)
