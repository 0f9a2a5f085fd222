"""Sums of tokens and cost above a list in the admin: of what its filters leave, on all its pages."""

from abc import abstractmethod
from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from chat.selectors.costs import Spent
from core.admin import ReadOnlyAdmin


class SpentAbove(ReadOnlyAdmin):
    change_list_template = "admin/chat/spent_list.html"

    @abstractmethod
    def spent(self, rows: QuerySet[Any]) -> list[Spent]:
        """The sums of these rows."""

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        answer = super().changelist_view(request, extra_context)
        if isinstance(answer, TemplateResponse) and answer.context_data and "cl" in answer.context_data:
            answer.context_data["spent"] = self.spent(answer.context_data["cl"].queryset)
        return answer
