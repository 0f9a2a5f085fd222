"""Whose session a cookie is, asked anew each time: a socket outlives the request that opened it."""

from functools import lru_cache
from importlib import import_module

from django.conf import settings
from django.contrib.auth import HASH_SESSION_KEY, SESSION_KEY
from django.utils.crypto import constant_time_compare

from core import statements
from core.models import User

_store = import_module(settings.SESSION_ENGINE).SessionStore

_SESSION = """
SELECT session_data, password FROM django_session, core_user
WHERE session_key = %(key)s AND expire_date > now() AND id = %(user)s AND is_active
"""


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
    row = statements.row(_SESSION, {"key": session_key, "user": user.pk})
    return row is not None and _belong(*row, str(user.pk))


@lru_cache(maxsize=1000)
def _belong(session_data: str, password: str, user_id: str) -> bool:
    """Whether a session is one of this person, made with this password. What is asked time and again is the same."""
    known = _store().decode(session_data)
    if known.get(SESSION_KEY) != user_id:
        return False
    return constant_time_compare(known.get(HASH_SESSION_KEY, ""), User(password=password).get_session_auth_hash())
