"""The entry point of search."""

import asyncio
import uuid
from collections.abc import Mapping

from django.db.models import QuerySet

from core.bridge import in_database
from core.models import EndpointModel
from retrieval.embeddings import Embedder, embedder_for
from retrieval.models import VectorStore
from retrieval.search.dense import Vector, embed_question
from retrieval.search.filters import Filter
from retrieval.search.fusion import Question, find, page_starts, texts_between
from retrieval.search.neighbours import Hit, distinct, gaps, over_pages, passage, runs, with_pages
from retrieval.search.query import Passage, Query
from retrieval.search.scope import Survey, searchable, survey, write_use
from retrieval.search.vectors import QueryVectors
from retrieval.search.words import question_words
from retrieval.selectors import embedding_target

Vectors = Mapping[uuid.UUID, Vector | None]

# More than are asked for are looked at: the same text may be found in two stores.
TWICE = 2


async def retrieve(
    query: Query,
    *,
    scope: QuerySet[VectorStore],
    limit: int,
    vectors: QueryVectors | None = None,
    filter: Filter | None = None,
) -> list[Passage]:
    """Return the at most `limit` best passages for `query` in the stores of `scope`, the best first.

    A chunk's score is α·cos + (1−α)·share. cos is the cosine of its vector with the question's (the weighted sum of
    `query.dense`). share is how much of `query.lexical` it covers: its BM25 score divided by Σ qtf·idf, the score of a
    chunk that covered everything; so both lie between 0 and 1 and can be added. α is the store's `dense_share`, or
    what suits its embedding model; idf is that of the whole scope. Chunks that neither share telling words with the
    question nor come near it in meaning are left out, so there may be no answer. Of chunks with the same text the best
    counts. Chunks that follow each other in a document are joined into one passage.

    `scope` becomes a part of the statement's WHERE: whoever calls passes what the person may search
    (`VectorStore.objects.visible_to(user)` or an assistant's stores). What has expired is left out here, for everybody.
    Only documents in use that have been indexed answer; one that is being indexed anew answers from its former chunks.

    `vectors` are those of `query`, where more than passages is looked up by it. `filter` says which of the documents
    may answer, by what is known of them; it becomes a part of the WHERE too. What a term weighs is that of the scope.

    Raises EmbeddingError where the question cannot be embedded.
    """
    scope = searchable(scope)
    found = await in_database(survey, scope)
    asked = vectors or QueryVectors(query)
    made = await asyncio.gather(*(asked.under(model) for model in found.models.values()))
    return await in_database(_search, query, scope, limit, filter, found, dict(zip(found.models, made, strict=True)))


def retrieve_now(
    query: Query, *, scope: QuerySet[VectorStore], limit: int, filter: Filter | None = None
) -> list[Passage]:
    """`retrieve` for synchronous code."""
    scope = searchable(scope)
    found = survey(scope)
    models = found.models.items()
    vectors = {key: embed_question(query, _embedder(model), model.dimensions) for key, model in models}
    return _search(query, scope, limit, filter, found, vectors)


def _embedder(model: EndpointModel) -> Embedder:
    return embedder_for(embedding_target(model))


def _search(
    query: Query, scope: QuerySet[VectorStore], limit: int, wanted: Filter | None, found: Survey, vectors: Vectors
) -> list[Passage]:
    if found.unnoticed:
        write_use(scope)
    hits: list[Hit] = []
    words = question_words(query.lexical, found.languages, scope, found.total)
    for key, model in found.models.items():
        hits += find(Question(vectors[key], words, found.moment), scope, model, TWICE * limit, wanted)
    best = runs(distinct(sorted(hits, key=lambda hit: (-hit.score, hit.chunk_id)))[:limit])
    between = texts_between(gaps(best))
    passages = [passage(run, between) for run in best]
    return with_pages(passages, page_starts(over_pages(passages)))
