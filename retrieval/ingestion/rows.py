"""The rows that search reads, written and removed in bulk, and the document frequencies kept right with them.

Whoever calls these holds the lock of `lock_store`: frequencies of one store change one transaction at a time.
"""

import struct
import uuid
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from django.db import connection
from django.db.models import Count, F
from pgvector import SparseVector

from retrieval.chunking import Piece
from retrieval.embeddings import Vectors
from retrieval.models import Chunk, ChunkWeights, Document, Revision, StoreLanguage, VectorStore
from retrieval.models.chunks import TERM_SPACE

_COPY_CHUNKS = """
COPY retrieval_chunk (store_id, document_id, revision_id, position, start, "end", page_start, page_end, heading, header,
    tokens, text) FROM STDIN
"""
# Binary: 1,259 vectors of 1,536 numbers take 0.03 s, as text 1.1 s.
_COPY_VECTORS = "COPY retrieval_chunkembedding (chunk_id, store_id, model_id, embedding) FROM STDIN (FORMAT BINARY)"
_COPY_WEIGHTS = "COPY retrieval_chunkweights (chunk_id, store_id, language, weights) FROM STDIN (FORMAT BINARY)"

# Ordered, so that two transactions never wait for each other's rows crosswise.
_ADD = """
INSERT INTO retrieval_termfrequency AS known (store_id, term, chunks)
SELECT %s, term, chunks FROM unnest(%s::bigint[], %s::int[]) AS added (term, chunks) ORDER BY term
ON CONFLICT (store_id, term) DO UPDATE SET chunks = known.chunks + excluded.chunks
"""
_SUBTRACT = """
UPDATE retrieval_termfrequency AS known SET chunks = known.chunks - removed.chunks
FROM unnest(%s::bigint[], %s::int[]) AS removed (term, chunks)
WHERE known.store_id = %s AND known.term = removed.term
"""
_ADD_LANGUAGE = """
INSERT INTO retrieval_storelanguage AS known (store_id, language, chunks) VALUES (%s, %s, %s)
ON CONFLICT (store_id, language) DO UPDATE SET chunks = known.chunks + excluded.chunks
"""
_FORGET = "DELETE FROM retrieval_termfrequency WHERE store_id = %s AND chunks = 0 AND term = ANY(%s::bigint[])"

# In bulk and by ourselves: Django's cascade would load every row first.
_DELETE = (
    "DELETE FROM retrieval_chunkembedding USING retrieval_chunk c WHERE chunk_id = c.id AND c.document_id = %s",
    "DELETE FROM retrieval_chunkweights USING retrieval_chunk c WHERE chunk_id = c.id AND c.document_id = %s",
    "DELETE FROM retrieval_chunk WHERE document_id = %s",
)
_MOVE = (
    "UPDATE retrieval_chunkembedding SET store_id = %s FROM retrieval_chunk c"
    " WHERE chunk_id = c.id AND c.document_id = %s",
    "UPDATE retrieval_chunkweights SET store_id = %s FROM retrieval_chunk c"
    " WHERE chunk_id = c.id AND c.document_id = %s",
    "UPDATE retrieval_chunk SET store_id = %s WHERE document_id = %s",
)
_PATH_SEPARATOR = " › "

Weights = Mapping[int, float]


def lock_store(store: uuid.UUID) -> VectorStore:
    """Lock a store against other changes of its chunks for the rest of the transaction; reading goes on."""
    # NO KEY: rows that refer to the store can still be inserted meanwhile
    return VectorStore.objects.select_for_update(no_key=True).get(pk=store)


def add_chunks(document: uuid.UUID, revision: Revision, pieces: Sequence[Piece], *, store: uuid.UUID) -> list[int]:
    """Write the chunks of a document in its store and return their ids in order."""
    with connection.cursor() as cursor, cursor.copy(_COPY_CHUNKS) as copy:
        for position, piece in enumerate(pieces):
            place = (store, document, revision.pk, position, piece.start, piece.end)
            pages = (piece.page_start, piece.page_end)
            copy.write_row(
                (*place, *pages, _PATH_SEPARATOR.join(piece.heading_path), piece.header, piece.tokens, piece.text)
            )
    return list(Chunk.objects.filter(revision=revision).order_by("position").values_list("id", flat=True))


