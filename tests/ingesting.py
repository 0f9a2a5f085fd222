"""What tests of ingestion share: putting files in, doing a worker's work, and looking whether everything fits."""

import io
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from django.utils import timezone

import retrieval.tasks  # noqa: F401  (registers the handlers, as a worker does)
from core import outbox
from core.models import EndpointModel, Work
from retrieval import services
from retrieval.models import ChunkEmbedding, ChunkWeights, Document, StoreLanguage, TermFrequency, VectorStore

FILES = Path(__file__).parent / "files"


def put(store: VectorStore, content: bytes, name: str) -> Document:
    assert store.owner
    return services.upload(user=store.owner, store=store, name=name, content=io.BytesIO(content)).document


def put_file(store: VectorStore, name: str) -> Document:
    return put(store, (FILES / name).read_bytes(), name)


def work() -> None:
    """Do everything that is due."""
    while outbox.run_one():
        pass


def let_time_pass() -> None:
    """Make due what waits for a later try."""
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
    assert document.state == "ready", (document.state, document.error_code, document.error_message)
    assert (document.error_code, document.error_message) == ("", "")
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
