"""Vectors of long documents, kept as they come: a worker that dies takes none along, and none is paid for twice.

They are of a revision and an embedding model, and become the chunks' own when the document is swapped in.
"""

import hashlib
import struct
import uuid
from collections.abc import Sequence

import numpy as np
from django.db import connection, transaction

from core.errors import ConflictError
from core.models import EndpointModel
from retrieval.chunking import Piece
from retrieval.embeddings import Vectors
from retrieval.ingestion.job import Job, State
from retrieval.models import Revision, StagedVector

# Chunks above which a document's vectors are kept; shorter ones are asked for again within a request or two.
LONG = 512

_COPY = "COPY retrieval_stagedvector (revision_id, model_id, position, digest, embedding) FROM STDIN (FORMAT BINARY)"
_MAKE_OWN = """
INSERT INTO retrieval_chunkembedding (chunk_id, store_id, model_id, embedding)
SELECT chunk.id, chunk.store_id, staged.model_id, staged.embedding
FROM retrieval_stagedvector staged JOIN retrieval_chunk chunk USING (revision_id, position)
WHERE staged.revision_id = %s AND staged.model_id = %s
"""


def known(revision: Revision, model: EndpointModel, pieces: Sequence[Piece]) -> set[int]:
    """Return the positions whose vectors are there already; forget those of chunks that are others by now."""
    kept = StagedVector.objects.filter(revision=revision, model=model)
    wanted = {(position, _digest(piece)) for position, piece in enumerate(pieces)}
    rows = list(kept.values_list("pk", "position", "digest"))
    stale = [key for key, position, digest in rows if (position, digest) not in wanted]
    if stale:
        kept.filter(pk__in=stale).delete()
    return {position for _, position, digest in rows if (position, digest) in wanted}


def keep(
    job: Job, revision: Revision, pieces: Sequence[Piece], positions: Sequence[int], vectors: Vectors, *, done: int
) -> None:
    """Keep one vector per position, and show that `done` of the pieces have one.

    Raises LostClaimError and NoLongerWantedError.
    """
    model = job.document.store.embedding_model_id
    head = struct.pack(">HH", vectors.shape[1], 0)  # pgvector's halfvec_send: dimensions, unused
    rows = np.ascontiguousarray(vectors, dtype=">f2")
    with transaction.atomic():
        job.claim.guard()
        with connection.cursor() as cursor, cursor.copy(_COPY) as copy:
            copy.set_types(["uuid", "uuid", "int4", "int8", "bytea"])
            for position, row in zip(positions, rows, strict=True):
                copy.write_row((revision.pk, model, position, _digest(pieces[position]), head + row.tobytes()))
        job.write(state=State.EMBEDDING, progress_done=done, progress_total=len(pieces))


def make_own(revision: Revision, model: uuid.UUID, count: int) -> None:
    """Give the chunks of `revision` their vectors, in the caller's transaction. Raises ConflictError for fewer."""
    with connection.cursor() as cursor:
        cursor.execute(_MAKE_OWN, [revision.pk, model])
        moved = cursor.rowcount
    if moved != count:
        raise ConflictError("Vectors of this document are missing.", retryable=True)


def forget(revision: Revision) -> None:
    StagedVector.objects.filter(revision=revision).delete()


def _digest(piece: Piece) -> int:
    """A number that tells whether a vector is of this text."""
    return int.from_bytes(hashlib.blake2b(piece.embedding_text.encode(), digest_size=8).digest(), "big", signed=True)
