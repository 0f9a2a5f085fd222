"""The authentication backend behind one-time links."""

from django.contrib.auth.backends import ModelBackend
from django.http import HttpRequest

from core.accounts.links import redeem_link
from core.models import User


class SignInLinkBackend(ModelBackend):
    """Signs in by a link's token alone; passwords are allauth's matter."""

    def authenticate(  # type: ignore[override]
        self, _request: HttpRequest | None, sign_in_token: str | None = None, **_credentials: object
    ) -> User | None:
        return redeem_link(sign_in_token) if sign_in_token else None
