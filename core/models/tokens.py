"""Tokens that scripts sign in with, each for one person."""

import uuid
from typing import TYPE_CHECKING

from django.db import models
from django.db.models import Q
from django.utils import timezone

from core.models.accounts import User


class AccessToken(models.Model):
    """A person's rights in a script's hands until it is revoked (deleted) or expires. Only its hash is stored."""

    class Scope(models.TextChoices):
        """Each scope includes the ones above it."""

        READ = "read", "Read"
        WRITE = "write", "Read and change"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="access_tokens")
    name = models.CharField(max_length=100, help_text="What it is used for.")
    scope = models.CharField(max_length=10, choices=Scope.choices, default=Scope.READ)
    token_hash = models.CharField(max_length=64, unique=True)
    created_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True, help_text="To the minute.")

    if TYPE_CHECKING:
        user_id: uuid.UUID

    class Meta:
        ordering = ["-created_at", "id"]
        constraints = [
            models.CheckConstraint(
                name="access_token_hash_hex",
                condition=Q(token_hash__regex=r"^[0-9a-f]{64}$"),  # noqa: S106 - a form, no secret
            ),
            models.CheckConstraint(name="access_token_named", condition=Q(name__gt="")),
            models.CheckConstraint(name="access_token_scope_known", condition=Q(scope__in=["read", "write"])),
            models.CheckConstraint(
                name="access_token_expires_later",
                condition=Q(expires_at=None) | Q(expires_at__gt=models.F("created_at")),
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def has_expired(self) -> bool:
        return self.expires_at is not None and self.expires_at <= timezone.now()
