"""What people note of documents, for filters: names with texts, numbers, true or false, dates, or lists of texts.

The limits are those that the Assistants API had for a file's attributes. A date is a text like 2026-11-21.
"""

import json
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from django.db import transaction

from core.errors import InvalidInputError, NotFoundError
from core.models import User
from core.models.grants import Role
from retrieval import realtime
from retrieval.models import Document
from retrieval.search.filters import BUILT_IN, MAX_KEY_CHARS, MAX_VALUE_CHARS, fit
from retrieval.services.documents import locked

MAX_ATTRIBUTES = 16
# What one list may have, and what is changed at once.
MAX_ITEMS = 32
MAX_DOCUMENTS = 1000


@transaction.atomic
def set_attributes(*, user: User, document_id: uuid.UUID, attributes: Mapping[str, Any]) -> Document:
    """Let `attributes` be all that a document has; needs editor on its store.

    Raises NotFoundError, PermissionDeniedError, and InvalidInputError for what cannot be an attribute.
    """
    document = locked(user, document_id)
    _set(document, dict(attributes))
    return document


@transaction.atomic
def change_attributes(*, user: User, document_ids: Sequence[uuid.UUID], attributes: Mapping[str, Any]) -> int:
    """Give these documents `attributes` beside those they have; None takes one away. Returns how many were changed.

    All or none: raises as `set_attributes` does for the first that cannot be changed.
    """
    wanted = set(document_ids)
    if len(wanted) > MAX_DOCUMENTS:
        raise InvalidInputError(f"At most {MAX_DOCUMENTS:,} documents can be changed at once.")
    rows = Document.objects.live().visible_to(user, Role.EDITOR).filter(pk__in=wanted).order_by("pk")
    documents = list(rows.select_for_update(of=("self",)))
    if len(documents) < len(wanted):
        raise NotFoundError("Not all of these documents are there, and yours to change.")
    for document in documents:
        changed = {**document.attributes, **attributes}
        _set(document, {key: value for key, value in changed.items() if value is not None})
    return len(documents)


def read_attributes(text: str) -> dict[str, Any]:
    """The attributes that somebody wrote down, one a line like `area: HR` or all as a JSON object.

    The opposite of `written`. A value that JSON knows as a number, true, false, a list or a text in quotes is that, any
    other a text as it stands. Raises InvalidInputError.
    """
    whole = _read(text.strip())
    if isinstance(whole, dict):
        return whole
    attributes: dict[str, Any] = {}
    for line in filter(None, map(str.strip, text.split("\n"))):
        key, colon, value = (part.strip() for part in line.partition(":"))
        if not colon or not key or not value:
            raise InvalidInputError(f"Write one attribute a line, like “area: HR”. This is none: “{line[:80]}”.")
        if key in attributes:
            raise InvalidInputError(f"“{key}” stands there twice.")
        attributes[key] = _read(value)
    return attributes


def written(attributes: Mapping[str, Any]) -> str:
    """These attributes as `read_attributes` takes them."""
    return "\n".join(f"{key}: {_written(value)}" for key, value in attributes.items())


def check_attributes(attributes: Mapping[str, Any], *, known: Mapping[str, Any]) -> None:
    """Raise InvalidInputError for what cannot be the attributes of a document; what is `known` of it may stay."""
    if len(attributes) > MAX_ATTRIBUTES:
        raise InvalidInputError(f"A document has at most {MAX_ATTRIBUTES} attributes.")
    for key, value in attributes.items():
        if not isinstance(key, str) or not 1 <= len(key) <= MAX_KEY_CHARS or not fit(key) or not _is_name(key):
            raise InvalidInputError(f"The name of an attribute has 1 to {MAX_KEY_CHARS} characters, and no colon.")
        if key in BUILT_IN:
            raise InvalidInputError(f"“{key}” is known of every document and cannot be set.")
        if not _is_value(value) and (key not in known or value != known[key]):
            raise InvalidInputError(
                f"“{key}” has to be a text of at most {MAX_VALUE_CHARS} characters, a number, true or false, "
                f"or a list of at most {MAX_ITEMS} texts."
            )


def _is_name(key: str) -> bool:
    """Whether it can be told from its value, and from an object, where it is written down."""
    return key == " ".join(key.split()) and ":" not in key and not key.startswith("{")


def _read(value: str) -> object:
    try:
        found = json.loads(value, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return value
    return value if found is None else found


def _no_constant(name: str) -> object:
    """NaN and the like are no JSON, though Python reads them."""
    raise ValueError(name)


def _written(value: object) -> str:
    is_plain = isinstance(value, str) and value == " ".join(value.split()) != "" and _read(value) == value
    return value if is_plain and isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _is_value(value: object) -> bool:
    if isinstance(value, list):
        return len(value) <= MAX_ITEMS and all(isinstance(one, str) and fit(one) for one in value)
    return isinstance(value, str | int | float) and fit(value)


def _set(document: Document, attributes: dict[str, Any]) -> None:
    check_attributes(attributes, known=document.attributes)
    document.attributes = attributes
    document.save(update_fields=["attributes", "updated_at"])
    realtime.document_changed(document.pk, document.store_id)
