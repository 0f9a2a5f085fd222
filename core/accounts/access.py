"""Tokens for scripts. A token is shown once, carries 256 random bits, and only its SHA-256 is kept."""

import hashlib
import secrets
import uuid
from datetime import timedelta

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from core.errors import InvalidInputError, LimitError, NotFoundError
from core.models import AccessToken, User
from core.text import without_nuls

# What scanners for leaked secrets can look for.
PREFIX = "parley_"
MAX_TOKENS = 20
MAX_NAME_CHARS = 100
MAX_DAYS = 366
# How exactly `last_used_at` is kept: not a write for every request.
_USED_TO = timedelta(minutes=1)


@transaction.atomic
def make_access_token(*, user: User, name: str, scope: str, days: int | None) -> tuple[AccessToken, str]:
    """Return a new token of `user` with its secret, which nobody can read again.

    `days` until it expires, None for never. Raises InvalidInputError, and LimitError for a person who has MAX_TOKENS.
    """
    name = " ".join(without_nuls(name).split())
    if not name:
        raise InvalidInputError("Give the token a name that says what it is for.")
    if len(name) > MAX_NAME_CHARS:
        raise InvalidInputError(f"A token's name has at most {MAX_NAME_CHARS} characters.")
    if scope not in AccessToken.Scope.values:
        raise InvalidInputError("Choose what the token may do.")
    if days is not None and not 1 <= days <= MAX_DAYS:
        raise InvalidInputError(f"A token lasts from 1 to {MAX_DAYS} days, or until you revoke it.")
    User.objects.select_for_update(no_key=True).get(pk=user.pk)  # two requests at once must not pass the limit
    if user.access_tokens.count() >= MAX_TOKENS:
        raise LimitError(f"You have {MAX_TOKENS} tokens, the most that one can have. Revoke one first.")
    secret = PREFIX + secrets.token_urlsafe(32)
    now = timezone.now()
    made = AccessToken.objects.create(
        user=user,
        name=name,
        scope=scope,
        token_hash=_digest(secret),
        created_at=now,
        expires_at=None if days is None else now + timedelta(days=days),
    )
    return made, secret


def revoke_access_token(*, user: User, token_id: uuid.UUID) -> None:
    """End a token of `user` at once. Raises NotFoundError, also for a token of somebody else."""
    deleted, _ = user.access_tokens.filter(pk=token_id).delete()
    if not deleted:
        raise NotFoundError("There is no such token.")


def find_access_token(secret: str) -> AccessToken | None:
    """Return the living token with this secret, whose `user` is active, and note that it was used."""
    if not secret.startswith(PREFIX):
        return None
    now = timezone.now()
    living = AccessToken.objects.filter(Q(expires_at=None) | Q(expires_at__gt=now), user__is_active=True)
    token = living.select_related("user").filter(token_hash=_digest(secret)).first()
    if token is not None and (token.last_used_at is None or token.last_used_at < now - _USED_TO):
        AccessToken.objects.filter(pk=token.pk).update(last_used_at=now)
    return token


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
