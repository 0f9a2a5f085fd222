"""From upload to ready: every stage on real files, in a real database, with failures that end in a sentence."""

import io
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from django.core.files.storage import default_storage
from django.db import connection, connections
from django.db.models import F
from django.utils import timezone

import retrieval.tasks  # noqa: F401  (registers the handlers, as a worker does)
from core import outbox
from core.models import EndpointModel, Work
from core.outbox import LostClaimError
from retrieval import ingestion, services
from retrieval.embeddings import embedder_for
from retrieval.models import (
    Chunk,
    ChunkEmbedding,
    ChunkWeights,
    Document,
    File,
    Revision,
    StoreLanguage,
    TermFrequency,
    VectorStore,
)
from retrieval.selectors import embedding_target
from tests import factories
from tests.responses_server import ResponsesServer

pytestmark = pytest.mark.django_db(transaction=True)

# An answer that asks for more patience than one attempt has.
AWAY = {"status": 503, "headers": {"retry-after": "60"}, "endpoint": "embeddings"}
FILES = Path(__file__).parents[1] / "files"


def put(store: VectorStore, content: bytes, name: str) -> Document:
    assert store.owner
    return services.upload(user=store.owner, store=store, name=name, content=io.BytesIO(content)).document


def put_file(store: VectorStore, name: str) -> Document:
    return put(store, (FILES / name).read_bytes(), name)


def work() -> None:
    """Do what is due, and what waits for a later try as if that had come."""
    while outbox.run_one():
        pass


def let_time_pass() -> None:
    Work.objects.filter(state="waiting").update(run_after=timezone.now())


def counted(store: VectorStore) -> dict[int, int]:
    """How many chunks have each term, counted afresh from the stored weights."""
    weights = ChunkWeights.objects.filter(store=store).values_list("weights", flat=True)
    return dict(Counter(term for vector in weights for term in vector.indices()))


def frequencies(store: VectorStore) -> dict[int, int]:
    return dict(TermFrequency.objects.filter(store=store).values_list("term", "chunks"))


def assert_whole(document: Document) -> None:
    """Everything about a ready document fits together."""
    document.refresh_from_db()
    assert (document.state, document.error_code, document.error_message) == ("ready", "", "")
    assert document.revision
    chunks = list(document.chunks.order_by("position"))
    text = document.revision.text
    assert [chunk.position for chunk in chunks] == list(range(len(chunks)))
    assert all(text[chunk.start : chunk.end] == chunk.text for chunk in chunks)
    assert all(chunk.revision_id == document.revision.pk and chunk.store_id == document.store_id for chunk in chunks)
    uncovered = set(range(len(text))) - {at for chunk in chunks for at in range(chunk.start, chunk.end)}
    assert all(text[at].isspace() for at in uncovered)
    assert document.chunk_count == len(chunks) == document.progress_done
    assert document.token_count == sum(chunk.tokens for chunk in chunks)
    model = document.store.embedding_model
    vectors = np.array([row.embedding for row in ChunkEmbedding.objects.filter(chunk__in=chunks, model=model)])
    assert vectors.shape == (len(chunks), EndpointModel.objects.get(pk=model.pk).dimensions)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-3)
    assert ChunkWeights.objects.filter(chunk__in=chunks).count() == len(chunks)
    assert frequencies(document.store) == counted(document.store)
    assert languages(document.store) == dict(Counter(language for language, _ in indexed(document.store)))


def indexed(store: VectorStore) -> list[tuple[str, int]]:
    return list(ChunkWeights.objects.filter(store=store).values_list("language", "pk"))


def languages(store: VectorStore) -> dict[str, int]:
    return dict(StoreLanguage.objects.filter(store=store).values_list("language", "chunks"))


@pytest.mark.parametrize(
    ("name", "pages", "phrase"),
    [
        ("lighthouse.pdf", True, "lighthouse"),
        ("harbour.docx", False, "harbour"),
        ("pilots.html", False, "pilot"),
        ("tides.md", False, "Spring tides"),
        ("buoys-cp1252.txt", False, "buoy"),
    ],
)
def test_each_kind_of_file_gets_ready(name: str, pages: bool, phrase: str) -> None:
    document = put_file(factories.store(owner=factories.user()), name)
    work()
    assert_whole(document)
    assert document.revision
    assert phrase.casefold() in document.revision.text.casefold()
    assert bool(document.page_count) == pages == bool(document.revision.pages)
    for chunk in document.chunks.all():
        assert (chunk.page_start is not None) == pages
        assert chunk.header.startswith(document.revision.title or name)
    assert not Work.objects.exists()


