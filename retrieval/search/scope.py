"""What there is to search in a set of vector stores: counted by the database, never listed here."""

import uuid
from collections.abc import Collection
from dataclasses import dataclass

from django.db.models import QuerySet, Sum

from core.models import EndpointModel
from retrieval.models import StoreLanguage, TermFrequency, VectorStore


@dataclass(frozen=True, slots=True)
class Survey:
    """How many chunks are in scope for each embedding model, and the languages they are indexed in."""

    chunks: dict[uuid.UUID, int]
    languages: frozenset[str]
    models: dict[uuid.UUID, EndpointModel]

    @property
    def total(self) -> int:
        return sum(self.chunks.values())


def survey(scope: QuerySet[VectorStore]) -> Survey:
    """Count what is in scope. Documents that are being deleted count until their chunks are gone, as do their words."""
    indexed = StoreLanguage.objects.filter(store__in=scope.order_by())
    rows = indexed.values_list("store__embedding_model", "language").annotate(Sum("chunks"))
    chunks: dict[uuid.UUID, int] = {}
    languages = set()
    for model, language, count in rows:
        chunks[model] = chunks.get(model, 0) + count
        languages.add(language)
    models = EndpointModel.objects.select_related("endpoint").in_bulk(list(chunks)) if chunks else {}
    return Survey(chunks, frozenset(languages), models)


def document_frequencies(scope: QuerySet[VectorStore], terms: Collection[int]) -> dict[int, int]:
    """In how many chunks in scope each of `terms` stands; terms that stand in none are left out."""
    known = TermFrequency.objects.filter(store__in=scope.order_by(), term__in=list(terms))
    return dict(known.order_by().values_list("term").annotate(Sum("chunks")))
