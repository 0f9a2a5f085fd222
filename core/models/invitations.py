"""Roles kept for people who are not there yet."""

import uuid

from django.contrib.contenttypes.fields import GenericForeignKey
from django.contrib.contenttypes.models import ContentType
from django.db import models
from django.db.models import Q
from django.db.models.functions import Lower
from django.utils import timezone

from core.models.accounts import User
from core.models.grants import Role


class Invitation(models.Model):
    """A role on one object for an address that nobody signs in with yet; it becomes a grant as soon as somebody does.

    With it, who shares something cannot tell from the answer which addresses are known.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    email = models.EmailField(help_text="In small letters.")
    role = models.CharField(max_length=10, choices=Role.choices, default=Role.READER)
    content_type = models.ForeignKey(ContentType, on_delete=models.CASCADE)
    object_id = models.UUIDField()
    target = GenericForeignKey("content_type", "object_id")
    created_at = models.DateTimeField(default=timezone.now)
    created_by = models.ForeignKey(User, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["content_type", "object_id", "email"], name="invitation_once"),
            models.CheckConstraint(name="invitation_role_known", condition=Q(role__in=Role.values)),
            models.CheckConstraint(name="invitation_small_letters", condition=Q(email=Lower("email"))),
        ]
        indexes = [models.Index(fields=["email"], name="invitation_address")]

    def __str__(self) -> str:
        return f"{self.email}: {self.role}"
