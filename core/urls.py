"""Addresses of the core room, below the site's root."""

from django.urls import path

from core.accounts.views import sign_in_link
from core.views.health import healthz, livez
from core.views.tokens import access_tokens, revoke

urlpatterns = [
    path("sign-in/<token>/", sign_in_link, name="sign_in_link"),
    path("account/tokens/", access_tokens, name="access_tokens"),
    path("account/tokens/<uuid:token_id>/revoke/", revoke, name="revoke_access_token"),
    path("healthz", healthz, name="healthz"),
    path("livez", livez, name="livez"),
]