def add_vectors(chunks: Sequence[int], store: uuid.UUID, model: uuid.UUID, vectors: Vectors) -> None:
    """Write one vector per chunk; `vectors` has one row per chunk."""
    head = struct.pack(">HH", vectors.shape[1], 0)  # pgvector's halfvec_send: dimensions, unused
    rows = np.ascontiguousarray(vectors, dtype=">f2")
    with connection.cursor() as cursor, cursor.copy(_COPY_VECTORS) as copy:
        copy.set_types(["int8", "uuid", "uuid", "bytea"])
        for chunk, row in zip(chunks, rows, strict=True):
            copy.write_row((chunk, store, model, head + row.tobytes()))


def add_weights(chunks: Sequence[int], store: uuid.UUID, weights: Sequence[Weights], language: str) -> None:
    """Write the lexical weights of each chunk, all in one language, and count chunks and terms."""
    with connection.cursor() as cursor:
        with cursor.copy(_COPY_WEIGHTS) as copy:
            copy.set_types(["int8", "uuid", "text", "bytea"])
            for chunk, terms in zip(chunks, weights, strict=True):
                copy.write_row((chunk, store, language, SparseVector(dict(terms), TERM_SPACE).to_binary()))
        cursor.execute(_ADD, [store, *_columns(weights)])
        cursor.execute(_ADD_LANGUAGE, [store, language, len(chunks)])


def remove_chunks(document: Document) -> None:
    """Remove a document's chunks, their vectors and weights, and uncount chunks and terms."""
    _uncount(document.store_id, _counted(document))
    with connection.cursor() as cursor:
        for statement in _DELETE:
            cursor.execute(statement, [document.pk])


def move_chunks(document: Document, store: uuid.UUID) -> None:
    """Let a document's chunks, their vectors and weights belong to another store, and count them there.

    Whoever calls holds the locks of both stores, and moves the document itself.
    """
    counted = _counted(document)
    _uncount(document.store_id, counted)
    with connection.cursor() as cursor:
        cursor.execute(_ADD, [store, counted.terms, counted.chunks])
        for language, chunks in counted.languages:
            cursor.execute(_ADD_LANGUAGE, [store, language, chunks])
        for statement in _MOVE:
            cursor.execute(statement, [store, document.pk])


@dataclass(frozen=True, slots=True)
class _Counted:
    """What a document adds to the counts of its store: terms, in how many chunks each stands, chunks by language."""

    terms: list[int]
    chunks: list[int]
    languages: list[tuple[str, int]]


def _counted(document: Document) -> _Counted:
    stored = ChunkWeights.objects.filter(chunk__document=document)
    terms, chunks = _columns(vector.indices() for vector in stored.values_list("weights", flat=True).iterator())
    return _Counted(terms, chunks, list(stored.order_by().values_list("language").annotate(Count("chunk"))))


def _uncount(store: uuid.UUID, counted: _Counted) -> None:
    for language, chunks in counted.languages:
        StoreLanguage.objects.filter(store=store, language=language).update(chunks=F("chunks") - chunks)
    StoreLanguage.objects.filter(store=store, chunks=0).delete()
    with connection.cursor() as cursor:
        cursor.execute(_SUBTRACT, [counted.terms, counted.chunks, store])
        cursor.execute(_FORGET, [store, counted.terms])


def _columns(chunks: Iterable[Iterable[int]]) -> tuple[list[int], list[int]]:
    """Terms and in how many of the chunks each stands."""
    counts: Counter[int] = Counter()
    for terms in chunks:
        counts.update(list(terms))  # of a mapping, Counter would add up the values
    return list(counts), list(counts.values())
