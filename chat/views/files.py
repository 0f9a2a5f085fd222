"""Files that are dropped into a conversation."""

import uuid

from asgiref.sync import async_to_sync
from django.contrib.auth.decorators import login_required
from django.core.files.uploadedfile import UploadedFile
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.template.loader import render_to_string
from django.views.decorators.http import require_POST

from chat.realtime import hints
from chat.services.conversations import upload_to_conversation
from core.errors import InvalidInputError
from core.http import json_errors, signed_in
from retrieval.selectors import document_view


@require_POST
@login_required
@json_errors
def upload(request: HttpRequest, conversation_id: uuid.UUID) -> HttpResponse:
    """Take one file (`file`); `assistant` says with whom the conversation is where this is its beginning.

    Answers 201 with `{document, html, created}`; `created` is false for a content that the conversation has already.
    """
    content = request.FILES.get("file")
    if not isinstance(content, UploadedFile):
        raise InvalidInputError("No file came with this request.")
    result = upload_to_conversation(
        user=signed_in(request),
        conversation_id=conversation_id,
        assistant_id=_assistant(request),
        name=content.name or "",
        content=content,
    )
    # a tab that watches the conversation may not know its store yet
    document = result.document
    hint = {"type": "store.hint", "document": str(document.pk), "store": str(document.store_id)}
    async_to_sync(hints.send)(hints.conversation_group(conversation_id), hint)
    html = render_to_string("retrieval/_partials/document.html", {"document": document_view(document)})
    body = {"document": str(document.pk), "html": html, "created": result.created}
    return JsonResponse(body, status=201)


def _assistant(request: HttpRequest) -> uuid.UUID | None:
    try:
        return uuid.UUID(request.POST["assistant"]) if request.POST.get("assistant") else None
    except ValueError:
        raise InvalidInputError("This assistant is unknown.") from None