def test_what_is_stored_is_what_the_embedder_gave() -> None:
    store = factories.store(owner=factories.user(), chunk_tokens=32, chunk_overlap=4)
    document = put(store, b"\n\n".join(b"Paragraph %d tells of tide %d." % (n, n * n) for n in range(60)), "tides.txt")
    work()
    assert_whole(document)
    chunks = list(document.chunks.order_by("position"))
    assert len(chunks) > 5
    texts = [f"{chunk.header}\n{chunk.text}" for chunk in chunks]
    expected = embedder_for(embedding_target(store.embedding_model)).embed(texts, kind="document")
    stored = [ChunkEmbedding.objects.get(chunk=chunk).embedding for chunk in chunks]
    assert np.array(stored) == pytest.approx(expected, abs=1e-3)


def test_long_documents_are_split_by_the_stores_setting() -> None:
    store = factories.store(owner=factories.user(), chunk_tokens=64, chunk_overlap=8)
    document = put(store, b"A sentence about the tides of Korsund. " * 500, "long.txt")
    work()
    assert_whole(document)
    assert max(document.chunks.values_list("tokens", flat=True)) <= 64


def test_every_state_is_committed_and_seen() -> None:
    store = factories.store(owner=factories.user())
    document = put_file(store, "lighthouse.pdf")
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE seen (id serial, state text)")
        cursor.execute(
            "CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN INSERT INTO seen (state) VALUES (NEW.state); RETURN NEW; END $$"
        )
        cursor.execute("CREATE TRIGGER note AFTER UPDATE ON retrieval_document FOR EACH ROW EXECUTE FUNCTION note()")
        try:
            work()
            cursor.execute("SELECT state FROM seen ORDER BY id")
            states = [state for (state,) in cursor.fetchall()]
        finally:
            cursor.execute("DROP TRIGGER note ON retrieval_document")
            cursor.execute("DROP FUNCTION note()")
            cursor.execute("DROP TABLE seen")
    assert list(dict.fromkeys(states)) == ["extracting", "chunking", "embedding", "ready"]
    assert_whole(document)


@pytest.mark.parametrize(
    ("content", "name", "code"),
    [
        (b"%PDF-1.7\nthis is no PDF at all", "broken.pdf", "corrupt_file"),
        ((FILES / "scanned.pdf").read_bytes(), "scanned.pdf", "no_text_found"),
    ],
)
def test_a_file_that_cannot_be_read_fails_alone(content: bytes, name: str, code: str) -> None:
    store = factories.store(owner=factories.user())
    bad, good = put(store, content, name), put_file(store, "tides.md")
    work()
    assert_whole(good)
    bad.refresh_from_db()
    assert (bad.state, bad.error_code, bad.error_retryable) == ("failed", code, False)
    assert bad.error_message.endswith(".")
    assert not bad.chunks.exists()
    assert not Work.objects.exists()


def test_done_again_it_changes_nothing() -> None:
    document = put_file(factories.store(owner=factories.user()), "tides.md")
    work()
    before = list(Chunk.objects.order_by("id").values_list("id", flat=True))
    ingestion.ingest(factories.claim(ingestion.INGEST, document.pk))
    assert list(Chunk.objects.order_by("id").values_list("id", flat=True)) == before
    assert_whole(document)


def test_made_again_the_new_chunks_replace_the_former() -> None:
    store = factories.store(owner=factories.user())
    document = put_file(store, "tides.md")
    other = put_file(store, "pilots.html")
    work()
    document.refresh_from_db()
    former = set(document.chunks.values_list("id", flat=True))
    VectorStore.objects.update(chunk_tokens=32, chunk_overlap=4)
    Document.objects.filter(pk=document.pk).update(state="queued")
    outbox.enqueue(kind=ingestion.INGEST, subject=document.pk)
    work()
    assert_whole(document)
    assert_whole(other)
    present = set(document.chunks.values_list("id", flat=True))
    assert len(present) > len(former)
    assert not present & former
    assert Revision.objects.filter(document=document).count() == 1


def test_a_claim_that_was_taken_over_writes_nothing() -> None:
    document = put_file(factories.store(owner=factories.user()), "tides.md")
    claim = outbox.claim_next()
    assert claim
    Work.objects.update(fence=F("fence") + 1)
    with pytest.raises(LostClaimError):
        ingestion.ingest(claim)
    document.refresh_from_db()
    assert document.state == "queued"
    assert not Revision.objects.exists()
    assert not Chunk.objects.exists()


def test_workers_that_die_three_times_give_the_file_up() -> None:
    store = factories.store(owner=factories.user())
    poison = put_file(store, "tides.md")
    for _ in range(3):
        assert outbox.claim_next()
        Work.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
        outbox.relay()
    poison.refresh_from_db()
    assert (poison.state, poison.error_code, poison.error_retryable) == ("failed", "worker_lost", True)
    assert "three times" in poison.error_message
    assert not Work.objects.exists()
    assert store.owner
    services.retry_document(user=store.owner, document_id=poison.pk)
    work()
    assert_whole(poison)


def test_a_missing_file_fails_with_what_to_do() -> None:
    document = put_file(factories.store(owner=factories.user()), "tides.md")
    default_storage.delete(document.file.storage_name)
    work()
    document.refresh_from_db()
    assert (document.state, document.error_code) == ("failed", "not_found")
    assert "Upload it again" in document.error_message


