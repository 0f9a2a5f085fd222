"""All documents of a scope in full, where together they are short: then there is nothing to search for.

One statement counts them by the tokens that are stored with each document and, only where they are few, gives their
chunks and texts. The order is that in which they were added: another document comes behind, and what stands before it
stays the same, byte for byte.
"""

import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import orjson
from django.core.exceptions import EmptyResultSet
from django.db import connection
from django.db.models import QuerySet

from core.tokens import count_tokens
from retrieval.models import VectorStore
from retrieval.search.filters import Filter, filter_sql
from retrieval.search.query import Passage
from retrieval.search.scope import searchable, write_use

# A document that has chunks has a token: more documents than tokens are too many.
_STATEMENT = """
WITH documents AS MATERIALIZED (
    SELECT id, name, revision_id, token_count, created_at FROM retrieval_document document
    WHERE store_id IN ({scope}) AND life = 'live' AND revision_id IS NOT NULL AND chunk_count > 0 AND {wanted}
    LIMIT %s + 1
), total AS (
    SELECT coalesce(sum(token_count), 0) AS tokens, (
        SELECT count(*) FROM retrieval_vectorstore
        WHERE expires_at < now() + make_interval(days => keep_days - 1) AND id IN ({scope})
    ) AS unnoticed FROM documents
), found AS (
    SELECT chunk.id, chunk.document_id, chunk.revision_id, documents.name, chunk.start, chunk.end, chunk.page_start,
        chunk.page_end, chunk.heading, chunk.position, documents.created_at
    FROM documents JOIN retrieval_chunk chunk ON chunk.document_id = documents.id
    WHERE (SELECT tokens FROM total) <= %s
)
SELECT total.tokens, total.unnoticed, found.id, found.document_id, found.revision_id, name, start, "end", page_start,
    page_end, heading, CASE WHEN position = 0 THEN revision.text END,
    CASE WHEN position = 0 THEN revision.pages::text END
FROM total LEFT JOIN found ON true LEFT JOIN retrieval_revision revision ON revision.id = found.revision_id
ORDER BY found.created_at, found.document_id, position
"""


@dataclass(frozen=True, slots=True)
class Whole:
    """What is in scope: its tokens, and all of it as passages where it is not too much.

    Where there is much more than was asked about, `tokens` only says that it is more.
    """

    tokens: int
    passages: tuple[Passage, ...]


def whole(scope: QuerySet[VectorStore], *, limit: int, filter: Filter | None = None) -> Whole:
    """Return every document in the stores of `scope` in full where together they have at most `limit` tokens.

    With a `filter`, every one that passes it.

    A passage is what stands on one page below one heading. Tokens count what neighbouring chunks share twice, as it is
    stored. The permission is that of `retrieve`.
    """
    scope = searchable(scope)
    try:
        scope_sql, scope_params = scope.order_by().values("pk").query.sql_with_params()
    except EmptyResultSet:
        return Whole(0, ())
    wanted, parameters = filter_sql(filter) if filter else ("true", [])
    with connection.cursor() as cursor:
        parameters = [*scope_params, *parameters, limit, *scope_params, limit]
        cursor.execute(_STATEMENT.format(scope=scope_sql, wanted=wanted), parameters)
        rows = cursor.fetchall()
    if rows[0][1]:
        write_use(scope)
    chunks = [_Chunk(*row[2:]) for row in rows if row[2] is not None]
    documents = groupby(chunks, key=lambda chunk: chunk.document)
    return Whole(int(rows[0][0]), tuple(each for _, of_one in documents for each in _passages(list(of_one))))


@dataclass(frozen=True, slots=True)
class _Chunk:
    """A row; text and pages are those of the whole revision, with its first chunk only."""

    id: int
    document: uuid.UUID
    revision: uuid.UUID
    name: str
    start: int
    end: int
    page_start: int | None
    page_end: int | None
    heading: str
    text: str | None
    pages: str | None


def _passages(chunks: Sequence[_Chunk]) -> Iterator[Passage]:
    """The passages of one document; none repeats what the one before it ends with."""
    text, pages = chunks[0].text or "", orjson.loads(chunks[0].pages or "[]")
    done = 0
    for _, group in groupby(chunks, key=lambda chunk: (chunk.page_start, chunk.heading)):
        together = list(group)
        first, last = together[0], together[-1]
        start, end = max(first.start, done), last.end
        done = end
        yield Passage(
            chunk_id=first.id,
            document_id=first.document,
            revision_id=first.revision,
            document_name=first.name,
            text=text[start:end],
            start=start,
            end=end,
            page_start=first.page_start,
            page_end=last.page_end,
            heading=first.heading,
            score=0.0,
            dense_score=0.0,
            lexical_score=0.0,
            tokens=count_tokens(text[start:end]),
            page_starts=tuple(
                (offset, number)
                for number, (offset, past) in enumerate(pages, 1)
                if start < offset < end and offset < past
            ),
        )
