"""Several documents on their way together: they share requests, and nothing that befalls one of them befalls others."""

from datetime import timedelta

import pytest
from django.utils import timezone

import retrieval.tasks  # noqa: F401  (registers the handlers, as a worker does)
from core import outbox
from core.models import EndpointModel, Work
from retrieval import ingestion, services
from retrieval.ingestion import GROUP
from retrieval.models import Chunk, Document, VectorStore
from tests import factories
from tests.ingesting import assert_whole, let_time_pass, put, work
from tests.responses_server import ResponsesServer

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def model(upstream: ResponsesServer) -> EndpointModel:
    return factories.embedding_model(endpoint=factories.responses_endpoint(upstream.base_url), name="embedder")


@pytest.fixture
def store(model: EndpointModel) -> VectorStore:
    return factories.store(owner=factories.user(), model=model)


def some(store: VectorStore, count: int, word: str = "tide") -> list[Document]:
    return [
        put(store, f"Of {word} number {number} we know little.".encode(), f"{number}.txt") for number in range(count)
    ]


def refused(word: str) -> dict[str, object]:
    """A server that does not take requests with this word in them."""
    body = {"error": {"message": "This model's maximum context length is 8 tokens."}}
    return {"status": 400, "endpoint": "embeddings", "body": body, "when_text": word, "always": True}


def test_small_documents_share_a_request(store: VectorStore, upstream: ResponsesServer) -> None:
    documents = some(store, 12)
    assert outbox.run_one() is True
    for document in documents:
        assert_whole(document)
    assert len(upstream.entries) == 1
    assert not Work.objects.exists()


def test_stores_and_people_with_one_model_share_a_request(model: EndpointModel, upstream: ResponsesServer) -> None:
    documents = [some(factories.store(owner=factories.user(), model=model), 1)[0] for _ in range(3)]
    assert outbox.run_one() is True
    for document in documents:
        assert_whole(document)
    assert len(upstream.entries) == 1


def test_each_embedding_model_has_requests_of_its_own(model: EndpointModel, upstream: ResponsesServer) -> None:
    other = factories.embedding_model(endpoint=model.endpoint, name="another")
    documents = [some(factories.store(owner=factories.user(), model=each), 1)[0] for each in (model, other)]
    assert outbox.run_one() is True
    for document in documents:
        assert_whole(document)
    assert sorted(entry.body["model"] for entry in upstream.entries) == ["another", "embedder"]


def test_a_file_that_cannot_be_read_leaves_the_others(store: VectorStore) -> None:
    good = some(store, 3)
    bad = [put(store, f"%PDF-1.7\nthis is no PDF at all: {number}".encode(), "broken.pdf") for number in range(2)]
    good += some(store, 3, "wave")
    assert outbox.run_one() is True
    for document in good:
        assert_whole(document)
    for document in bad:
        document.refresh_from_db()
    assert [document.error_code for document in bad] == ["corrupt_file"] * 2
    assert not Work.objects.exists()


def test_a_text_that_the_server_refuses_leaves_the_others(store: VectorStore, upstream: ResponsesServer) -> None:
    good = some(store, 3)
    (bad,) = some(store, 1, "monster")
    upstream.script(refused("monster"))
    assert outbox.run_one() is True
    for document in good:
        assert_whole(document)
    bad.refresh_from_db()
    assert (bad.state, bad.error_code) == ("failed", "embedding_input_too_long")
    assert not Chunk.objects.filter(document=bad).exists()


def test_deleted_before_the_others_are_ready(store: VectorStore) -> None:
    first, gone, last = some(store, 3)
    claims = outbox.claim_group()
    assert len(claims) == 3
    assert store.owner
    services.delete_document(user=store.owner, document_id=gone.pk)
    ingestion.ingest(claims)
    outbox.end(claims)
    work()
    assert_whole(first)
    assert_whole(last)
    assert not Document.objects.filter(pk=gone.pk).exists()
    assert not Work.objects.exists()


def test_one_that_was_taken_over_is_left_to_its_new_owner(store: VectorStore) -> None:
    first, lost, last = some(store, 3)
    claims = outbox.claim_group()
    Work.objects.filter(subject=lost.pk).update(fence=99)
    ingestion.ingest(claims)
    outbox.end(claims)
    assert_whole(first)
    assert_whole(last)
    lost.refresh_from_db()
    assert lost.state == "queued"
    assert not Chunk.objects.filter(document=lost).exists()
    assert Work.objects.get().fence == 99


def test_a_server_that_is_away_is_waited_for_by_all(store: VectorStore, upstream: ResponsesServer) -> None:
    documents = some(store, 4)
    upstream.script({"status": 503, "headers": {"retry-after": "60"}, "endpoint": "embeddings"})
    assert outbox.run_one() is True
    assert set(Document.objects.values_list("state", flat=True)) == {"queued"}
    waiting = Work.objects.filter(state="waiting", run_after__gt=timezone.now() + timedelta(seconds=1))
    assert [row.arguments["retries"] for row in waiting] == [1] * 4
    let_time_pass()
    assert outbox.run_one() is True
    for document in documents:
        assert_whole(document)
    assert len(upstream.entries) == 2


def test_a_group_that_died_with_its_worker_goes_on_one_by_one(store: VectorStore) -> None:
    documents = some(store, 3)
    assert len(outbox.claim_group()) == 3
    Work.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    outbox.relay()
    assert [outbox.run_one() for _ in range(4)] == [True, True, True, False]
    for document in documents:
        assert_whole(document)


def test_a_large_file_and_many_files_of_one_person_hold_up_nobody_elses(model: EndpointModel) -> None:
    """By order: whoever has one small file gets it among the first, whatever others have put in before."""
    busy = factories.store(owner=factories.user(), model=model)
    large = put(busy, b"A sentence about the tides of Korsund. " * (GROUP.weight // 30), "large.txt")
    piled = some(busy, 2 * GROUP.size)
    late = some(factories.store(owner=factories.user(), model=model), 1, "harbour")[0]
    taken = outbox.claim_group()
    assert [claim.subject for claim in taken] == [large.pk], "a worker has begun with the large one, alone"
    assert outbox.run_one() is True
    assert_whole(late)
    assert not Document.objects.filter(pk=large.pk, state="ready").exists()
    assert Document.objects.filter(pk__in=[document.pk for document in piled], state="ready").count() < GROUP.size


def test_a_server_that_asks_for_time_gets_it(store: VectorStore, upstream: ResponsesServer) -> None:
    some(store, 4)
    upstream.script({"status": 429, "headers": {"retry-after": "300"}, "endpoint": "embeddings"})
    assert outbox.run_one() is True
    assert Work.objects.filter(run_after__gt=timezone.now() + timedelta(seconds=200)).count() == 4
