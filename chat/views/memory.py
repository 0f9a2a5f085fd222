"""What is remembered of a person, for that person alone: reading, changing, deleting, switching off, taking along."""

import uuid

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.template.loader import render_to_string
from django.utils import timezone
from django.utils.http import content_disposition_header
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from chat.rendering.memory import MemoryView, exported_facts, fact_view, memory_view, memory_views
from chat.rendering.shapes import AssistantCard
from chat.selectors.facts import listed_fact
from chat.services import memory as services
from core.errors import NotFoundError
from core.http import answered, signed_in, wants_json

# Characters of a search that are looked at.
MAX_WORDS_CHARS = 200
# Facts from which on the page offers to search among them.
SEARCH_FROM = 12


@never_cache
@require_safe
@answered
def memory(request: HttpRequest) -> HttpResponseBase:
    """Every assistant that remembers, each with its newest facts; `?q=` keeps those facts that hold all its words."""
    words = _words(request)
    shown = memory_views(signed_in(request), words=words)
    return _page(request, shown, words)


@never_cache
@require_safe
@answered
def memory_of(request: HttpRequest, assistant_id: uuid.UUID) -> HttpResponseBase:
    """What one assistant remembers, a page of it at a time (`?before=`)."""
    words = _words(request)
    before = request.GET.get("before", "")
    shown = memory_view(signed_in(request), assistant_id, words=words, before=before)
    return _page(request, [shown], words, one=shown.assistant)


@require_POST
@answered
def edit(request: HttpRequest, fact_id: uuid.UUID) -> HttpResponseBase:
    """POST `text`, and `seen`, the words that it replaces: `{fact, html}`.

    Where the fact says something else by now: 409 with the error, and with those words as `text`.
    """
    user = signed_in(request)
    words = {"text": request.POST.get("text", ""), "seen": request.POST.get("seen", "")}
    try:
        services.edit_fact(user=user, fact_id=fact_id, **words)
    except services.FactChangedError as error:
        told = {"code": error.code, "message": error.message, "retryable": error.retryable, "text": error.text}
        return JsonResponse(told, status=error.status)
    fact = listed_fact(user, fact_id)
    if fact is None:
        raise NotFoundError("This fact was deleted meanwhile.")
    html = render_to_string("chat/_partials/fact.html", {"fact": fact_view(fact)}, request)
    return JsonResponse({"fact": str(fact_id), "html": html})


@require_POST
@answered
def delete(request: HttpRequest, fact_id: uuid.UUID) -> HttpResponseBase:
    services.delete_fact(user=signed_in(request), fact_id=fact_id)
    return JsonResponse({"fact": str(fact_id), "deleted": True})


@require_POST
@answered
def delete_all(request: HttpRequest, assistant_id: uuid.UUID) -> HttpResponseBase:
    """Delete what one assistant remembers: `{deleted, html}` with their number and what the page shows now."""
    user = signed_in(request)
    deleted = services.delete_facts(user=user, assistant_id=assistant_id)
    return _changed(request, assistant_id, {"deleted": deleted})


@require_POST
@answered
def switch(request: HttpRequest, assistant_id: uuid.UUID) -> HttpResponseBase:
    """POST `on` (1 or 0): whether this assistant may remember things about the person."""
    on = request.POST.get("on") == "1"
    services.switch_memory(user=signed_in(request), assistant_id=assistant_id, on=on)
    return _changed(request, assistant_id, {"on": on})


@never_cache
@require_safe
@answered
def export(request: HttpRequest) -> HttpResponseBase:
    """Everything that is remembered of the person, as a file."""
    answer = JsonResponse({"facts": exported_facts(signed_in(request))}, json_dumps_params={"indent": 2})
    name = f"parley-memory-{timezone.localdate().isoformat()}.json"
    answer.headers["Content-Disposition"] = content_disposition_header(as_attachment=True, filename=name) or ""
    return answer


def _words(request: HttpRequest) -> str:
    return " ".join(request.GET.get("q", "").replace("\x00", "")[:MAX_WORDS_CHARS].split())


def _page(
    request: HttpRequest, shown: list[MemoryView], words: str, *, one: AssistantCard | None = None
) -> HttpResponse:
    context = {
        "page": "memory",
        "memories": shown,
        "words": words,
        "one": one,
        "has_facts": any(memory.count for memory in shown),
        "can_search": bool(words) or sum(memory.count for memory in shown) >= SEARCH_FROM,
        "max_chars": services.MAX_FACT_CHARS,
    }
    return render(request, "chat/memory.html", context)


def _changed(request: HttpRequest, assistant_id: uuid.UUID, done: dict[str, object]) -> HttpResponseBase:
    """Answer with the assistant's part of the page, or lead back to it. It may have nothing left to show."""
    if not wants_json(request):
        return redirect("chat:memory")
    shown = next((one for one in memory_views(signed_in(request)) if one.assistant.id == assistant_id), None)
    html = render_to_string("chat/_partials/memory.html", {"memory": shown}, request) if shown else ""
    return JsonResponse({**done, "html": html})
