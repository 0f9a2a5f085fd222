"""A store's documents in chunks of another size: one after the other, each swapped in one transaction.

A document stays ready all the time and answers from its former chunks. Which documents are still to be done is known by
what their chunks were made with, so nothing is done twice after a worker died.
"""

from collections.abc import Sequence

import numpy as np
from django.db.models import Q, QuerySet
from django.utils import timezone

from core.errors import ConflictError
from retrieval import realtime
from retrieval.chunking import Piece, chunk
from retrieval.chunking.piece import header_tokens
from retrieval.embeddings import Vectors
from retrieval.ingestion.embedding import embed_texts
from retrieval.ingestion.reindexing.stride import WELL, Stride
from retrieval.ingestion.swap import Content, replace_chunks
from retrieval.ingestion.text import restored
from retrieval.models import Document, Reindexing

State = Reindexing.State

# Chunks between two looks at the claim.
BATCH = 1024


def outdated(row: Reindexing) -> QuerySet[Document]:
    """The documents in use whose chunks were made with other settings. Those on their way to ready get the new ones."""
    settings = Q(chunk_tokens=row.chunk_tokens, chunk_overlap=row.chunk_overlap)
    return Document.objects.live().filter(~settings, store=row.store_id, state=Document.State.READY)


def make(stride: Stride) -> None:
    """Index one document after the other anew until the stride is over or none is left.

    Raises EmbeddingError, LostClaimError and NoLongerWantedError.
    """
    while not stride.is_over:
        document = outdated(stride.row).select_related("file", "revision").order_by("pk").first()
        if document is not None:
            _make_anew(stride, document)
        elif _finish(stride):
            return
    stride.end()


def _make_anew(stride: Stride, document: Document) -> None:
    row, revision = stride.row, document.revision
    if revision is None or row.chunk_tokens is None or row.chunk_overlap is None:
        raise ConflictError("A document that is ready has no text.")  # two constraints say that it has
    extraction = restored(document, revision)
    title = extraction.title or document.name
    pieces = chunk(extraction, title=title, max_tokens=row.chunk_tokens, overlap=row.chunk_overlap)
    vectors = _embedded(stride, pieces)
    content = Content.of(revision, pieces, {row.to_model_id: vectors}, extraction.language)
    tokens = sum(header_tokens(piece.header) + piece.tokens for piece in pieces)
    with stride.writing() as store:
        # another text may have come in meanwhile, which is cut by the new settings already
        present = outdated(stride.row).select_for_update().filter(pk=document.pk, revision=revision)
        if present.exists():
            replace_chunks(document, store, content)
            made_with = {"chunk_tokens": row.chunk_tokens, "chunk_overlap": row.chunk_overlap}
            present.update(updated_at=timezone.now(), **made_with, **content.counts)
            realtime.document_changed(document.pk, store.pk)
        _show(stride, tokens)


def _embedded(stride: Stride, pieces: Sequence[Piece]) -> Vectors:
    """One vector per piece. Between two requests it looks whether they are still wanted."""
    done: list[Vectors] = []
    for first in range(0, len(pieces), BATCH):
        with stride.writing():
            pass
        texts = [piece.embedding_text for piece in pieces[first : first + BATCH]]
        done.append(embed_texts(stride.row.to_model, texts))
    # a picture without words has no pieces
    return np.concatenate(done) if done else np.zeros((0, 0), dtype=np.float32)


def _show(stride: Stride, tokens: int) -> None:
    ready = Document.objects.live().filter(store=stride.row.store_id, state=Document.State.READY).count()
    done = ready - outdated(stride.row).count()
    stride.save(done=done, total=ready, tokens=stride.row.tokens + tokens, **WELL)


def _finish(stride: Stride) -> bool:
    """End it; false where a document that was on its way got ready by the former settings."""
    with stride.writing():
        if outdated(stride.row).exists():
            return False
        _show(stride, 0)
        seconds = stride.row.seconds + stride.seconds
        stride.save(state=State.DONE, strides=0, seconds=seconds, finished_at=timezone.now())
        return True
