"""Vector stores, and the documents of one."""

import uuid

from django.http import HttpRequest, JsonResponse
from django.http.response import HttpResponseBase

from core.api import address, listed
from core.errors import InvalidInputError
from core.models import User
from core.models.grants import Role
from retrieval import selectors, services
from retrieval.api.shapes import document_json, store_json
from retrieval.models import Document
from retrieval.views.receiving import received_file


def _list_stores(request: HttpRequest, *, user: User) -> HttpResponseBase:
    stores = selectors.library_stores(user).select_related("embedding_model")
    if name := request.GET.get("name", ""):
        stores = stores.filter(name=name)
    return listed(request, stores, store_json)


def _create_store(request: HttpRequest, *, user: User) -> HttpResponseBase:
    """POST a form with `name`, and `description` if there is one."""
    name, description = request.POST.get("name", ""), request.POST.get("description", "")
    made = services.create_store(user=user, name=name, description=description)
    return JsonResponse(store_json(made), status=201)


def _show_store(_request: HttpRequest, *, user: User, store_id: uuid.UUID) -> HttpResponseBase:
    return JsonResponse(store_json(selectors.get_store(user, store_id)))


def _list_documents(request: HttpRequest, *, user: User, store_id: uuid.UUID) -> HttpResponseBase:
    documents = selectors.store_documents(selectors.get_store(user, store_id))
    if state := request.GET.get("state", ""):
        if state not in Document.State.values:
            raise InvalidInputError(f"`state` is one of {', '.join(Document.State.values)}.")
        documents = documents.filter(state=state)
    if sha256 := request.GET.get("sha256", ""):
        documents = documents.filter(sha256=sha256.lower())
    return listed(request, documents, document_json)


def _upload(request: HttpRequest, *, user: User, store_id: uuid.UUID) -> HttpResponseBase:
    """POST a multipart form with one `file`: 201, or 200 with the document that has this content already."""
    store = selectors.get_store(user, store_id, Role.EDITOR)
    content = received_file(request)
    result = services.upload(user=user, store=store, name=content.name or "", content=content)
    document = selectors.get_document(user, result.document.pk)
    return JsonResponse(document_json(document), status=201 if result.created else 200)


stores = address(GET=_list_stores, POST=_create_store)
store = address(GET=_show_store)
documents = address(GET=_list_documents, POST=_upload)
