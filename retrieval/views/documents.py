"""One document: its text, its chunks, and where words stand in it."""

import uuid
from typing import Any

from django.core.paginator import Page, Paginator
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.utils.http import urlencode
from django.views.decorators.http import require_safe

from core.errors import NotFoundError
from core.http import answered, signed_in, wants_json
from core.models.grants import Role
from retrieval import selectors
from retrieval.models import Document
from retrieval.pictures.pages import has_pages as has_pictures
from retrieval.selectors import text as reading
from retrieval.selectors.page_pictures import page_views

PAGES_PER_SCREEN = 10

Span = tuple[int, int]


@require_safe
@answered
def document(request: HttpRequest, document_id: uuid.UUID) -> HttpResponseBase:
    """A document by its text, or with `?view=chunks` by its chunks, `?view=pages` by pictures of its pages.

    `?q=` looks for words in it, `?borders=1` shows where chunks begin, `?chunk=12` leads to one.
    """
    user = signed_in(request)
    try:
        shown = selectors.get_document(user, document_id)
    except NotFoundError:
        if wants_json(request):
            raise
        # the same for what is foreign, gone, or never was
        return render(request, "retrieval/gone.html", {"page": "library"}, status=404)
    can_edit = selectors.has_role(user, shown.store, Role.EDITOR)
    spans = selectors.text_spans(shown.revision) if shown.revision else []
    paged = bool(shown.revision and shown.revision.pages)
    views = ["text", "chunks", *(["pages"] if has_pictures(shown.file) else [])]
    view = request.GET.get("view", "")
    context: dict[str, Any] = {
        "page": "library",
        "document": selectors.document_row(shown),
        "facts": shown,
        "store": shown.store,
        "can_edit": can_edit,
        "targets": selectors.move_targets(user, shown.store) if can_edit else [],
        "has_pages": paged,
        "views": views if shown.revision else [],
        "view": view if view in views else views[0],
    }
    return _chunks(request, shown, spans, context) if view == "chunks" else _text(request, shown, spans, context)


def _text(request: HttpRequest, shown: Document, spans: list[Span], context: dict[str, Any]) -> HttpResponse:
    words = selectors.cleaned_words(request.GET.get("q", ""))
    borders = request.GET.get("borders") == "1"
    page = _sheet_page(request, spans, context["has_pages"])
    revision = shown.revision
    if context["view"] == "pages":
        context["pictures"] = page_views(shown, [number for number, _ in page])
    kept = (("view", "pages" if context["view"] == "pages" else ""), ("q", words), ("borders", "1" if borders else ""))
    found = reading.places(revision, words, spans) if revision and words else []
    context |= {
        "sheets": reading.sheets(revision, list(page), words=words, borders=borders) if revision else [],
        "page_obj": page,
        "words": words,
        "borders": borders,
        "places": [(place, _screen(place.sheet, context["has_pages"]), place.sheet + 1) for place in found],
        "pager_query": urlencode([(name, value) for name, value in kept if value]),
    }
    return render(request, "retrieval/document.html", context)


def _chunks(request: HttpRequest, shown: Document, spans: list[Span], context: dict[str, Any]) -> HttpResponse:
    page = reading.chunk_page(shown, request.GET.get("page"), request.GET.get("chunk"))
    views = reading.chunk_views(page, spans) if shown.revision else []
    context |= {
        "chunks": [(chunk, _screen(chunk.sheet, context["has_pages"])) for chunk in views],
        "page_obj": page,
        "pager_query": "view=chunks",
    }
    return render(request, "retrieval/document.html", context)


def _sheet_page(request: HttpRequest, spans: list[Span], paged: bool) -> Page[Any]:
    numbered = list(enumerate(spans, start=1))
    return Paginator(numbered, PAGES_PER_SCREEN if paged else 1).get_page(request.GET.get("page"))


def _screen(sheet: int, paged: bool) -> int:
    """The page of the site on which the page or part with this index is."""
    return sheet // PAGES_PER_SCREEN + 1 if paged else sheet + 1
