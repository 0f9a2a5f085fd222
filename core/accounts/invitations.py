"""Gives people what was shared with their address before they were there."""

from typing import Any

from django.contrib.auth.signals import user_logged_in
from django.db import transaction
from django.db.models.signals import post_save

from core.models import Grant, Invitation, User


def connect() -> None:
    """Listen to who is added, or gets another address; once, when Django is ready."""
    post_save.connect(_saved, sender=User)
    user_logged_in.connect(_signed_in)


def _saved(instance: User, update_fields: frozenset[str] | None, **_more: Any) -> None:
    # every sign-in saves when it was
    if update_fields is None or "email" in update_fields:
        take_invitations(instance)


def _signed_in(user: User, **_more: Any) -> None:
    """Whoever was added at the very moment they were invited has what they were invited to from now on."""
    take_invitations(user)


@transaction.atomic
def take_invitations(user: User) -> None:
    """Turn every invitation of the user's address into a grant; where there is one already, it stays as it is."""
    invited = list(Invitation.objects.select_for_update().filter(email=user.email))
    if not invited:
        return
    Grant.objects.bulk_create(
        (
            Grant(
                user=user,
                role=invitation.role,
                content_type_id=invitation.content_type_id,
                object_id=invitation.object_id,
                created_by_id=invitation.created_by_id,
            )
            for invitation in invited
        ),
        ignore_conflicts=True,
    )
    Invitation.objects.filter(pk__in=[invitation.pk for invitation in invited]).delete()
