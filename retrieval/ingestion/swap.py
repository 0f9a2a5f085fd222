"""One transaction makes the new chunks what search finds, and the former ones gone."""

from collections.abc import Sequence

from django.db import transaction
from django.utils import timezone

from core.errors import ConflictError
from retrieval.chunking import Piece
from retrieval.embeddings import Vectors
from retrieval.ingestion.job import Job, NoLongerWantedError, State
from retrieval.ingestion.rows import add_chunks, add_vectors, add_weights, lock_store, remove_chunks
from retrieval.models import Document, Revision
from retrieval.search.lexical import chunk_weights
from retrieval.search.terms import terms


def swap_in(job: Job, revision: Revision, pieces: Sequence[Piece], vectors: Vectors, *, language: str) -> None:
    """Write chunks, vectors, weights and frequencies, make `revision` the document's, and set it ready.

    `language` (ISO 639-1 or "") chooses the stemmer. Raises LostClaimError, NoLongerWantedError, and ConflictError
    (retryable) where the store's embedding model is another one by now.
    """
    document, store = job.document, job.document.store
    weights = [chunk_weights(terms(piece.embedding_text, language)) for piece in pieces]
    with transaction.atomic():
        job.claim.guard()
        if not Document.objects.live().select_for_update().filter(pk=document.pk).exists():
            raise NoLongerWantedError
        if lock_store(store.pk).embedding_model_id != store.embedding_model_id:
            raise ConflictError("The store's embedding model was changed meanwhile.", retryable=True)
        remove_chunks(document)
        chunks = add_chunks(document, revision, pieces)
        add_vectors(chunks, store.pk, store.embedding_model_id, vectors)
        add_weights(chunks, store.pk, weights, language)
        job.write(
            state=State.READY,
            revision=revision,
            chunk_count=len(pieces),
            token_count=sum(piece.tokens for piece in pieces),
            progress_done=len(pieces),
            progress_total=len(pieces),
            error_message="",
            ready_at=timezone.now(),
        )
        Revision.objects.filter(document=document).exclude(pk=revision.pk).delete()
