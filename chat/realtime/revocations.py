"""Tells a person's sockets at once that a session or a right may be gone: they look at the rows then.

What is not told here (rows changed in bulk, a grant to everyone or to a group that goes) they find by themselves
within five seconds.
"""

import uuid
from collections.abc import Iterable
from typing import Any

from django.contrib.auth import SESSION_KEY
from django.db.models.signals import m2m_changed, post_delete, post_save
from django.utils import timezone

from chat.realtime import hints


def connect() -> None:
    """Listen to what takes sessions and rights away; once, when Django is ready."""
    post_delete.connect(_session_deleted, sender="sessions.Session")
    post_save.connect(_user_saved, sender="core.User")
    post_delete.connect(_user_deleted, sender="core.User")
    m2m_changed.connect(_groups_changed, sender="core.User_groups")
    post_delete.connect(_grant_deleted, sender="core.Grant")


def _tell(people: Iterable[uuid.UUID | str]) -> None:
    for person in people:
        hints.send_after_commit(hints.feed_group(person), {"type": "rights.hint"})


def _session_deleted(instance: Any, **_more: Any) -> None:
    # those that ran out are removed by the thousand, and long after their sockets were closed
    if instance.expire_date > timezone.now() and (person := instance.get_decoded().get(SESSION_KEY)):
        _tell([person])


def _user_saved(instance: Any, created: bool, update_fields: frozenset[str] | None, **_more: Any) -> None:
    # every sign-in saves when it was
    if not created and update_fields != frozenset({"last_login"}):
        _tell([instance.pk])


def _user_deleted(instance: Any, **_more: Any) -> None:
    _tell([instance.pk])


def _groups_changed(instance: Any, action: str, reverse: bool, pk_set: set[uuid.UUID] | None, **_more: Any) -> None:
    if action in {"post_remove", "post_clear"}:
        _tell(pk_set or () if reverse else [instance.pk])


def _grant_deleted(instance: Any, **_more: Any) -> None:
    if instance.user_id:
        _tell([instance.user_id])
    elif instance.group_id:
        _tell(instance.group.user_set.values_list("pk", flat=True))
