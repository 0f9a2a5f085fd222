"""One transaction makes the new chunks what search finds, and the former ones gone."""

from collections.abc import Sequence

from django.db import transaction
from django.utils import timezone

from core.errors import ConflictError
from retrieval.chunking import Piece
from retrieval.embeddings import Vectors
from retrieval.ingestion import succession
from retrieval.ingestion.job import Job, NoLongerWantedError, State
from retrieval.ingestion.rows import add_chunks, add_vectors, add_weights, lock_store, remove_chunks
from retrieval.models import Document, Revision
from retrieval.search.lexical import chunk_weights
from retrieval.search.terms import terms


def swap_in(job: Job, revision: Revision, pieces: Sequence[Piece], vectors: Vectors, *, language: str) -> None:
    """Write chunks, vectors, weights and frequencies, make `revision` the document's, and set it ready.

    What was read as a pending document goes to the one that it replaces. `language` (ISO 639-1 or "") chooses the
    stemmer. Raises LostClaimError, NoLongerWantedError, and ConflictError where the document or its store is not what
    it was when the work began.
    """
    document, store = job.document, job.document.store
    weights = [chunk_weights(terms(piece.embedding_text, language)) for piece in pieces]
    with transaction.atomic():
        job.claim.guard()
        place = succession.place_for(document)
        if place is None:
            raise NoLongerWantedError
        if lock_store(store.pk).embedding_model_id != store.embedding_model_id:
            raise ConflictError("The store's embedding model was changed meanwhile.", retryable=True)
        remove_chunks(place)
        chunks = add_chunks(place.pk, revision, pieces, store=store.pk)
        add_vectors(chunks, store.pk, store.embedding_model_id, vectors)
        add_weights(chunks, store.pk, weights, language)
        _ready(job, place, revision, pieces)
        Revision.objects.filter(document=place).exclude(pk=revision.pk).delete()


def _ready(job: Job, place: Document, revision: Revision, pieces: Sequence[Piece]) -> None:
    columns = {
        "state": State.READY,
        "revision": revision,
        "chunk_count": len(pieces),
        "token_count": sum(piece.tokens for piece in pieces),
        "progress_done": len(pieces),
        "progress_total": len(pieces),
        "error_message": "",
        "ready_at": timezone.now(),
    }
    if place.pk == job.document.pk:
        job.write(**columns)
    else:
        succession.take_place(job.document, place, columns)
