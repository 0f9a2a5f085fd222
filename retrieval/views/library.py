"""The library: its stores, and the documents of one."""

import uuid
from typing import Any

from django.http import HttpRequest, JsonResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone
from django.utils.http import urlencode
from django.views.decorators.http import require_http_methods, require_safe

from core.errors import InvalidInputError
from core.http import answered, signed_in, wants_json
from core.models.grants import Role
from retrieval import selectors, services
from retrieval.selectors import shelf

# Rows that a page asks for at once.
MAX_ROWS = 100


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
    return render(request, "retrieval/library.html", _shelf(request))


def _shelf(request: HttpRequest) -> dict[str, Any]:
    """`?q=` looks for stores and for documents in all of them, `?show=` narrows them to mine, shared or failed."""
    user, words = signed_in(request), selectors.cleaned_words(request.GET.get("q", ""))
    view = request.GET.get("show", "")
    view = view if view in shelf.VIEWS else ""
    page = shelf.store_page(user, view=view, words=words, number=request.GET.get("page"))
    return {
        "page": "library",
        "words": words,
        "view": view,
        "stores": shelf.store_rows(user, page),
        "found": shelf.found_documents(user, words) if words else [],
        "most_found": shelf.MAX_FOUND,
        "page_obj": page,
        "usage": services.quotas.usage(user),
        "pager_query": urlencode([(name, value) for name, value in (("show", view), ("q", words)) if value]),
    }


@require_safe
@answered
def store(request: HttpRequest, store_id: uuid.UUID) -> HttpResponseBase:
    """A store with its documents, a page of them at a time, as `DocumentFilter` reads the address."""
    shown = selectors.get_store(signed_in(request), store_id)
    can_edit = selectors.has_role(signed_in(request), shown, Role.EDITOR)
    wanted, since = selectors.DocumentFilter.from_query(request.GET), timezone.now().timestamp()
    counts = selectors.counts(shown, wanted)
    page = selectors.document_page(shown, wanted, request.GET.get("page"), counts.count)
    context = {
        "page": "library",
        "store": shown,
        "can_edit": can_edit,
        "filter": wanted,
        "counts": counts,
        "documents": [selectors.document_row(document) for document in page],
        "page_obj": page,
        "pager_query": wanted.query(),
        "targets": selectors.move_targets(signed_in(request), shown) if can_edit else [],
        "since": f"{since:.6f}",
        "upload_url": reverse("retrieval:upload", args=[shown.pk]) if can_edit else "",
    }
    return render(request, "retrieval/store.html", context)


@require_safe
@answered
def rows(request: HttpRequest, store_id: uuid.UUID) -> HttpResponseBase:
    """The rows of the documents `?id=` as they are now, and the counts of the list that the rest of the address means.

    `{rows: [{document, html, matches}], counts, count}`, rows and `counts` as HTML; what is gone has no row. A page
    whose documents change asks for them here: rows depend on who looks, and a socket's frame is the same for all.
    """
    shown = selectors.get_store(signed_in(request), store_id)
    can_edit = selectors.has_role(signed_in(request), shown, Role.EDITOR)
    wanted = selectors.DocumentFilter.from_query(request.GET)
    asked = selectors.listed(shown).filter(pk__in=_ids(request.GET.getlist("id")))
    matching = set(wanted.keep(asked).values_list("pk", flat=True))
    changed = [
        {
            "document": str(document.pk),
            "matches": document.pk in matching,
            "html": render_to_string(
                "retrieval/_partials/row.html", {"document": selectors.document_row(document), "can_edit": can_edit}
            ),
        }
        for document in asked
    ]
    counts = selectors.counts(shown, wanted)
    counted = render_to_string("retrieval/_partials/counts.html", {"counts": counts, "filter": wanted})
    return JsonResponse({"rows": changed, "counts": counted, "count": counts.count})


def _ids(given: list[str]) -> list[uuid.UUID]:
    """Raises InvalidInputError for what is no list of ids, or too long a one."""
    if len(given) > MAX_ROWS:
        raise InvalidInputError(f"At most {MAX_ROWS} documents can be asked for at once.")
    try:
        return [uuid.UUID(each) for each in given]
    except ValueError as error:
        raise InvalidInputError("These are no ids of documents.") from error
