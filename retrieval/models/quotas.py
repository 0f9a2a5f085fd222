"""How much people may keep."""

import uuid

from django.conf import settings
from django.contrib.auth.models import Group
from django.db import models
from django.db.models import Q


class Quota(models.Model):
    """The most of each figure for exactly one of: a user, the members of a group, everyone else.

    Empty is no limit. Which one applies to a person, and what counts, is said in `retrieval.quotas`.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.CASCADE, related_name="quota"
    )
    group = models.OneToOneField(Group, null=True, blank=True, on_delete=models.CASCADE, related_name="quota")
    everyone = models.BooleanField(
        default=False, help_text="For whom neither a row of their own nor one of their groups is there."
    )
    files = models.PositiveBigIntegerField(null=True, blank=True, help_text="Different files. Empty: no limit.")
    size = models.PositiveBigIntegerField("bytes", null=True, blank=True, help_text="Empty: no limit.")
    tokens = models.PositiveBigIntegerField(
        null=True, blank=True, help_text="In the chunks of the documents they uploaded. Empty: no limit."
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                name="quota_one_subject",
                condition=(
                    Q(user__isnull=False, group__isnull=True, everyone=False)
                    | Q(user__isnull=True, group__isnull=False, everyone=False)
                    | Q(user__isnull=True, group__isnull=True, everyone=True)
                ),
                violation_error_message="Choose a user, a group, or everyone: exactly one of them.",
            ),
            models.UniqueConstraint(fields=["everyone"], condition=Q(everyone=True), name="quota_everyone_once"),
        ]

    def __str__(self) -> str:
        return f"quota of {'everyone' if self.everyone else (self.user or self.group)}"
