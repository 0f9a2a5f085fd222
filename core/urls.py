"""Addresses of the core room, below the site's root."""

from django.urls import path

from core.accounts.views import sign_in_link
from core.views.health import healthz, livez

urlpatterns = [
    path("sign-in/<token>/", sign_in_link, name="sign_in_link"),
    path("healthz", healthz, name="healthz"),
    path("livez", livez, name="livez"),
]
