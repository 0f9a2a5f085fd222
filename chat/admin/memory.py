"""What is remembered of people, in the admin: to look at, so that somebody who asks can be helped."""

from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext as _

from chat.admin.conversations import excerpt
from chat.models import Fact, MemoryOff
from core.admin import ReadOnlyAdmin
from core.http import signed_in


class StateFilter(admin.SimpleListFilter):
    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("counts", _("counts")), ("replaced", _("replaced")), ("edited", _("edited")), ("bare", _("no vector"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        chosen = {
            "counts": Q(superseded_by=None),
            "replaced": ~Q(superseded_by=None),
            "edited": ~Q(edited_at=None),
            "bare": Q(superseded_by=None, embedding=None),
        }
        return queryset.filter(chosen.get(self.value() or "", Q()))


@admin.register(Fact)
class FactAdmin(ReadOnlyAdmin):
    """A superuser sees everybody's, other staff their own. Changing and deleting is the person's, on their page."""

    list_display = ["beginning", "user", "assistant", "holds_in", "state", "created_at"]
    list_filter = ["assistant", StateFilter, ("conversation", admin.EmptyFieldListFilter)]
    search_fields = ["user__email"]
    date_hierarchy = "created_at"
    ordering = ["-created_at"]
    fields = [
        "text", "user", "assistant", "conversation", "message", "embedding_model", "superseded_by",
        "created_at", "updated_at", "edited_at", "used_at",
    ]  # fmt: skip
    readonly_fields = ["message"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Fact]:
        related = ("user", "assistant", "conversation", "item", "embedding_model__endpoint", "superseded_by")
        vectors = ("embedding", "superseded_by__embedding")
        facts: QuerySet[Fact] = super().get_queryset(request).select_related(*related).defer(*vectors)
        person = signed_in(request)
        return facts if person.is_superuser else facts.filter(user=person)

    @admin.display(description="Fact")
    def beginning(self, fact: Fact) -> str:
        return excerpt(fact.text)

    @admin.display(description="Holds in", ordering="conversation")
    def holds_in(self, fact: Fact) -> str:
        return _("one conversation") if fact.conversation_id else _("all")

    @admin.display(description="State", empty_value="–")
    def state(self, fact: Fact) -> str | None:
        if fact.superseded_by_id is not None:
            return _("replaced")
        return _("edited") if fact.edited_at else None

    @admin.display(description="From the message", empty_value="–")
    def message(self, fact: Fact) -> str | None:
        if fact.item is None:
            return None
        address = reverse("admin:chat_item_change", args=[fact.item.pk])
        return format_html('<a href="{}">{}</a>', address, excerpt(fact.item.text))


@admin.register(MemoryOff)
class MemoryOffAdmin(ReadOnlyAdmin):
    list_display = ["user", "assistant", "created_at"]
    list_filter = ["assistant"]
    search_fields = ["user__email"]
    ordering = ["-created_at"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[MemoryOff]:
        rows: QuerySet[MemoryOff] = super().get_queryset(request).select_related("user", "assistant")
        person = signed_in(request)
        return rows if person.is_superuser else rows.filter(user=person)
