"""Reads what an embeddings server answers, which may be base64 or lists of numbers, in any order."""

import base64
import binascii
from typing import Any

import numpy as np
import orjson

from retrieval.embeddings.base import Vectors, unit_length
from retrieval.errors import EmbeddingInvalidError

_NONSENSE = "The embeddings server answered with something that is not a list of vectors."


def read_vectors(content: bytes, count: int) -> Vectors:
    """The vectors of an answer to `count` texts at unit length, in the order of the texts.

    Raises EmbeddingInvalidError where there are fewer or more, or they are no vectors of one length.
    """
    try:
        entries = orjson.loads(content)["data"]
        ordered = sorted(entries, key=lambda entry: int(entry.get("index", 0)))
        rows = [_row(entry["embedding"]) for entry in ordered]
    except (ValueError, KeyError, TypeError, AttributeError, binascii.Error) as error:
        raise EmbeddingInvalidError(_NONSENSE) from error
    if len(rows) != count:
        raise EmbeddingInvalidError(f"The embeddings server answered {count} texts with {len(rows)} vectors.")
    if len({row.shape for row in rows}) != 1 or not rows[0].size:
        raise EmbeddingInvalidError(_NONSENSE)
    return unit_length(np.stack(rows))


def _row(embedding: Any) -> Vectors:
    if isinstance(embedding, str):
        return np.frombuffer(base64.b64decode(embedding, validate=True), dtype="<f4").astype(np.float32)
    row = np.asarray(embedding, dtype=np.float32)
    if row.ndim != 1:
        raise ValueError("a vector has one dimension")
    return row
