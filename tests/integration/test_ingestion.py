"""From upload to ready: every stage on real files, in a real database, with failures that end in a sentence."""

from datetime import timedelta

import numpy as np
import pytest
from django.core.files.storage import default_storage
from django.db import connection
from django.db.models import F
from django.utils import timezone

import retrieval.tasks  # noqa: F401  (registers the handlers, as a worker does)
from core import outbox
from core.models import Work
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
from tests.ingesting import assert_whole, frequencies, put, put_file, work

pytestmark = pytest.mark.django_db(transaction=True)


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
        (b"<!doctype html><script>x()</script>", "empty.html", "no_text_found"),
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
    ingestion.ingest([factories.claim(ingestion.INGEST, document.pk)])
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
    ingestion.ingest([claim])
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
        ingestion.ingest([claim])
        work()
        assert not Document.objects.exists()
        assert not Chunk.objects.exists()
