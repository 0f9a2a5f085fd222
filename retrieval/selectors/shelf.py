"""The library as a whole: the stores that a person may read, what is in them, and documents by name in all of them."""

import uuid
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from django.core.paginator import Page, Paginator
from django.db.models import Count, Exists, Max, OuterRef, Q, QuerySet, Sum
from django.db.models.functions import Lower

from core.models import Grant, User
from core.models.grants import Role, granted_ids
from retrieval.models import Document, VectorStore
from retrieval.selectors.filters import GROUP_OF, DocumentFilter
from retrieval.selectors.listing import DocumentRow, document_row, person_name, with_rows

STORES_PER_PAGE = 50
# Documents that a search through all stores shows.
MAX_FOUND = 50
# What the list of stores can be narrowed to.
VIEWS = ("", "mine", "shared", "failed")


@dataclass(slots=True)
class Contents:
    """What is in a store: documents by group of states, bytes, tokens, and when any of it last changed."""

    groups: dict[str, int] = field(default_factory=dict)
    size: int = 0
    tokens: int = 0
    changed: datetime | None = None

    @property
    def documents(self) -> int:
        return sum(self.groups.values())


@dataclass(frozen=True, slots=True)
class StoreRow:
    """A store in the library. `owner` is empty for one's own; `shares` is how many grants there are on that."""

    id: uuid.UUID
    name: str
    description: str
    url: str
    owner: str
    is_mine: bool
    shares: int
    contents: Contents
    expired: bool
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class Found:
    """A document that a search through all stores found, and where: `store` is empty for a conversation's file."""

    document: DocumentRow
    store: str
    store_url: str


def store_page(user: User, *, view: str, words: str, number: str | None) -> Page[VectorStore]:
    """The stores of the library that `user` may read, by name, narrowed to one of VIEWS and to those with `words`."""
    stores: QuerySet[VectorStore] = VectorStore.objects.visible_to(user).filter(kind=VectorStore.Kind.LIBRARY)
    for word in words.split():
        stores = stores.filter(Q(name__icontains=word) | Q(description__icontains=word))
    if view == "mine":
        stores = stores.filter(owner=user)
    elif view == "shared":
        stores = stores.filter(pk__in=granted_ids(VectorStore, user, Role.READER)).exclude(owner=user)
    elif view == "failed":
        failed = Document.objects.live().filter(store=OuterRef("pk"), state=Document.State.FAILED)
        stores = stores.filter(Exists(failed))
    return Paginator(stores.select_related("owner").order_by(Lower("name"), "id"), STORES_PER_PAGE).get_page(number)


def store_rows(user: User, stores: Iterable[VectorStore]) -> list[StoreRow]:
    """What is shown of stores: two statements for all of them."""
    listed = list(stores)
    held = contents([store.pk for store in listed])
    shares = _shares([store.pk for store in listed if store.owner_id == user.pk])
    return [
        StoreRow(
            id=store.pk,
            name=store.name,
            description=store.description,
            url=store.get_absolute_url(),
            owner=person_name(store.owner) if store.owner and store.owner_id != user.pk else "",
            is_mine=store.owner_id == user.pk,
            shares=shares.get(store.pk, 0),
            contents=held[store.pk],
            expired=store.is_expired,
            expires_at=store.expires_at if store.is_expired or store.expires_soon else None,
        )
        for store in listed
    ]


def found_documents(user: User, words: str) -> list[Found]:
    """The latest documents with all of `words` in name or title, wherever `user` may read them; at most MAX_FOUND."""
    # in steps: the planner takes words to be rare, and would go through all documents once for each store
    stores = list(VectorStore.objects.visible_to(user).values_list("pk", flat=True))
    kept = DocumentFilter(words=words).keep(Document.objects.live().filter(store__in=stores))
    ids = list(kept.order_by("-created_at", "id").values_list("pk", flat=True)[:MAX_FOUND])
    shown = with_rows(Document.objects.live().filter(pk__in=ids, store__in=stores)).select_related("store")
    return [
        Found(
            document_row(document),
            document.store.name if document.store.kind != VectorStore.Kind.CONVERSATION else "",
            document.store.get_absolute_url(),
        )
        for document in shown.order_by("-created_at", "id")
    ]


def contents(stores: list[uuid.UUID]) -> dict[uuid.UUID, Contents]:
    """What is in each of `stores`, by one statement."""
    grouped = Document.objects.live().filter(store__in=stores).order_by().values_list("store", "state")
    sums = grouped.annotate(
        Count("pk"), Sum("file__size"), Sum("token_count"), Max("created_at"), Max("ready_at"), Max("updated_at")
    )
    found: dict[uuid.UUID, Contents] = defaultdict(Contents)
    for store, state, count, size, tokens, *moments in sums:
        held = found[store]
        held.groups[GROUP_OF[state]] = held.groups.get(GROUP_OF[state], 0) + count
        held.size += int(size or 0)
        held.tokens += int(tokens or 0)
        known = [moment for moment in (held.changed, *moments) if moment]
        held.changed = max(known, default=None)
    return found


def _shares(stores: list[uuid.UUID]) -> dict[uuid.UUID, int]:
    of_stores = Grant.objects.filter(content_type__app_label="retrieval", content_type__model="vectorstore")
    counted = of_stores.filter(object_id__in=stores).order_by().values_list("object_id").annotate(Count("pk"))
    return dict(counted)
