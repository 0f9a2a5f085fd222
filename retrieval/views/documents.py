"""One document: its text, and what can be done with it."""

import uuid

from django.core.paginator import Paginator
from django.http import HttpRequest, JsonResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST, require_safe

from core.http import answered, signed_in, wants_json
from core.models.grants import Role
from retrieval import selectors, services
from retrieval.models import Revision
from retrieval.views.answers import document_html

PAGES_PER_SCREEN = 10


@require_safe
@answered
def document(request: HttpRequest, document_id: uuid.UUID) -> HttpResponseBase:
    """The extracted text. `pages` are pairs of number and text: pages, or parts where the kind of file has none."""
    shown = selectors.get_document(signed_in(request), document_id)
    spans = selectors.text_spans(shown.revision) if shown.revision else []
    has_pages = bool(shown.revision and shown.revision.pages)
    numbered = list(enumerate(spans, start=1))
    page = Paginator(numbered, PAGES_PER_SCREEN if has_pages else 1).get_page(request.GET.get("page"))
    context = {
        "page": "library",
        "document": selectors.document_view(shown),
        "store": shown.store,
        "can_edit": selectors.has_role(signed_in(request), shown.store, Role.EDITOR),
        "has_pages": has_pages,
        "pages": _texts(shown.revision, list(page)) if shown.revision else [],
        "page_obj": page,
    }
    return render(request, "retrieval/document.html", context)


def _texts(revision: Revision, numbered: list[tuple[int, tuple[int, int]]]) -> list[tuple[int, str]]:
    """The text of pages that follow each other, read at once."""
    if not numbered:
        return []
    first, past = numbered[0][1][0], numbered[-1][1][1]
    text = selectors.text_between(revision, first, past)
    return [(number, text[start - first : end - first]) for number, (start, end) in numbered]


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
