"""How much people may keep, in the admin."""

from typing import TYPE_CHECKING

from django.contrib import admin
from django.template.defaultfilters import filesizeformat

from retrieval import quotas
from retrieval.models import Quota

if TYPE_CHECKING:
    QuotaAdminBase = admin.ModelAdmin[Quota]
else:
    QuotaAdminBase = admin.ModelAdmin


@admin.register(Quota)
class QuotaAdmin(QuotaAdminBase):
    """How much people may keep. Whoever may change this may raise their own."""

    list_display = ["subject", "files", "size", "tokens", "used"]
    list_select_related = ["user", "group"]
    list_per_page = 50
    search_fields = ["user__email", "group__name"]
    autocomplete_fields = ["user", "group"]
    fields = ["user", "group", "everyone", "files", "size", "tokens", "used"]
    readonly_fields = ["used"]

    @admin.display(description="Of")
    def subject(self, quota: Quota) -> str:
        return "everyone" if quota.everyone else str(quota.user or quota.group)

    @admin.display(description="Used now")
    def used(self, quota: Quota) -> str:
        """Of one person only: a group has what its members have, one by one."""
        if quota.user is None:
            return "–"
        now = quotas.usage(quota.user)
        return f"{now.files:,} files, {filesizeformat(now.size)}, {now.tokens:,} tokens"
