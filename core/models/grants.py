"""Who may do what with which object: one table and one rule for pages, sockets, search and admin."""

import uuid
from typing import Any, TypeVar

from django.contrib.auth.models import AnonymousUser, Group
from django.contrib.contenttypes.fields import GenericForeignKey
from django.contrib.contenttypes.models import ContentType
from django.db import models
from django.db.models import Q
from django.utils import timezone

from core.models.accounts import User

M = TypeVar("M", bound=models.Model)


class Role(models.TextChoices):
    """Each role includes the ones above it."""

    READER = "reader", "Reader"
    EDITOR = "editor", "Editor"
    OWNER = "owner", "Owner"


_INCLUDED = {
    Role.READER: [Role.READER, Role.EDITOR, Role.OWNER],
    Role.EDITOR: [Role.EDITOR, Role.OWNER],
    Role.OWNER: [Role.OWNER],
}


class Grant(models.Model):
    """A role on one object, for exactly one of: a user, a group, everyone who is signed in."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(User, null=True, blank=True, on_delete=models.CASCADE, related_name="grants")
    group = models.ForeignKey(Group, null=True, blank=True, on_delete=models.CASCADE, related_name="grants")
    everyone = models.BooleanField(default=False)
    role = models.CharField(max_length=10, choices=Role.choices, default=Role.READER)
    content_type = models.ForeignKey(ContentType, on_delete=models.CASCADE)
    object_id = models.UUIDField()
    target = GenericForeignKey("content_type", "object_id")
    created_at = models.DateTimeField(default=timezone.now)
    created_by = models.ForeignKey(User, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")

    class Meta:
        constraints = [
            models.CheckConstraint(
                name="grant_one_subject",
                condition=(
                    Q(user__isnull=False, group__isnull=True, everyone=False)
                    | Q(user__isnull=True, group__isnull=False, everyone=False)
                    | Q(user__isnull=True, group__isnull=True, everyone=True)
                ),
            ),
            models.CheckConstraint(name="grant_role_known", condition=Q(role__in=Role.values)),
            models.CheckConstraint(
                name="grant_everyone_is_no_owner",
                condition=Q(everyone=False) | ~Q(role="owner"),
                violation_error_message="Not everyone can be an owner: owners also delete.",
            ),
            models.UniqueConstraint(
                fields=["content_type", "object_id", "user"],
                condition=Q(user__isnull=False),
                name="grant_user_once",
            ),
            models.UniqueConstraint(
                fields=["content_type", "object_id", "group"],
                condition=Q(group__isnull=False),
                name="grant_group_once",
            ),
            models.UniqueConstraint(
                fields=["content_type", "object_id"], condition=Q(everyone=True), name="grant_everyone_once"
            ),
        ]
        indexes = [models.Index(fields=["content_type", "object_id"], name="grant_object")]

    def __str__(self) -> str:
        subject = "everyone" if self.everyone else (self.user or self.group)
        return f"{subject}: {self.role}"


def granted_ids(model: type[models.Model], user: User, role: Role) -> models.QuerySet[Grant, Any]:
    """The ids of the objects of `model` on which `user` has `role` or more, as a subquery."""
    subject = Q(user=user) | Q(everyone=True) | Q(group__in=user.groups.all())
    of_model = Q(content_type__app_label=model._meta.app_label, content_type__model=model._meta.model_name)
    return Grant.objects.filter(subject, of_model, role__in=_INCLUDED[role]).values("object_id")


class VisibleQuerySet(models.QuerySet[M]):
    """The one rule of who sees what: one's own, what was granted, and everything for a superuser.

    `owner_field` names the column that holds the owner; a model without an owner leaves it empty.
    """

    owner_field = "owner"

    def visible_to(self, user: User | AnonymousUser, role: Role = Role.READER) -> "VisibleQuerySet[M]":
        """Keep what `user` has at least `role` on. An inactive or anonymous user sees nothing."""
        if not isinstance(user, User) or not user.is_active:
            return self.none()
        if user.is_superuser:
            return self.all()
        rule = Q(pk__in=granted_ids(self.model, user, role))
        if self.owner_field:
            rule |= Q(**{self.owner_field: user})
        return self.filter(rule)
