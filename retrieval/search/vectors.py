"""The vectors of one query, for everything that is looked up by it."""

import asyncio
import uuid

from core.models import EndpointModel
from retrieval.embeddings import embedder_for
from retrieval.search.dense import Vector, aembed_question
from retrieval.search.query import Query
from retrieval.selectors import embedding_target


class QueryVectors:
    """The vectors of `query`, each made once, also where several ask for it at the same time.

    For one event loop. Whoever stops waiting takes nothing from the others.
    """

    def __init__(self, query: Query) -> None:
        self.query = query
        self._made: dict[uuid.UUID, asyncio.Task[Vector | None]] = {}

    async def under(self, model: EndpointModel) -> Vector | None:
        """The vector under an embedding model, whose endpoint should be loaded with it.

        None where there is nothing to embed. Raises EmbeddingError, for everybody who asks.
        """
        if model.pk not in self._made:
            making = aembed_question(self.query, embedder_for(embedding_target(model)), model.dimensions)
            self._made[model.pk] = asyncio.create_task(making)
            self._made[model.pk].add_done_callback(_looked_at)
        return await asyncio.shield(self._made[model.pk])


def _looked_at(task: "asyncio.Task[Vector | None]") -> None:
    """A failure that nobody waits for any more is no news."""
    if not task.cancelled():
        task.exception()
