"""One transaction makes the new chunks what search finds, and the former ones gone."""

from collections.abc import Sequence
from dataclasses import dataclass

from django.db import transaction
from django.utils import timezone

from core.errors import ConflictError
from retrieval.chunking import Piece
from retrieval.ingestion import staging, succession
from retrieval.ingestion.embedding import VectorsByModel
from retrieval.ingestion.job import Job, NoLongerWantedError, State
from retrieval.ingestion.rows import Weights, add_chunks, add_vectors, add_weights, lock_store, remove_chunks
from retrieval.ingestion.targets import kept_models
from retrieval.models import Document, Revision, VectorStore
from retrieval.search.lexical import chunk_weights
from retrieval.search.terms import terms


@dataclass(frozen=True, slots=True)
class Content:
    """What search is to find of a document: its chunks with their vectors (None: staged) and weights.

    `language` (ISO 639-1 or "") chooses the stemmer.
    """

    revision: Revision
    pieces: Sequence[Piece]
    vectors: VectorsByModel
    weights: Sequence[Weights]
    language: str

    @classmethod
    def of(cls, revision: Revision, pieces: Sequence[Piece], vectors: VectorsByModel, language: str) -> "Content":
        weights = [chunk_weights(terms(piece.embedding_text, language)) for piece in pieces]
        return cls(revision, pieces, vectors, weights, language)

    @property
    def counts(self) -> dict[str, int]:
        """The document's columns that follow from it."""
        chunks = len(self.pieces)
        progress = {"progress_done": chunks, "progress_total": chunks}
        return {"chunk_count": chunks, "token_count": sum(piece.tokens for piece in self.pieces), **progress}


def swap_in(job: Job, content: Content) -> None:
    """Write chunks, vectors, weights and frequencies, make the revision the document's, and set it ready.

    What was read as a pending document goes to the one that it replaces. Raises LostClaimError, NoLongerWantedError,
    and ConflictError where the document or its store is not what it was when the work began.
    """
    document = job.document
    with transaction.atomic():
        job.claim.guard()
        place = succession.place_for(document)
        if place is None:
            raise NoLongerWantedError
        replace_chunks(place, lock_store(document.store_id), content)
        _ready(job, place, content)
        Revision.objects.filter(document=place).exclude(pk=content.revision.pk).delete()


def replace_chunks(document: Document, store: VectorStore, content: Content) -> None:
    """Write the rows of a document in `store` in place of those it has, in a transaction that has locked its store.

    Of the vectors those are written whose model the store has or is on its way to. Raises ConflictError (retryable)
    where those of its own are missing: it has switched meanwhile.
    """
    if not content.pieces:  # a picture without words
        remove_chunks(document)
        return
    if store.embedding_model_id not in content.vectors:
        raise ConflictError("The store's embedding model was changed meanwhile.", retryable=True)
    remove_chunks(document)
    chunks = add_chunks(document.pk, content.revision, content.pieces, store=store.pk)
    for model in kept_models(store) & content.vectors.keys():
        vectors = content.vectors[model]
        if vectors is None:
            staging.make_own(content.revision, model, len(chunks))
        else:
            add_vectors(chunks, store.pk, model, vectors)
    staging.forget(content.revision)
    add_weights(chunks, store.pk, content.weights, content.language)


def _ready(job: Job, place: Document, content: Content) -> None:
    made_for = job.document.store
    columns = {
        "state": State.READY,
        "revision": content.revision,
        "chunk_tokens": made_for.chunk_tokens,
        "chunk_overlap": made_for.chunk_overlap,
        "error_message": "",
        "ready_at": timezone.now(),
        **content.counts,
    }
    if place.pk == job.document.pk:
        job.write(**columns)
    else:
        succession.take_place(job.document, place, columns)
