"""One-time sign-in links. The token is shown once and only its SHA-256 is kept."""

import hashlib
import secrets
from datetime import timedelta

from django.conf import settings
from django.db import transaction
from django.urls import reverse
from django.utils import timezone

from core.models import SignInLink, User

LIFETIME = timedelta(hours=24)


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def make_sign_in_link(*, user: User) -> str:
    """Return an absolute address that signs `user` in once within 24 hours. Earlier unused links end."""
    token = secrets.token_urlsafe(32)
    now = timezone.now()
    with transaction.atomic():
        user.sign_in_links.filter(used_at=None).delete()
        SignInLink.objects.create(user=user, token_hash=_digest(token), expires_at=now + LIFETIME)
    return f"{settings.PUBLIC_URL}{reverse('sign_in_link', args=[token])}"


def find_link(token: str) -> SignInLink | None:
    """Return the link of this token if it can still be used."""
    links = SignInLink.objects.select_related("user")
    return links.filter(
        token_hash=_digest(token), used_at=None, expires_at__gt=timezone.now(), user__is_active=True
    ).first()


def redeem_link(token: str) -> User | None:
    """Use the link up and return whom it signs in; of two at once only one succeeds."""
    link = find_link(token)
    if link is None:
        return None
    used = SignInLink.objects.filter(pk=link.pk, used_at=None).update(used_at=timezone.now())
    return link.user if used else None
