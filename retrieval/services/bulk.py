"""One thing done to many documents: each by its own service, so one that cannot be done holds up none of the others."""

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from django.db.models import QuerySet

from core.errors import InvalidInputError, ParleyError
from core.models import User
from core.models.grants import Role
from retrieval import selectors
from retrieval.models import Document
from retrieval.services.attributes import change_attributes
from retrieval.services.documents import delete_document, retry_document
from retrieval.services.moving import move_document

# Documents that one call takes on: it is answered soon, and whoever has more goes on after the last one.
SLICE = 50


def _change_attributes(*, user: User, document_id: uuid.UUID, attributes: Mapping[str, Any]) -> None:
    change_attributes(user=user, document_ids=[document_id], attributes=attributes)


_ACTIONS: dict[str, Callable[..., Any]] = {
    "delete": delete_document,
    "retry": retry_document,
    "move": move_document,
    "attributes": _change_attributes,
}


@dataclass(frozen=True, slots=True)
class Refusal:
    """A document that it was not done to, and the sentence why."""

    document: uuid.UUID
    name: str
    message: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """`done` and `refused` of this call; `left` documents come `after` the id of the last one."""

    done: int
    refused: list[Refusal]
    left: int
    after: uuid.UUID | None


def act_on_documents(
    *,
    user: User,
    store_id: uuid.UUID,
    action: str,
    chosen: Sequence[uuid.UUID] | selectors.DocumentFilter,
    after: uuid.UUID | None = None,
    arguments: Mapping[str, Any] | None = None,
) -> Outcome:
    """Do `action` (a key of _ACTIONS) to the next SLICE documents of those chosen by id or by a filter, by their ids.

    `arguments` go to the service of the action: `store_id` to move, `attributes` to add to those there are.
    Trying again all that a filter finds leaves out what has not failed. Raises NotFoundError and
    PermissionDeniedError where `user` is no editor of the store, InvalidInputError for an action that is none.
    """
    service = _ACTIONS.get(action)
    if service is None:
        raise InvalidInputError("There is no such action.")
    store = selectors.get_store(user, store_id, Role.EDITOR)
    documents = selectors.store_documents(store)
    if isinstance(chosen, selectors.DocumentFilter):
        documents = chosen.keep(documents)
        if action == "retry":
            documents = documents.filter(state=Document.State.FAILED)
    else:
        documents = documents.filter(pk__in=chosen)
    return _next_slice(partial(service, user=user, **(arguments or {})), documents, after)


def _next_slice(service: Callable[..., Any], documents: QuerySet[Document], after: uuid.UUID | None) -> Outcome:
    ahead = documents.order_by("pk")
    if after is not None:
        ahead = ahead.filter(pk__gt=after)
    left = ahead.count()
    done, refused, last = 0, [], None
    for last, name in ahead.values_list("pk", "name")[:SLICE]:
        left -= 1
        try:
            service(document_id=last)
            done += 1
        except ParleyError as error:
            refused.append(Refusal(last, name, error.message))
    return Outcome(done, refused, max(left, 0), last)
