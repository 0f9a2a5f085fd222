"""The library: its stores, and the documents of one."""

import uuid

from django.core.paginator import Paginator
from django.http import HttpRequest, JsonResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_safe

from core.http import answered, signed_in, wants_json
from core.models.grants import Role
from retrieval import selectors, services

DOCUMENTS_PER_PAGE = 50


@require_http_methods(["GET", "HEAD", "POST"])
@answered
def library(request: HttpRequest) -> HttpResponseBase:
    """GET lists the stores. POST `name` makes one: 201 `{store, url}` or the way to it."""
    if request.method == "POST":
        made = services.create_store(
            user=signed_in(request),
            name=request.POST.get("name", ""),
            description=request.POST.get("description", ""),
        )
        if wants_json(request):
            return JsonResponse({"store": str(made.pk), "url": made.get_absolute_url()}, status=201)
        return redirect(made)
    stores = selectors.library_stores(signed_in(request))
    return render(request, "retrieval/library.html", {"page": "library", "stores": stores, "store": None})


@require_safe
@answered
def store(request: HttpRequest, store_id: uuid.UUID) -> HttpResponseBase:
    """A store with its documents, a page of them at a time."""
    shown = selectors.get_store(signed_in(request), store_id)
    can_edit = selectors.has_role(signed_in(request), shown, Role.EDITOR)
    page = Paginator(selectors.store_documents(shown), DOCUMENTS_PER_PAGE).get_page(request.GET.get("page"))
    context = {
        "page": "library",
        "store": shown,
        "can_edit": can_edit,
        "documents": [selectors.document_view(document) for document in page],
        "page_obj": page,
        "upload_url": reverse("retrieval:upload", args=[shown.pk]) if can_edit else "",
    }
    return render(request, "retrieval/library.html", context)
