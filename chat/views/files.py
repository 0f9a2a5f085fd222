"""Files that are dropped into a conversation."""

import uuid
from typing import Any

from asgiref.sync import async_to_sync
from django.core.files.uploadedfile import UploadedFile
from django.http import HttpRequest, JsonResponse
from django.http.response import HttpResponseBase
from django.views.decorators.http import require_http_methods

from chat.models import Conversation
from chat.realtime import hints
from chat.services.conversations import begin_conversation_upload, upload_to_conversation
from core.errors import InvalidInputError, NotFoundError
from core.http import signed_in
from retrieval.views import tus
from retrieval.views.answers import document_html
from retrieval.views.receiving import receives_file
from retrieval.views.resumable import begun


def _not_foreign(request: HttpRequest, conversation_id: uuid.UUID) -> None:
    """A conversation may be new, but not somebody else's."""
    if Conversation.objects.filter(id=conversation_id).exclude(user=signed_in(request)).exists():
        raise NotFoundError("There is no such conversation.")


@receives_file(_not_foreign)
def upload(request: HttpRequest, conversation_id: uuid.UUID, content: "UploadedFile[Any]") -> HttpResponseBase:
    """Take one file (`file`); `assistant` says with whom the conversation is where this is its beginning.

    Answers 201 with `{document, html, created}`, or 200 for a content that the conversation has already.
    """
    result = upload_to_conversation(
        user=signed_in(request),
        conversation_id=conversation_id,
        assistant_id=_assistant(request.POST.get("assistant", "")),
        name=content.name or "",
        content=content,
    )
    document = result.document
    _tell(conversation_id, document.pk, document.store_id)
    body = {
        "document": str(document.pk),
        "html": document_html(document),
        "created": result.created,
        "kept_as": document.name,
    }
    return JsonResponse(body, status=201 if result.created else 200)


@require_http_methods(["POST", "OPTIONS"])
@tus.speaks_tus
def begin(request: HttpRequest, conversation_id: uuid.UUID) -> HttpResponseBase:
    """POST begins an upload in parts, as for a store of the library; its metadata may name the `assistant`."""
    _not_foreign(request, conversation_id)
    upload = begin_conversation_upload(
        user=signed_in(request),
        conversation_id=conversation_id,
        assistant_id=_assistant(tus.metadata(request).get("assistant", "")),
        file=tus.announced(request),
    )
    # the document that it will become has its id
    _tell(conversation_id, upload.pk, upload.store_id)
    return begun(upload)


def _tell(conversation: uuid.UUID, document: uuid.UUID, store: uuid.UUID) -> None:
    """A tab that watches the conversation may not know its store yet."""
    named = {"conversation": conversation, "document": document, "store": store}
    hint = {"type": "store.hint", **{name: str(value) for name, value in named.items()}}
    async_to_sync(hints.send)(hints.conversation_group(conversation), hint)


def _assistant(named: str) -> uuid.UUID | None:
    try:
        return uuid.UUID(named) if named else None
    except ValueError:
        raise InvalidInputError("This assistant is unknown.") from None
