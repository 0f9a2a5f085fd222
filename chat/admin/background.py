"""What models were asked in the background, in the admin: a list, and the sums of what its filters leave."""

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from chat.admin.conversations import readable
from chat.admin.spent import SpentAbove
from chat.models import BackgroundCall
from chat.selectors.costs import Spent, spent_in_background
from core.http import signed_in


@admin.register(BackgroundCall)
class BackgroundCallAdmin(SpentAbove):
    list_display = [
        "created_at", "purpose", "input_tokens", "cached_tokens", "output_tokens", "cost", "took", "ended", "user",
        "assistant", "conversation", "model_name",
    ]  # fmt: skip
    list_filter = ["purpose", "status", "error_code", "assistant", "model_name"]
    search_fields = ["user__email", "conversation__title"]
    date_hierarchy = "created_at"
    ordering = ["-created_at"]
    exclude = ["status", "error_code"]
    readonly_fields = ["took", "ended"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[BackgroundCall]:
        """Those of deleted conversations are nobody's any more: superusers see them."""
        related = ("user", "assistant", "conversation", "model__endpoint")
        calls: QuerySet[BackgroundCall] = super().get_queryset(request).select_related(*related)
        return calls if signed_in(request).is_superuser else calls.filter(conversation__in=readable(request))

    def spent(self, rows: QuerySet[BackgroundCall]) -> list[Spent]:
        return spent_in_background(rows)

    @admin.display(description="Ended", ordering="status")
    def ended(self, call: BackgroundCall) -> str:
        """How, and the reason where nothing came of it."""
        return f"{call.get_status_display()}: {call.error_code}" if call.error_code else call.get_status_display()

    @admin.display(description="Seconds", empty_value="–")
    def took(self, call: BackgroundCall) -> str | None:
        return f"{call.seconds:.1f}" if call.seconds is not None else None
