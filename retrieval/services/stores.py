"""Making vector stores, changing their settings, keeping them for longer, and deleting them."""

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import connection, transaction
from django.db.models.functions import Now
from django.utils import timezone

from core import outbox
from core.endpoints import default_model
from core.errors import ConflictError, InvalidInputError, NotFoundError
from core.models import EndpointModel, User
from core.models.grants import Role
from retrieval import ingestion, selectors
from retrieval.models import VectorStore
from retrieval.services.names import UNNAMED, one_line

DEFAULT_NAME = "My documents"
_NAME_LENGTH = 200

# Who else knows what a store is used for: rooms above this one, each with a sentence per kind of use, told to a person.
Uses = Callable[[VectorStore, User], Sequence[str]]
_uses: list[Uses] = []


@dataclass(frozen=True, slots=True)
class StoreSettings:
    """What editors of a store may change. What decides how documents are indexed only while there are none."""

    name: str
    description: str
    dense_share: float | None
    chunk_tokens: int
    chunk_overlap: int
    embedding_model: EndpointModel


def create_store(
    *, user: User, name: str, description: str = "", embedding_model: EndpointModel | None = None
) -> VectorStore:
    """Make a store of the library that belongs to `user`, with the site's embedding model unless one is given.

    Raises InvalidInputError without a name, NoModelError where the site has no usable embedding model.
    """
    if not name.strip():
        raise InvalidInputError("A vector store needs a name.")
    return _create(user, name, description=description, embedding_model=embedding_model)


def create_conversation_store(*, user: User, name: str) -> VectorStore:
    """Make the store for what `user` drops into one conversation. Raises NoModelError like `create_store`."""
    return _create(user, name, kind=VectorStore.Kind.CONVERSATION, keep_days=settings.CONVERSATION_FILES_DAYS or None)


def create_assistant_store(*, name: str, governor: uuid.UUID) -> VectorStore:
    """Make the store for an assistant's own files, which its editors look after. Raises NoModelError."""
    return VectorStore.objects.create(
        name=one_line(name, limit=_NAME_LENGTH) or UNNAMED,
        kind=VectorStore.Kind.ASSISTANT,
        governor=governor,
        embedding_model=default_model(EndpointModel.Purpose.EMBEDDING),
    )


@transaction.atomic
def update_store(*, user: User, store_id: uuid.UUID, changed: StoreSettings) -> VectorStore:
    """Change the settings of a store; needs editor on it.

    Raises NotFoundError, PermissionDeniedError, InvalidInputError with a sentence per field, and ConflictError for
    another way of indexing than that of the documents which are there.
    """
    store = _locked(selectors.get_store(user, store_id, Role.EDITOR))
    indexing = (changed.chunk_tokens, changed.chunk_overlap, changed.embedding_model.pk)
    if indexing != (store.chunk_tokens, store.chunk_overlap, store.embedding_model_id) and store.documents.exists():
        raise ConflictError("Documents that are there were indexed in another way: they have to be indexed anew.")
    store.name = one_line(changed.name, limit=_NAME_LENGTH)
    store.description = changed.description.replace("\0", "").strip()
    store.dense_share = changed.dense_share
    store.chunk_tokens, store.chunk_overlap = changed.chunk_tokens, changed.chunk_overlap
    store.embedding_model = changed.embedding_model
    try:
        store.full_clean(exclude=["owner"])
    except ValidationError as error:
        raise InvalidInputError(" ".join(error.messages)) from error
    store.save()
    return store


@transaction.atomic
def keep_store(
    *, user: User, store_id: uuid.UUID, until: datetime | None = None, days: int | None = None
) -> VectorStore:
    """Keep a store for ever, until a date, or until so many days after its last use; needs owner on it.

    One that has expired is searched again from now on. Raises InvalidInputError for what lies in the past.
    """
    store = _locked(selectors.get_store(user, store_id, Role.OWNER))
    if days is not None:
        until = timezone.now() + timedelta(days=days)
    if until is not None and until <= timezone.now():
        raise InvalidInputError("Give a day to come.")
    store.expires_at, store.keep_days = until, days
    try:
        store.full_clean(exclude=["owner"])
    except ValidationError as error:
        raise InvalidInputError(" ".join(error.messages)) from error
    store.save(update_fields=["expires_at", "keep_days", "updated_at"])
    return store


@transaction.atomic
def delete_store(*, user: User, store_id: uuid.UUID) -> None:
    """Delete a store of the library; needs owner on it. From here on nobody finds, searches or sees it.

    A worker removes what was in it. Quotes in old answers stay. Raises NotFoundError, PermissionDeniedError, and
    ConflictError for what goes with something else.
    """
    store = selectors.get_store(user, store_id, Role.OWNER)
    if store.kind != VectorStore.Kind.LIBRARY:
        raise ConflictError("This vector store goes with what it belongs to.")
    _delete(store.pk, owner=user)


def delete_expired() -> int:
    """Delete the stores that expired so long ago that nobody wants them back; returns how many."""
    grace = timedelta(days=settings.EXPIRED_STORES_DAYS)
    expired = VectorStore.objects.filter(deleted_at=None, expires_at__lt=Now() - grace)
    return sum(_delete(store) for store in expired.values_list("pk", flat=True)[:1000])


def register_uses(uses: Uses) -> None:
    """Say what else a store is used for: shown before one is deleted."""
    _uses.append(uses)


def uses_of(store: VectorStore, user: User) -> list[str]:
    """Sentences about what uses the store besides the library, without names that `user` may not know."""
    return [sentence for uses in _uses for sentence in uses(store, user)]


def _locked(store: VectorStore) -> VectorStore:
    """The store as it is now, for one at a time. Raises NotFoundError where it has just been deleted."""
    found = VectorStore.objects.select_for_update(no_key=True).filter(pk=store.pk, deleted_at=None).first()
    if found is None:
        raise NotFoundError("There is no such vector store.")
    return found


@transaction.atomic
def _delete(store: uuid.UUID, *, owner: User | None = None) -> bool:
    """Mark it; a trigger asks for the work too, whoever does it. False where somebody else has just done it."""
    if not VectorStore.objects.filter(pk=store, deleted_at=None).update(deleted_at=Now()):
        return False
    outbox.enqueue(kind=ingestion.REMOVE_STORE, subject=store, owner=owner)
    return True


@transaction.atomic
def ensure_default_store(*, user: User) -> VectorStore:
    """Return the first store of the library that `user` owns; make one where there is none yet."""
    with connection.cursor() as cursor:  # two pages opened at once must not make two
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"default store {user.pk}"])
    own = VectorStore.objects.filter(owner=user, kind=VectorStore.Kind.LIBRARY, deleted_at=None)
    return own.order_by("created_at", "id").first() or _create(user, DEFAULT_NAME)


def _create(
    user: User,
    name: str,
    *,
    kind: VectorStore.Kind = VectorStore.Kind.LIBRARY,
    description: str = "",
    embedding_model: EndpointModel | None = None,
    keep_days: int | None = None,
) -> VectorStore:
    return VectorStore.objects.create(
        owner=user,
        name=one_line(name, limit=_NAME_LENGTH) or UNNAMED,
        kind=kind,
        description=description.replace("\0", "").strip(),
        embedding_model=embedding_model or default_model(EndpointModel.Purpose.EMBEDDING),
        keep_days=keep_days,
        expires_at=timezone.now() + timedelta(days=keep_days) if keep_days else None,
    )
