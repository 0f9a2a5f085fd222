"""The audit of tool calls in the admin: for searching and reading, never for changing."""

import uuid
from typing import TYPE_CHECKING

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest

from core.admin import ReadOnlyAdmin
from tools.models import ToolCall

if TYPE_CHECKING:
    Calls = QuerySet[ToolCall]


@admin.register(ToolCall)
class ToolCallAdmin(ReadOnlyAdmin):
    list_display = ["created_at", "tool", "status", "policy", "user", "approver", "finished_at"]
    list_filter = ["status", "policy"]
    list_select_related = ["user", "approver"]
    search_fields = ["tool", "=call_id", "user__email"]
    search_help_text = "A tool, a call's id, a user's address, or the id of a turn, a conversation or a call"
    ordering = ["-created_at"]

    def get_queryset(self, request: HttpRequest) -> "Calls":
        """A superuser sees all calls, others those that were made for them."""
        calls: Calls = super().get_queryset(request)
        everything = getattr(request.user, "is_superuser", False)
        return calls if everything else calls.filter(user=request.user.pk)

    def get_search_results(self, request: HttpRequest, queryset: "Calls", search_term: str) -> "tuple[Calls, bool]":
        """An id is looked up as such; anything else is searched for in the texts."""
        try:
            wanted = uuid.UUID(search_term.strip())
        except ValueError:
            return super().get_search_results(request, queryset, search_term)
        return queryset.filter(Q(pk=wanted) | Q(turn=wanted) | Q(conversation=wanted)), False
