"""The chat page, new or with a conversation, and the parts of it that are loaded later."""

import uuid
from collections.abc import Sequence

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.db.models import Exists, OuterRef
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from chat.models import Assistant, Attachment, Conversation
from chat.rendering import pages
from chat.rendering.pictures import Sight
from chat.selectors.branches import newest_leaf
from chat.selectors.facts import switched_off
from core.http import signed_in
from retrieval.models import Document
from retrieval.selectors import DocumentView, document_view

_NOTHING = pages.Branch([], None)


@require_GET
@never_cache
@login_required
def home(request: HttpRequest) -> HttpResponse:
    """An empty conversation under a fresh id; `?assistant=` chooses whom it is with."""
    assistants = list(pages.assistants_of(signed_in(request)))
    chosen = request.GET.get("assistant", "")
    assistant = next((one for one in assistants if str(one.id) == chosen), assistants[0] if assistants else None)
    return _page(request, None, conversation_id=uuid.uuid4(), assistant=assistant, assistants=assistants)


@require_GET
@never_cache
@login_required
def conversation(request: HttpRequest, conversation_id: uuid.UUID) -> HttpResponse:
    """The branch that was talked on last, or with `?turn=` the one that leads through this turn, back to it."""
    found = _own(request, conversation_id)
    turn = None
    if "turn" in request.GET:
        turn = _turn_of(found, request.GET["turn"])
        found.active_turn_id = newest_leaf(found.id, turn)
    shown = pages.branch(found, leaf=found.active_turn_id, back_to=turn)
    return _page(request, found, conversation_id=found.id, assistant=found.assistant, branch=shown)


@require_GET
@never_cache
@login_required
def older(request: HttpRequest, conversation_id: uuid.UUID) -> HttpResponse:
    """Earlier turns of a branch as HTML, to be put above those shown."""
    found = _own(request, conversation_id)
    branch = pages.branch(found, leaf=_turn_of(found, request.GET.get("leaf", "")))
    return render(request, "chat/_partials/turns.html", {"turns": branch.turns, "older_url": branch.older_url})


@require_GET
@never_cache
@login_required
def conversations(request: HttpRequest) -> HttpResponse:
    """A further page of the list of conversations as HTML."""
    listed = pages.conversation_entries(signed_in(request), before=request.GET.get("before", ""))
    context = {"entries": listed.entries, "more_entries_url": listed.more_url}
    return render(request, "chat/_partials/conversation_entries.html", context)


def _own(request: HttpRequest, conversation_id: uuid.UUID) -> Conversation:
    rows = Conversation.objects.live().select_related("assistant__published_version__model__endpoint")
    return get_object_or_404(rows, id=conversation_id, user=signed_in(request))


def _turn_of(conversation: Conversation, text: str) -> uuid.UUID:
    """The id that a query names, if it is a turn of this conversation."""
    try:
        turn = uuid.UUID(text)
    except ValueError:
        raise Http404 from None
    if not conversation.turns.filter(id=turn).exists():
        raise Http404
    return turn


def _page(
    request: HttpRequest,
    conversation: Conversation | None,
    *,
    conversation_id: uuid.UUID,
    assistant: Assistant | None,
    assistants: Sequence[Assistant] = (),
    branch: pages.Branch = _NOTHING,
) -> HttpResponse:
    listed = pages.conversation_entries(signed_in(request), current=conversation_id)
    off, sight = switched_off(signed_in(request)), Sight()
    context = {
        "assistants": [pages.assistant_card(one, off=off, sight=sight) for one in assistants],
        "assistant": pages.assistant_card(assistant, off=off, sight=sight) if assistant else None,
        "uses_memory": conversation is None or conversation.uses_memory,
        "conversation_id": conversation_id,
        "conversation_url": reverse("chat:conversation", args=[conversation_id]),
        "conversation_title": str(conversation) if conversation else "",
        "is_new": conversation is None,
        "turns": branch.turns,
        "older_url": branch.older_url,
        "entries": listed.entries,
        "more_entries_url": listed.more_url,
        "documents": _unsent_documents(conversation),
        "limits": {
            "message_chars": settings.MESSAGE_MAX_CHARS,
            "upload_bytes": settings.UPLOAD_MAX_BYTES,
            "part_bytes": settings.UPLOAD_PART_BYTES,
            "files": settings.MESSAGE_MAX_FILES,
        },
        "provider_notice": pages.provider_notice(assistant),
        "upload_url": reverse("chat:upload", args=[conversation_id]),
        "parts_url": reverse("chat:begin_upload", args=[conversation_id]),
    }
    return render(request, "chat/page.html", context)


def _unsent_documents(conversation: Conversation | None) -> list[DocumentView]:
    """Files that were dropped into the composer but not sent with a message yet, or came back with one."""
    if conversation is None or conversation.store_id is None:
        return []
    sent = Attachment.objects.filter(document=OuterRef("pk"), item__answered_by__withdrawn_at=None)
    rows = Document.objects.live().filter(~Exists(sent), store=conversation.store_id).select_related("file__picture")
    return [document_view(document) for document in rows.order_by("created_at")[: settings.MESSAGE_MAX_FILES]]
