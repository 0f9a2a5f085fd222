"""What there is to search in a set of vector stores: counted by the database, never listed here."""

import uuid
from collections.abc import Collection
from dataclasses import dataclass

from django.db.models import Count, DurationField, F, Func, Q, QuerySet, Sum, TextField
from django.db.models.functions import Now

from core.models import EndpointModel
from retrieval.models import StoreLanguage, TermFrequency, VectorStore


class _Snapshot(Func):
    """Which transactions the statement sees (PostgreSQL, "Transaction ID and snapshot information functions")."""

    template = "pg_current_snapshot()::text"
    output_field = TextField()


class _Days(Func):
    """A number of days as a span of time."""

    template = "make_interval(days => %(expressions)s)"
    output_field = DurationField()


@dataclass(frozen=True, slots=True)
class Survey:
    """How many chunks are in scope for each embedding model, and the languages they are indexed in.

    `unnoticed` says that a store in it is kept for some days after its last use, and this use is not written down yet.
    `moment` is PostgreSQL's snapshot in which all that was so: a store may switch to another model before it is
    searched.
    """

    chunks: dict[uuid.UUID, int]
    languages: frozenset[str]
    models: dict[uuid.UUID, EndpointModel]
    unnoticed: bool
    moment: str

    @property
    def total(self) -> int:
        return sum(self.chunks.values())


def searchable(scope: QuerySet[VectorStore]) -> QuerySet[VectorStore]:
    """`scope` without what expired or is being deleted, as a part of the same condition."""
    return scope.filter(Q(expires_at=None) | Q(expires_at__gt=Now()), deleted_at=None)


def _unnoticed(path: str = "") -> Q:
    """Stores (of rows, behind `path`) kept for some days after their last use, which was written down a day ago."""
    return Q(**{f"{path}expires_at__lt": Now() + _Days(F(f"{path}keep_days") - 1)})


def write_use(scope: QuerySet[VectorStore]) -> None:
    """Let the stores in scope that are kept for some days after their last use be kept from now on."""
    stores = VectorStore.objects.filter(_unnoticed(), pk__in=scope.order_by().values("pk"))
    stores.update(expires_at=Now() + _Days(F("keep_days")))


def survey(scope: QuerySet[VectorStore]) -> Survey:
    """Count what is in scope. Documents that are being deleted count until their chunks are gone, as do their words."""
    indexed = StoreLanguage.objects.filter(store__in=scope.order_by())
    rows = (
        indexed.annotate(moment=_Snapshot())
        .values_list("store__embedding_model", "language", "moment")
        .annotate(Sum("chunks"), uses=Count("pk", filter=_unnoticed("store__")))
    )
    chunks: dict[uuid.UUID, int] = {}
    languages, unnoticed, moments = set(), 0, {""}
    for model, language, moment, count, uses in rows:
        chunks[model] = chunks.get(model, 0) + count
        languages.add(language)
        unnoticed += uses
        moments.add(moment)
    models = EndpointModel.objects.select_related("endpoint").in_bulk(list(chunks)) if chunks else {}
    return Survey(chunks, frozenset(languages), models, bool(unnoticed), max(moments))


def document_frequencies(scope: QuerySet[VectorStore], terms: Collection[int]) -> dict[int, int]:
    """In how many chunks in scope each of `terms` stands; terms that stand in none are left out."""
    known = TermFrequency.objects.filter(store__in=scope.order_by(), term__in=list(terms))
    return dict(known.order_by().values_list("term").annotate(Sum("chunks")))
