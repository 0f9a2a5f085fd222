"""What an embedder is: texts in, vectors of unit length out."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from retrieval.errors import EmbeddingInvalidError

Kind: TypeAlias = Literal["document", "query"]
Vectors: TypeAlias = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddingTarget:
    """Which model of which server embeds.

    `dimensions` is how long vectors must be, or None where that is not known yet; with `shorten` the server
    is asked for that length (models that can be shortened: text-embedding-3 and others). Timeouts are in
    seconds. `headers` go with every request.
    """

    provider: str
    model: str
    base_url: str = ""
    api_key: str = ""
    dimensions: int | None = None
    shorten: bool = False
    headers: tuple[tuple[str, str], ...] = ()
    connect_timeout: float = 5.0
    read_timeout: float = 60.0

    def __repr__(self) -> str:
        return f"EmbeddingTarget({self.provider}, {self.base_url}, {self.model})"


class Embedder(Protocol):
    """Embeds in any number of texts; callers need not batch.

    Both methods return a float32 array of shape (number of texts, dimensions) with rows of length 1, in the
    order of the texts, and raise EmbeddingError. A `query` is answered or refused within seconds, a
    `document` is tried for longer. `embed` blocks.
    """

    def embed(self, texts: Sequence[str], *, kind: Kind) -> Vectors: ...

    async def aembed(self, texts: Sequence[str], *, kind: Kind) -> Vectors: ...


def unit_length(vectors: Vectors) -> Vectors:
    """The rows of `vectors` at length 1. Raises EmbeddingInvalidError for rows without a direction."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    if not (np.isfinite(lengths).all() and (lengths > 0).all()):
        raise EmbeddingInvalidError("The embeddings server answered with vectors that point nowhere.")
    scaled: Vectors = (vectors / lengths).astype(np.float32)
    return scaled
