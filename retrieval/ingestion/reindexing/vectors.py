"""A store's vectors under another embedding model, made beside those that are searched; then the switch.

Chunks are taken in the order of their ids. Which of them lack a vector is asked of the database each time, so nothing
is done twice after a worker died, and whatever came into the store meanwhile is found.
"""

from collections.abc import Sequence
from datetime import timedelta

from django.db import connection
from django.db.models.functions import Now

from retrieval.chunking.piece import embedding_text, header_tokens
from retrieval.embeddings import Vectors
from retrieval.ingestion.embedding import embed_texts
from retrieval.ingestion.reindexing.stride import WELL, Stride
from retrieval.ingestion.rows import add_vectors
from retrieval.models import Chunk, ChunkEmbedding, Reindexing, VectorStore

State = Reindexing.State

# Chunks between two commits: enough for an embedder to have some requests under way.
BATCH = 1024
# How long the former vectors stay for searches that began before the switch. A question is embedded within seconds.
KEPT = timedelta(minutes=1)

# id, header, text, tokens
_Row = tuple[int, str, str, int]

_LACKING = """
SELECT id, header, text, tokens FROM retrieval_chunk chunk
WHERE store_id = %s AND id > %s AND NOT EXISTS (
    SELECT FROM retrieval_chunkembedding vector WHERE vector.chunk_id = chunk.id AND vector.model_id = %s
)
ORDER BY id LIMIT %s
"""

# Of these, what is still there and has none; the lock keeps it there until the vectors are in.
_WANTED = """
SELECT id FROM retrieval_chunk chunk
WHERE id = ANY(%s) AND store_id = %s AND NOT EXISTS (
    SELECT FROM retrieval_chunkembedding vector WHERE vector.chunk_id = chunk.id AND vector.model_id = %s
)
FOR KEY SHARE
"""


def make(stride: Stride) -> None:
    """Make vectors until the stride is over, or there is none left to make and the store has switched.

    Raises EmbeddingError, LostClaimError and NoLongerWantedError.
    """
    _count(stride)
    while not stride.is_over:
        rows = _lacking(stride.row)
        if rows:
            texts = [embedding_text(header, text) for _, header, text, _ in rows]
            _keep(stride, rows, embed_texts(stride.row.to_model, texts))
        elif _switch(stride):
            return
    stride.end()


def _count(stride: Stride) -> None:
    """Measure the progress afresh: chunks come and go meanwhile."""
    with stride.writing() as store:
        total = Chunk.objects.filter(store=store).count()
        done = ChunkEmbedding.objects.filter(store=store, model=stride.row.to_model_id).count()
        stride.save(done=done, total=total)


def _lacking(row: Reindexing) -> list[_Row]:
    with connection.cursor() as cursor:
        cursor.execute(_LACKING, [row.store_id, row.after, row.to_model_id, BATCH])
        rows: list[_Row] = cursor.fetchall()
        return rows


def _keep(stride: Stride, rows: Sequence[_Row], made: Vectors) -> None:
    with stride.writing() as store:
        wanted = _wanted(store, stride.row, [chunk for chunk, *_ in rows])
        places = [place for place, (chunk, *_) in enumerate(rows) if chunk in wanted]
        add_vectors([rows[place][0] for place in places], store.pk, stride.row.to_model_id, made[places])
        tokens = sum(header_tokens(header) + own for _, header, _, own in rows)
        row = stride.row
        stride.save(
            done=row.done + len(places), tokens=row.tokens + tokens, after=rows[-1][0], retries=0, error_message=""
        )


def _wanted(store: VectorStore, row: Reindexing, chunks: list[int]) -> set[int]:
    with connection.cursor() as cursor:
        cursor.execute(_WANTED, [chunks, store.pk, row.to_model_id])
        return {chunk for (chunk,) in cursor.fetchall()}


def _switch(stride: Stride) -> bool:
    """Let searches use the new vectors; false where some are still to be made.

    The lock of the store keeps chunks from coming in between. A trigger looks again whether every chunk has a vector.
    """
    with stride.writing() as store:
        # from the first on: chunks may have come behind the one looked at last
        stride.row.after = 0
        if _lacking(stride.row):
            stride.save(after=0)
            return False
        store.embedding_model = stride.row.to_model
        store.save(update_fields=["embedding_model", "updated_at"])
        stride.save(
            state=State.SWITCHING,
            strides=0,
            **WELL,
            done=stride.row.total,
            seconds=stride.row.seconds + stride.seconds,
            switched_at=Now(),
            switched_in=_transaction(),
            due_at=Now() + KEPT,
        )
        return True


def _transaction() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_current_xact_id()::text::bigint")
        return int(cursor.fetchone()[0])
