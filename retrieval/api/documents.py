"""One document: how far it is, trying again, removing it, and the file itself."""

import uuid

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase

from core.api import address
from core.models import User
from retrieval import selectors, services
from retrieval.api.shapes import document_json
from retrieval.views.originals import original


def _show(_request: HttpRequest, *, user: User, document_id: uuid.UUID) -> HttpResponseBase:
    return JsonResponse(document_json(selectors.get_document(user, document_id)))


def _delete(_request: HttpRequest, *, user: User, document_id: uuid.UUID) -> HttpResponseBase:
    """204: no search finds it from now on; a worker removes text, chunks, vectors and file."""
    services.delete_document(user=user, document_id=document_id)
    return HttpResponse(status=204)


def _retry(_request: HttpRequest, *, user: User, document_id: uuid.UUID) -> HttpResponseBase:
    return JsonResponse(document_json(services.retry_document(user=user, document_id=document_id)))


def _file(request: HttpRequest, *, user: User, document_id: uuid.UUID) -> HttpResponseBase:
    return original(request, selectors.get_document(user, document_id))


document = address(GET=_show, DELETE=_delete)
retry = address(POST=_retry)
file = address(GET=_file)
