"""The statement that finds and fuses: candidates of both sides, each scored on both, permission in the WHERE.

Written out as SQL, since its shape decides the speed: each candidate query has the form that an index can serve, so
that a side can go from an exact scan to an index (by the number of chunks in scope) with nothing else changing. Both
operators are negative inner products; vectors are of unit length, so that is the cosine.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import EmptyResultSet
from django.db import connection
from django.db.models import QuerySet
from pgvector import HalfVector, SparseVector

from retrieval.models import VectorStore
from retrieval.models.chunks import TERM_SPACE
from retrieval.search.dense import Vector
from retrieval.search.neighbours import Hit, Span
from retrieval.search.words import Words

# Candidates from each side. A chunk below this rank on both sides is not among the few that are asked for.
CANDIDATES = 200
# Cosine below which a chunk that shares no word with the question says nothing about it.
FLOOR = 0.2

_STATEMENT = """
WITH asked AS (
    SELECT %s::halfvec AS vector, %s::sparsevec AS words
), languages AS (
    SELECT * FROM unnest(%s::text[], %s::float8[]) AS language (code, total)
), stores AS MATERIALIZED (
    SELECT id, dense_share FROM retrieval_vectorstore WHERE embedding_model_id = %s AND id IN ({scope})
), gone AS MATERIALIZED (
    SELECT chunk.id FROM retrieval_document document JOIN retrieval_chunk chunk ON chunk.document_id = document.id
    WHERE document.life <> 'live' AND document.store_id IN (SELECT id FROM stores)
), candidates AS (
    (SELECT chunk_id FROM retrieval_chunkembedding
     WHERE model_id = %s AND store_id IN (SELECT id FROM stores) AND chunk_id NOT IN (SELECT id FROM gone)
     ORDER BY embedding <#> (SELECT vector FROM asked) LIMIT %s)
    UNION
    (SELECT chunk_id FROM retrieval_chunkweights
     WHERE store_id IN (SELECT id FROM stores) AND chunk_id NOT IN (SELECT id FROM gone)
     ORDER BY weights <#> (SELECT words FROM asked) LIMIT %s)
), scored AS (
    SELECT candidates.chunk_id,
        coalesce(-(dense.embedding <#> (SELECT vector FROM asked)), 0) AS dense,
        -- a stem of another language may match too: a share is never more than the whole
        coalesce(least(-(lexical.weights <#> (SELECT words FROM asked)) / languages.total, 1), 0) AS lexical
    FROM candidates
    JOIN retrieval_chunk chunk ON chunk.id = candidates.chunk_id
    JOIN retrieval_document document ON document.id = chunk.document_id
    LEFT JOIN languages ON languages.code = document.language
    LEFT JOIN retrieval_chunkembedding dense ON dense.chunk_id = candidates.chunk_id AND dense.model_id = %s
    LEFT JOIN retrieval_chunkweights lexical ON lexical.chunk_id = candidates.chunk_id
)
SELECT chunk.id, chunk.document_id, chunk.revision_id, document.name, chunk.position, chunk.start, chunk."end",
    chunk.page_start, chunk.page_end, chunk.heading, chunk.text,
    stores.dense_share * scored.dense + (1 - stores.dense_share) * scored.lexical AS score, scored.dense, scored.lexical
FROM scored
JOIN retrieval_chunk chunk ON chunk.id = scored.chunk_id
JOIN retrieval_document document ON document.id = chunk.document_id
JOIN stores ON stores.id = chunk.store_id
WHERE scored.lexical > 0 OR scored.dense >= %s
ORDER BY score DESC, chunk.id LIMIT %s
"""

_BETWEEN = """
SELECT revision.id, span.first, span.past, substr(revision.text, span.first + 1, span.past - span.first)
FROM unnest(%s::uuid[], %s::int[], %s::int[]) AS span (revision, first, past)
JOIN retrieval_revision revision ON revision.id = span.revision
"""


@dataclass(frozen=True, slots=True)
class Question:
    """A query as one embedding model and one scope see it; `vector` is of unit length, None to search by words only."""

    vector: Vector | None
    words: Words


def find(question: Question, scope: QuerySet[VectorStore], model: uuid.UUID, limit: int) -> list[Hit]:
    """Return the best chunks in the stores of `scope` that are indexed with `model`."""
    try:
        scope_sql, scope_params = scope.order_by().values("pk").query.sql_with_params()
    except EmptyResultSet:
        return []
    words, candidates = question.words, max(CANDIDATES, 4 * limit)
    parameters: list[Any] = [
        None if question.vector is None else HalfVector(question.vector).to_text(),
        SparseVector(dict(words.weights), TERM_SPACE).to_text() if words.weights else None,
        list(words.totals),
        list(words.totals.values()),
        model,
        *scope_params,
        model,
        0 if question.vector is None else candidates,
        candidates if words.weights else 0,
        model,
        FLOOR,
        limit,
    ]
    with connection.cursor() as cursor:
        cursor.execute(_STATEMENT.format(scope=scope_sql), parameters)
        return [Hit(*row) for row in cursor.fetchall()]


def texts_between(spans: Sequence[Span]) -> dict[Span, str]:
    """Return the text of each span of a revision."""
    if not spans:
        return {}
    revisions, starts, ends = zip(*spans, strict=True)
    with connection.cursor() as cursor:
        cursor.execute(_BETWEEN, [list(revisions), list(starts), list(ends)])
        return {(revision, start, end): text for revision, start, end, text in cursor.fetchall()}
