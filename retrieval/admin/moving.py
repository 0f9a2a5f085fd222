"""The page of the admin on which one says where documents are moved to."""

import uuid
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin import helpers
from django.db.models import Q, QuerySet
from django.db.models.functions import Lower
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _

from core.http import signed_in
from core.models import User
from core.models.grants import Role
from retrieval import selectors, services
from retrieval.admin.acting import for_each, too_many
from retrieval.models import Document, VectorStore

# Stores to choose from; among more, one looks by name or owner.
MOST_TARGETS = 50


def move_page(
    page: "admin.ModelAdmin[Any]", request: HttpRequest, documents: QuerySet[Document]
) -> HttpResponse | None:
    """Ask for a store; with `move` and a `target`, move each document there. None: back to the list."""
    if too_many(page, request, documents):
        return None
    person = signed_in(request)
    if "move" in request.POST:
        if target := _uuid(request.POST.get("target", "")):
            for_each(
                page,
                request,
                documents.values_list("pk", "name"),
                lambda pk: services.move_document(user=person, document_id=pk, store_id=target),
                _("%d moved, or on the way: then its state says so."),
            )
            return None
        page.message_user(request, _("Choose a vector store."), messages.WARNING)
    words = selectors.cleaned_words(request.POST.get("words", ""))
    targets = list(_targets(person, words)[: MOST_TARGETS + 1])
    context: dict[str, Any] = {
        **page.admin_site.each_context(request),
        "title": _("Move to a vector store"),
        "opts": page.opts,
        "documents": documents.select_related("store"),
        "checkbox": helpers.ACTION_CHECKBOX_NAME,
        "words": words,
        "targets": targets[:MOST_TARGETS],
        "more": len(targets) > MOST_TARGETS,
        "most": MOST_TARGETS,
    }
    return TemplateResponse(request, "admin/retrieval/document/move.html", context)


def _targets(person: User, words: str) -> QuerySet[VectorStore]:
    """The stores of the library that `person` may put documents into, by name."""
    stores: QuerySet[VectorStore] = VectorStore.objects.visible_to(person, Role.EDITOR)
    stores = stores.filter(kind=VectorStore.Kind.LIBRARY)
    for word in words.split():
        stores = stores.filter(Q(name__icontains=word) | Q(owner__email__icontains=word))
    return stores.select_related("owner").order_by(Lower("name"), "id")


def _uuid(text: str) -> uuid.UUID | None:
    try:
        return uuid.UUID(text)
    except ValueError:
        return None
