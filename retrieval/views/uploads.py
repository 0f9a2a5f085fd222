"""Taking a file into a store of the library, from a browser or a script."""

import uuid
from typing import Any

from django.contrib import messages
from django.core.files.uploadedfile import UploadedFile
from django.http import HttpRequest, JsonResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.views.decorators.http import require_POST

from core.errors import InvalidInputError
from core.http import answered, answered_as_json, signed_in, wants_json
from core.models.grants import Role
from retrieval import selectors, services
from retrieval.models import Archive, VectorStore
from retrieval.views.answers import document_html
from retrieval.views.receiving import receives_file


def _store(request: HttpRequest, store_id: uuid.UUID) -> VectorStore:
    return selectors.get_store(signed_in(request), store_id, Role.EDITOR)


@receives_file(_store)
def upload(request: HttpRequest, store_id: uuid.UUID, content: "UploadedFile[Any]") -> HttpResponseBase:
    """POST multipart `file`: 201 (200 for content that is there already) `{document, html, created, kept_as}`.

    `path` may say in which folders the file was. An archive is answered with 202 `{archive}`, and `states` says how far
    it is.
    """
    store = _store(request, store_id)
    path = request.POST.get("path", "")
    result = services.take(user=signed_in(request), store=store, name=content.name or "", content=content, path=path)
    if isinstance(result, Archive):
        if wants_json(request):
            return JsonResponse({"archive": str(result.pk), "created": True}, status=202)
        messages.info(request, "The archive is being unpacked.")
        return redirect(store)
    if wants_json(request):
        document = result.document
        answer = {
            "document": str(document.pk),
            "html": document_html(document),
            "created": result.created,
            "kept_as": document.name,
        }
        return JsonResponse(answer, status=201 if result.created else 200)
    if not result.created:
        messages.info(request, f"This file is in the store already, as “{result.document.name}”.")
    return redirect(store)


@require_POST
@answered_as_json
def states(request: HttpRequest, store_id: uuid.UUID) -> HttpResponseBase:
    """How far documents and one's archives are: POST `ids` with commas, answered with what `_state` says for each.

    What is gone is left out.
    """
    store = selectors.get_store(signed_in(request), store_id)
    documents = selectors.store_documents(store).filter(pk__in=_ids(request))
    told = {str(document.pk): _state(selectors.document_view(document)) for document in documents}
    for archive in selectors.archive_views(signed_in(request), store, _ids(request)):
        told[str(archive.id)] = _state(archive)
    return JsonResponse(told)


def _state(view: selectors.DocumentView | selectors.ArchiveView) -> dict[str, Any]:
    return {"state": view.state, "label": view.label, "message": view.message, "retryable": view.retryable}


def _ids(request: HttpRequest) -> list[uuid.UUID]:
    try:
        return [uuid.UUID(part) for part in request.POST.get("ids", "").split(",")]
    except ValueError:
        raise InvalidInputError("The ids have to be UUIDs with commas.") from None


@require_POST
@answered
def retry_failed(request: HttpRequest, store_id: uuid.UUID) -> HttpResponseBase:
    """Try again what failed for a reason that may pass: `{retried}`, or the way back to the store."""
    retried = services.retry_failed(user=signed_in(request), store_id=store_id)
    if wants_json(request):
        return JsonResponse({"retried": retried})
    return redirect("retrieval:store", store_id)
