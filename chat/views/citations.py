"""The cited passage in its surroundings, for the panel beside the answer."""

import uuid

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from chat.models import Citation
from chat.rendering.turns import citation_view
from core.http import signed_in
from retrieval.models import Document, Revision
from retrieval.selectors.page_pictures import marked_page

# Characters that are shown on either side of the quote, at most; where there are pages, only those of its own.
SURROUNDINGS = 700


@require_GET
@never_cache
@login_required
def citation(request: HttpRequest, citation_id: uuid.UUID) -> HttpResponse:
    """Show a citation of one's own conversation: the right to the assistant lets one see the cited passage.

    The whole document is linked only for readers of its store, as it is now.
    """
    user = signed_in(request)
    rows = Citation.objects.select_related("revision__document__file", "item__turn")
    found = get_object_or_404(rows, id=citation_id, item__conversation__user=user)
    document = _document(found)
    shown = citation_view(found)
    context = {"citation": shown, "quote": found.quote, "replaced": document is not None, "heading": found.heading}
    if found.revision is not None and not shown.gone:
        first, past = _page(found, found.revision)
        context["before"] = _before(found.revision.text[first : found.start])
        context["after"] = _after(found.revision.text[found.end : past])
    if document and Document.objects.visible_to(user).filter(pk=document.pk).exists():
        context["document_url"] = document.get_absolute_url()
        if not shown.gone:
            context["picture"] = marked_page(document, found.page, found.start, found.end)
    return render(request, "chat/_partials/citation.html", context)


def _document(citation: Citation) -> Document | None:
    """What is cited, if it is there: it keeps its id when it is given other content, and the turn names it."""
    if citation.revision is not None:
        return None if citation.is_gone else citation.revision.document
    named = (one["document"] for one in citation.item.turn.passages if one["number"] == citation.number)
    return Document.objects.live().filter(pk__in=list(named)).first()


def _page(citation: Citation, revision: Revision) -> tuple[int, int]:
    """Where the page of the quote begins and ends in the text, or the quote, which may go on to the next one."""
    if citation.page is None or not 0 < citation.page <= len(revision.pages):
        return 0, len(revision.text)
    first, past = revision.pages[citation.page - 1]
    return min(first, citation.start), max(past, citation.end)


def _before(text: str) -> str:
    return text if len(text) <= SURROUNDINGS else "…" + text[-SURROUNDINGS:].partition(" ")[2]


def _after(text: str) -> str:
    return text if len(text) <= SURROUNDINGS else text[:SURROUNDINGS].rpartition(" ")[0] + "…"
