"""The question as a vector."""

from collections.abc import Sequence

import numpy as np

from retrieval.embeddings import Embedder, Vectors
from retrieval.errors import EmbeddingDimensionError
from retrieval.search.query import Query

# One vector; the embedders answer with rows of them.
Vector = Vectors


def embed_question(query: Query, embedder: Embedder, dimensions: int | None) -> Vector | None:
    """Embed the texts of `query` in one request and return their weighted sum at unit length.

    None where there is nothing to embed or the sum points nowhere. Raises EmbeddingError; its EmbeddingDimensionError
    where the vectors of the index have another length.
    """
    texts, weights = _asked(query)
    return weighted_sum(embedder.embed(texts, kind="query"), weights, dimensions) if texts else None


async def aembed_question(query: Query, embedder: Embedder, dimensions: int | None) -> Vector | None:
    """`embed_question` for asynchronous code."""
    texts, weights = _asked(query)
    return weighted_sum(await embedder.aembed(texts, kind="query"), weights, dimensions) if texts else None


def weighted_sum(vectors: Vectors, weights: Sequence[float], dimensions: int | None) -> Vector | None:
    """Return the sum of the rows of `vectors` by `weights` at unit length, or None where it has none."""
    total = np.asarray(weights, dtype=np.float32) @ vectors
    if dimensions is not None and len(total) != dimensions:
        raise EmbeddingDimensionError(
            f"The embeddings server answers with vectors of {len(total)} numbers; the index was made with {dimensions}."
        )
    length = float(np.linalg.norm(total))
    return (total / length).astype(np.float32) if length > 0 else None


def _asked(query: Query) -> tuple[list[str], list[float]]:
    asked = [(text, weight) for text, weight in query.dense if text.strip() and weight]
    return [text for text, _ in asked], [weight for _, weight in asked]
