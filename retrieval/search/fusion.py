"""The statement that finds and fuses: candidates of both sides, each scored on both, permission in the WHERE.

Written out as SQL, since its shape decides the speed: each candidate query has the form that an index can serve, so
that a side can go from an exact scan to an index (by the number of chunks in scope) with nothing else changing. Both
operators are negative inner products; vectors are of unit length, so that is the cosine.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import EmptyResultSet
from django.db import connection
from django.db.models import QuerySet
from pgvector import HalfVector, SparseVector

from core.models import Endpoint, EndpointModel
from retrieval.models import VectorStore
from retrieval.models.chunks import TERM_SPACE
from retrieval.search.dense import Vector
from retrieval.search.filters import Filter, filter_sql
from retrieval.search.neighbours import Hit, Span
from retrieval.search.query import Passage
from retrieval.search.words import Words

# Candidates from each side. A chunk below this rank on both sides is not among the few that are asked for.
CANDIDATES = 100
# A chunk below both says nothing about the question. Measured on SciFact with hashed vectors: a share below 0.05 comes
# from words like "the" alone (no relevant passage had less), and questions about anything else reach a cosine of 0.29.
LEXICAL_FLOOR = 0.05
DENSE_FLOOR = 0.3
# What meaning weighs in a store that does not say. Hashed vectors know words only, and less well than BM25 (nDCG@10 on
# SciFact 70.1 with a share of 0, 69.8 with 0.1, 65.6 with 0.5); with a real model 0.4 to 0.6 is best everywhere.
DENSE_SHARE = 0.5
HASHING_DENSE_SHARE = 0.1

# LATERAL with a LIMIT: the few candidates are looked up by their keys, whatever the planner thinks of scanning.
_STATEMENT = """
WITH asked AS (
    SELECT %s::halfvec AS vector, %s::sparsevec AS words
), totals AS (
    SELECT * FROM unnest(%s::text[], %s::float8[]) AS total (language, score)
), moved AS MATERIALIZED (
    SELECT store_id, from_model_id FROM retrieval_reindexing
    WHERE state = 'switching' AND NOT pg_visible_in_snapshot(switched_in::text::xid8, %s::pg_snapshot)
), stores AS MATERIALIZED (
    SELECT id, coalesce(dense_share, %s) AS dense_share
    FROM retrieval_vectorstore LEFT JOIN moved ON moved.store_id = id
    WHERE coalesce(moved.from_model_id, embedding_model_id) = %s AND id IN ({scope})
), told_apart AS MATERIALIZED (
    SELECT chunk.id FROM retrieval_document document JOIN retrieval_chunk chunk ON chunk.document_id = document.id
    WHERE {told_apart} AND document.store_id IN (SELECT id FROM stores)
), candidates AS (
    (SELECT chunk_id FROM retrieval_chunkembedding
     WHERE model_id = %s AND store_id IN (SELECT id FROM stores) AND chunk_id {is_in} (SELECT id FROM told_apart)
     ORDER BY embedding <#> (SELECT vector FROM asked) LIMIT %s)
    UNION
    (SELECT chunk_id FROM retrieval_chunkweights
     WHERE store_id IN (SELECT id FROM stores) AND chunk_id {is_in} (SELECT id FROM told_apart)
     ORDER BY weights <#> (SELECT words FROM asked) LIMIT %s)
), scored AS (
    SELECT candidates.chunk_id, coalesce(dense.cosine, 0) AS dense,
        -- a stem of another language may match too: a share is never more than the whole
        least(coalesce(lexical.score / totals.score, 0), 1) AS lexical
    FROM candidates
    LEFT JOIN LATERAL (
        SELECT -(embedding <#> (SELECT vector FROM asked)) AS cosine FROM retrieval_chunkembedding
        WHERE chunk_id = candidates.chunk_id AND model_id = %s LIMIT 1
    ) dense ON true
    LEFT JOIN LATERAL (
        SELECT language, -(weights <#> (SELECT words FROM asked)) AS score FROM retrieval_chunkweights
        WHERE chunk_id = candidates.chunk_id LIMIT 1
    ) lexical ON true
    LEFT JOIN totals ON totals.language = lexical.language
)
SELECT chunk.*, stores.dense_share * scored.dense + (1 - stores.dense_share) * scored.lexical AS score, dense, lexical
FROM scored CROSS JOIN LATERAL (
    SELECT chunk.id, document_id, chunk.revision_id, document.name, position, start, "end", page_start, page_end,
        heading, text, chunk.store_id
    FROM retrieval_chunk chunk JOIN retrieval_document document ON document.id = chunk.document_id
    WHERE chunk.id = scored.chunk_id LIMIT 1
) chunk JOIN stores ON stores.id = chunk.store_id
WHERE scored.lexical >= %s OR scored.dense >= %s
ORDER BY score DESC, chunk.id LIMIT %s
"""

_BETWEEN = """
SELECT revision.id, span.first, span.past, substr(revision.text, span.first + 1, span.past - span.first)
FROM unnest(%s::uuid[], %s::int[], %s::int[]) AS span (revision, first, past)
JOIN retrieval_revision revision ON revision.id = span.revision
"""

# By its number: a long document has thousands of pages, a passage reaches over two or three.
_PAGES = """
SELECT span.revision, span.first, span.past, (revision.pages -> page ->> 0)::int, page + 1
FROM unnest(%s::uuid[], %s::int[], %s::int[], %s::int[], %s::int[])
    AS span (revision, first, past, first_page, last_page)
JOIN retrieval_revision revision ON revision.id = span.revision
CROSS JOIN LATERAL generate_series(span.first_page, span.last_page - 1) AS page
WHERE (revision.pages -> page ->> 1)::int > (revision.pages -> page ->> 0)::int
ORDER BY page
"""


@dataclass(frozen=True, slots=True)
class Question:
    """A query as one embedding model and one scope see it; `vector` is of unit length, None to search by words only.

    `moment` is when the scope was looked at: a store that has switched to another model since is searched by the
    vectors it had then, which are kept for a minute.
    """

    vector: Vector | None
    words: Words
    moment: str


def find(
    question: Question, scope: QuerySet[VectorStore], model: EndpointModel, limit: int, wanted: Filter | None
) -> list[Hit]:
    """Return the best chunks in the stores of `scope` that are indexed with `model`, of documents that are `wanted`."""
    try:
        scope_sql, scope_params = scope.order_by().values("pk").query.sql_with_params()
    except EmptyResultSet:
        return []
    told_apart, is_in, apart_params = _told_apart(wanted)
    words, candidates = question.words, max(CANDIDATES, 2 * limit)
    parameters: list[Any] = [
        None if question.vector is None else HalfVector(question.vector).to_text(),
        SparseVector(dict(words.weights), TERM_SPACE).to_text() if words.weights else None,
        list(words.totals),
        list(words.totals.values()),
        question.moment,
        HASHING_DENSE_SHARE if model.endpoint.provider == Endpoint.Provider.HASHING else DENSE_SHARE,
        model.pk,
        *scope_params,
        *apart_params,
        model.pk,
        0 if question.vector is None else candidates,
        candidates if words.weights else 0,
        model.pk,
        LEXICAL_FLOOR,
        DENSE_FLOOR,
        limit,
    ]
    with connection.cursor() as cursor:
        cursor.execute(_STATEMENT.format(scope=scope_sql, told_apart=told_apart, is_in=is_in), parameters)
        return [Hit(*row) for row in cursor.fetchall()]


def _told_apart(wanted: Filter | None) -> tuple[str, str, list[Any]]:
    """Which documents' chunks are listed, and whether a candidate has to be among them.

    Without a filter those of the few that are leaving are left out, with one those of the documents that pass it are
    looked for.
    """
    if wanted is None:
        return "document.life <> 'live'", "NOT IN", []
    sql, parameters = filter_sql(wanted)
    return f"document.life = 'live' AND {sql}", "IN", parameters


def texts_between(spans: Sequence[Span]) -> dict[Span, str]:
    """Return the text of each span of a revision."""
    if not spans:
        return {}
    revisions, starts, ends = zip(*spans, strict=True)
    with connection.cursor() as cursor:
        cursor.execute(_BETWEEN, [list(revisions), list(starts), list(ends)])
        return {(revision, start, end): text for revision, start, end, text in cursor.fetchall()}


def page_starts(found: Sequence[Passage]) -> dict[Span, list[tuple[int, int]]]:
    """Return, for each of these passages, the offsets and numbers of the pages that begin within it."""
    if not found:
        return {}
    starts: dict[Span, list[tuple[int, int]]] = {}
    columns = zip(*((one.revision_id, one.start, one.end, one.page_start, one.page_end) for one in found), strict=True)
    with connection.cursor() as cursor:
        cursor.execute(_PAGES, [list(column) for column in columns])
        for revision, start, end, offset, page in cursor.fetchall():
            starts.setdefault((revision, start, end), []).append((offset, page))
    return starts
