"""Whose session a cookie is, asked anew each time: a socket outlives the request that opened it."""

from importlib import import_module

from django.conf import settings
from django.contrib.auth import HASH_SESSION_KEY, SESSION_KEY
from django.utils.crypto import constant_time_compare

from core import statements
from core.models import User

_store = import_module(settings.SESSION_ENGINE).SessionStore

_SESSION = "SELECT session_data FROM django_session WHERE session_key = %(key)s AND expire_date > now()"
_PASSWORD = "SELECT password FROM core_user WHERE id = %(user)s AND is_active"  # noqa: S105 - no secret


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


def is_signed_in(session_key: str, user: User) -> bool:
    """Whether `user_of_session` would still return this person; asked for every socket every few seconds."""
    session = statements.row(_SESSION, {"key": session_key})
    known = _store().decode(session[0]) if session else {}
    if known.get(SESSION_KEY) != str(user.pk):
        return False
    row = statements.row(_PASSWORD, {"user": user.pk})
    if row is None:
        return False
    return constant_time_compare(known.get(HASH_SESSION_KEY, ""), User(password=row[0]).get_session_auth_hash())
