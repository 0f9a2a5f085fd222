"""Files that are dropped into a conversation."""

import uuid
from typing import Any

from asgiref.sync import async_to_sync
from django.core.files.uploadedfile import UploadedFile
from django.http import HttpRequest, JsonResponse
from django.http.response import HttpResponseBase

from chat.models import Conversation
from chat.realtime import hints
from chat.services.conversations import upload_to_conversation
from core.errors import InvalidInputError, NotFoundError
from core.http import signed_in
from retrieval.views.answers import document_html
from retrieval.views.receiving import receives_file


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
        assistant_id=_assistant(request),
        name=content.name or "",
        content=content,
    )
    # a tab that watches the conversation may not know its store yet
    document = result.document
    named = {"conversation": conversation_id, "document": document.pk, "store": document.store_id}
    hint = {"type": "store.hint", **{name: str(value) for name, value in named.items()}}
    async_to_sync(hints.send)(hints.conversation_group(conversation_id), hint)
    body = {"document": str(document.pk), "html": document_html(document), "created": result.created}
    return JsonResponse(body, status=201 if result.created else 200)


def _assistant(request: HttpRequest) -> uuid.UUID | None:
    try:
        return uuid.UUID(request.POST["assistant"]) if request.POST.get("assistant") else None
    except ValueError:
        raise InvalidInputError("This assistant is unknown.") from None
