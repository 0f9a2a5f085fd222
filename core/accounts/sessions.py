"""Whose session a cookie is, asked anew each time: a socket outlives the request that opened it."""

from importlib import import_module

from django.conf import settings
from django.contrib.auth import HASH_SESSION_KEY, SESSION_KEY
from django.utils.crypto import constant_time_compare

from core.models import User

_store = import_module(settings.SESSION_ENGINE).SessionStore


def user_of_session(session_key: str) -> User | None:
    """Return the active user of a living session; None after sign-out, expiry, a new password or deactivation."""
    session = _store(session_key=session_key)
    user_id = session.get(SESSION_KEY)
    if user_id is None:
        return None
    user = User.objects.filter(pk=user_id, is_active=True).first()
    if user is None or not constant_time_compare(session.get(HASH_SESSION_KEY, ""), user.get_session_auth_hash()):
        return None
    return user
