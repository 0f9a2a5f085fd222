"""Making vector stores."""

from django.db import connection, transaction

from core.endpoints import default_model
from core.errors import InvalidInputError
from core.models import EndpointModel, User
from retrieval.models import VectorStore
from retrieval.services.names import UNNAMED, one_line

DEFAULT_NAME = "My documents"
_NAME_LENGTH = 200


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
    return _create(user, name, kind=VectorStore.Kind.CONVERSATION)


@transaction.atomic
def ensure_default_store(*, user: User) -> VectorStore:
    """Return the first store of the library that `user` owns; make one where there is none yet."""
    with connection.cursor() as cursor:  # two pages opened at once must not make two
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"default store {user.pk}"])
    own = VectorStore.objects.filter(owner=user, kind=VectorStore.Kind.LIBRARY)
    return own.order_by("created_at", "id").first() or _create(user, DEFAULT_NAME)


def _create(
    user: User,
    name: str,
    *,
    kind: VectorStore.Kind = VectorStore.Kind.LIBRARY,
    description: str = "",
    embedding_model: EndpointModel | None = None,
) -> VectorStore:
    return VectorStore.objects.create(
        owner=user,
        name=one_line(name, limit=_NAME_LENGTH) or UNNAMED,
        kind=kind,
        description=description.replace("\0", "").strip(),
        embedding_model=embedding_model or default_model(EndpointModel.Purpose.EMBEDDING),
    )