def test_what_nobody_foresaw_ends_in_the_state_line() -> None:
    store = factories.store(owner=factories.user())
    document = put_file(store, "tides.md")
    VectorStore.objects.filter(pk=store.pk).update(chunk_tokens=33, chunk_overlap=0)
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE retrieval_chunk ADD CONSTRAINT bad_luck CHECK (tokens < 0) NOT VALID")
    try:
        work()
    finally:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE retrieval_chunk DROP CONSTRAINT bad_luck")
    document.refresh_from_db()
    assert (document.state, document.error_code, document.error_retryable) == ("failed", "internal", True)
    assert "bad_luck" not in document.error_message
    assert not Chunk.objects.exists()
    assert not TermFrequency.objects.exists()


class TestDeletion:
    def test_nothing_is_left(self) -> None:
        store = factories.store(owner=factories.user())
        kept, gone = put_file(store, "tides.md"), put_file(store, "lighthouse.pdf")
        work()
        before = frequencies(store)
        assert store.owner
        services.delete_document(user=store.owner, document_id=gone.pk)
        assert Document.objects.get(pk=gone.pk).life == "deleting"
        work()
        assert_whole(kept)
        assert frequencies(store) != before
        assert not Document.objects.filter(pk=gone.pk).exists()
        assert not Revision.objects.filter(document_id=gone.pk).exists()
        assert not File.objects.filter(pk=gone.file_id).exists()
        assert not default_storage.exists(gone.file.storage_name)
        assert default_storage.exists(kept.file.storage_name)
        assert ChunkEmbedding.objects.count() == ChunkWeights.objects.count() == Chunk.objects.count()
        assert not Work.objects.exists()

    def test_the_last_document_takes_all_terms_with_it(self) -> None:
        store = factories.store(owner=factories.user())
        document = put_file(store, "tides.md")
        work()
        assert store.owner
        services.delete_document(user=store.owner, document_id=document.pk)
        work()
        assert not TermFrequency.objects.exists()
        assert not StoreLanguage.objects.exists()

    def test_a_file_that_another_document_has_stays(self) -> None:
        owner = factories.user()
        one, two = factories.store(owner=owner), factories.store(owner=owner)
        gone, kept = put_file(one, "tides.md"), put_file(two, "tides.md")
        work()
        services.delete_document(user=owner, document_id=gone.pk)
        work()
        assert_whole(kept)
        assert default_storage.exists(kept.file.storage_name)

    def test_it_can_be_uploaded_again_at_once(self) -> None:
        store = factories.store(owner=factories.user())
        gone = put_file(store, "tides.md")
        work()
        assert store.owner
        services.delete_document(user=store.owner, document_id=gone.pk)
        again = put_file(store, "tides.md")
        assert again.pk != gone.pk
        work()
        assert_whole(again)
        assert default_storage.exists(again.file.storage_name)
        assert not Document.objects.filter(pk=gone.pk).exists()

    def test_deleted_before_it_was_ready(self) -> None:
        store = factories.store(owner=factories.user())
        document = put_file(store, "tides.md")
        claim = outbox.claim_next()
        assert claim
        assert store.owner
        services.delete_document(user=store.owner, document_id=document.pk)
        ingestion.ingest(claim)
        work()
        assert not Document.objects.exists()
        assert not Chunk.objects.exists()


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
        upstream.script({"first_delay": 1.0, "endpoint": "embeddings"})
        with ThreadPoolExecutor(1) as worker:
            running = worker.submit(work_elsewhere)
            wait_for(document, "embedding")
            assert store.owner
            services.delete_document(user=store.owner, document_id=document.pk)
            running.result(timeout=20)
        work()
        assert not Document.objects.exists()
        assert not Chunk.objects.exists()
        assert not TermFrequency.objects.exists()
        assert not Work.objects.exists()

    def test_taken_over_while_it_is_embedded(self, model: EndpointModel, upstream: ResponsesServer) -> None:
        """The first worker was thought dead and comes back: what it has is thrown away, what the second made stays."""
        document = put_file(factories.store(owner=factories.user(), model=model), "tides.md")
        upstream.script({"first_delay": 1.5, "endpoint": "embeddings"})
        with ThreadPoolExecutor(1) as worker:
            running = worker.submit(work_elsewhere)
            wait_for(document, "embedding")
            Work.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
            outbox.relay()
            work()
            assert_whole(document)
            chunks = set(Chunk.objects.values_list("id", flat=True))
            running.result(timeout=20)
        assert_whole(document)
        assert set(Chunk.objects.values_list("id", flat=True)) == chunks
        assert not Work.objects.exists()


def work_elsewhere() -> None:
    try:
        work()
    finally:
        connections.close_all()


def wait_for(document: Document, state: str) -> None:
    deadline = time.monotonic() + 15
    while Document.objects.get(pk=document.pk).state != state:
        assert time.monotonic() < deadline, "it never got there"
        time.sleep(0.02)
