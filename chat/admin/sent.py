"""What was sent for a response, in the admin: as on the page, and the very bytes, to be read and to be kept.

A superuser sees the bytes of every response. They hold the instructions of the version and passages of documents, which
other staff may have no right to, also where the conversation is their own.
"""

import json
import uuid
from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.translation import gettext as _

from chat.models import Response
from chat.rendering.sent import attempt_views
from core.admin import ReadOnlyAdmin
from core.http import signed_in

READABLE_CHARS = 400_000
"""Characters of a body that are shown; the download has all of it."""


def sent_link(response: Response) -> str:
    return format_html('<a href="{}">{}</a>', reverse("admin:chat_response_sent", args=[response.pk]), _("Show"))


class SentPages(ReadOnlyAdmin):
    """The pages below a response."""

    def get_urls(self) -> list[URLPattern]:
        own = [
            path("<uuid:pk>/sent/", self.admin_site.admin_view(self.sent_page), name="chat_response_sent"),
            path("<uuid:pk>/sent/body/", self.admin_site.admin_view(self.body_file), name="chat_response_body"),
        ]
        return [*own, *super().get_urls()]

    def sent_page(self, request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
        """Show the manifest of one response and, where it may be seen, its body."""
        response = self._response(request, pk)
        shown = attempt_views(response.turn, signed_in(request))
        context: dict[str, Any] = {
            **self.admin_site.each_context(request),
            "title": _("What was sent"),
            "opts": self.opts,
            "response": response,
            "attempt": next(attempt for attempt in shown if attempt.id == response.pk),
            "may_read": _may_read_body(request),
        }
        if _may_read_body(request):
            # pictures would be all that one sees
            body = response.sent.kept_body()
            text = _readable(body) if body is not None else ""
            context |= {"body": text[:READABLE_CHARS], "cut": len(text) > READABLE_CHARS}
        return TemplateResponse(request, "admin/chat/response/sent.html", context)

    def body_file(self, request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
        """Answer with the bytes that were sent, as a file."""
        response = self._response(request, pk)
        if not _may_read_body(request):
            raise PermissionDenied
        body = response.sent.exact_body()
        if body is None:
            raise Http404
        name = f'attachment; filename="request-{response.pk}.json"'
        return HttpResponse(body, content_type="application/json", headers={"Content-Disposition": name})

    def _response(self, request: HttpRequest, pk: uuid.UUID) -> Response:
        """The response, if who asks may look at it; a foreign one answers like a missing one."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        rows = self.get_queryset(request).filter(sent__isnull=False).select_related("sent", "turn__conversation")
        found: Response = get_object_or_404(rows, pk=pk)
        return found


def _may_read_body(request: HttpRequest) -> bool:
    return signed_in(request).is_superuser


def _readable(body: bytes) -> str:
    return json.dumps(json.loads(body), indent=2, ensure_ascii=False)
