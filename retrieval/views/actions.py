"""What can be done with one document. Scripts get `{document, …}`, forms are led to where the document is then."""

import uuid
from typing import Any

from django.contrib import messages
from django.core.files.uploadedfile import UploadedFile
from django.http import HttpRequest, JsonResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.views.decorators.http import require_POST

from core.errors import InvalidInputError
from core.http import answered, signed_in, wants_json
from core.models.grants import Role
from retrieval import selectors, services
from retrieval.models import Document
from retrieval.views.answers import document_html
from retrieval.views.receiving import receives_file


@require_POST
@answered
def retry(request: HttpRequest, document_id: uuid.UUID) -> HttpResponseBase:
    again = services.retry_document(user=signed_in(request), document_id=document_id)
    if wants_json(request):
        return JsonResponse({"document": str(again.pk), "html": document_html(again)})
    return redirect("retrieval:store", again.store_id)


@require_POST
@answered
def delete(request: HttpRequest, document_id: uuid.UUID) -> HttpResponseBase:
    store_id = selectors.get_document(signed_in(request), document_id).store_id
    services.delete_document(user=signed_in(request), document_id=document_id)
    if wants_json(request):
        return JsonResponse({"document": str(document_id), "deleted": True})
    return redirect("retrieval:store", store_id)


@require_POST
@answered
def rename(request: HttpRequest, document_id: uuid.UUID) -> HttpResponseBase:
    """POST `name`."""
    name = request.POST.get("name", "")
    return _done(request, services.rename_document(user=signed_in(request), document_id=document_id, name=name))


@require_POST
@answered
def move(request: HttpRequest, document_id: uuid.UUID) -> HttpResponseBase:
    """POST `store`, the id of another vector store."""
    try:
        store_id = uuid.UUID(request.POST.get("store", ""))
    except ValueError as error:
        raise InvalidInputError("Choose a vector store.") from error
    return _done(request, services.move_document(user=signed_in(request), document_id=document_id, store_id=store_id))


@require_POST
@answered
def attributes(request: HttpRequest, document_id: uuid.UUID) -> HttpResponseBase:
    """POST `attributes`: all that the document is to have, one a line, or as a JSON object."""
    text = request.POST.get("attributes", "")
    wanted = services.read_attributes(text)
    return _done(request, services.set_attributes(user=signed_in(request), document_id=document_id, attributes=wanted))


@require_POST
@answered
def dismiss(request: HttpRequest, document_id: uuid.UUID) -> HttpResponseBase:
    """Give up what was to take the document's place."""
    return _done(request, services.dismiss_replacement(user=signed_in(request), document_id=document_id))


def _editable(request: HttpRequest, document_id: uuid.UUID) -> Document:
    return selectors.get_document(signed_in(request), document_id, Role.EDITOR)


@receives_file(_editable)
def replace(request: HttpRequest, document_id: uuid.UUID, content: "UploadedFile[Any]") -> HttpResponseBase:
    """POST multipart `file`, the new content; the document takes that file's name."""
    result = services.replace_document(
        user=signed_in(request), document_id=document_id, name=content.name or "", content=content
    )
    if not result.created and not wants_json(request):
        messages.info(request, "The document has this content already.")
    return _done(request, result.document)


def _done(request: HttpRequest, document: Document) -> HttpResponseBase:
    if wants_json(request):
        return JsonResponse({"document": str(document.pk), "store": str(document.store_id)})
    return redirect(document)
