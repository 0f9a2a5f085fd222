"""Chunks to vectors, some at a time, so that the page sees it go on and a lost claim is noticed."""

from collections.abc import Sequence

import numpy as np

from core.models import EndpointModel
from retrieval.chunking import Piece
from retrieval.embeddings import Vectors, embedder_for
from retrieval.errors import EmbeddingDimensionError
from retrieval.ingestion.job import Job, State
from retrieval.selectors import embedding_target

# Chunks between two looks at the claim: enough for an embedder to have some requests under way.
STRIDE = 1024
# What halfvec can hold where an index reaches it (see EndpointModel.dimensions).
MAX_DIMENSIONS = 4000


def embed(job: Job, pieces: Sequence[Piece]) -> Vectors:
    """Return one vector per piece under the store's model. Raises EmbeddingError."""
    model = job.document.store.embedding_model
    done: list[Vectors] = []
    for first in range(0, len(pieces), STRIDE):
        job.move(State.EMBEDDING, done=first, total=len(pieces))
        texts = [piece.embedding_text for piece in pieces[first : first + STRIDE]]
        done.append(embed_texts(model, texts))
    return np.concatenate(done)


def embed_texts(model: EndpointModel, texts: Sequence[str]) -> Vectors:
    """Return one vector per text, which is kept under `model`, whose endpoint should be loaded. Raises EmbeddingError.

    Patient, and blocks: for workers.
    """
    vectors = embedder_for(embedding_target(model)).embed(texts, kind="document")
    _learn_dimensions(model, vectors.shape[1])
    return vectors


def _learn_dimensions(model: EndpointModel, length: int) -> None:
    """Keep the length of the first answer; all vectors of a model have one length. Raises EmbeddingDimensionError."""
    if model.dimensions is None:
        if length > MAX_DIMENSIONS:
            raise EmbeddingDimensionError(
                f"The embeddings server answers with vectors of {length} numbers; at most {MAX_DIMENSIONS} can be kept."
            )
        EndpointModel.objects.filter(pk=model.pk, dimensions=None).update(dimensions=length)
        model.refresh_from_db(fields=["dimensions"])
    if model.dimensions != length:
        raise EmbeddingDimensionError(
            f"The embeddings server answers with vectors of {length} numbers; they had {model.dimensions} so far."
        )
