"""A person's tokens for scripts: what there is, making one, ending one."""

import uuid

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_variables
from django.views.decorators.http import require_http_methods, require_POST

from core.accounts.access import MAX_DAYS, MAX_NAME_CHARS, make_access_token, revoke_access_token
from core.errors import InvalidInputError
from core.http import answered, signed_in
from core.models import AccessToken

# Days that the page offers; empty is until it is revoked.
LIFETIMES = ((30, gettext_lazy("30 days")), (90, gettext_lazy("90 days")), (MAX_DAYS, gettext_lazy("A year")))


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@answered
def access_tokens(request: HttpRequest) -> HttpResponseBase:
    """GET lists them. POST `name`, `scope`, `days` (may be empty) makes one and shows its secret, this once."""
    if request.method == "POST":
        return _made(request)
    return _page(request)


@require_POST
@answered
def revoke(request: HttpRequest, token_id: uuid.UUID) -> HttpResponseBase:
    revoke_access_token(user=signed_in(request), token_id=token_id)
    messages.success(request, _("The token is revoked. Nothing can sign in with it any more."))
    return redirect("access_tokens")


@sensitive_variables("secret")
def _made(request: HttpRequest) -> HttpResponse:
    made, secret = make_access_token(
        user=signed_in(request),
        name=request.POST.get("name", ""),
        scope=request.POST.get("scope", ""),
        days=_days(request.POST.get("days", "")),
    )
    # not by way of a redirect: the secret would have to be kept somewhere in between
    return _page(request, made=made, secret=secret)


def _days(given: str) -> int | None:
    if not given:
        return None
    if not (given.isascii() and given.isdigit() and len(given) < 5):
        raise InvalidInputError("Choose how long the token should last.")
    return int(given)


def _page(request: HttpRequest, *, made: AccessToken | None = None, secret: str = "") -> HttpResponse:
    context = {
        "page": "tokens",
        "tokens": signed_in(request).access_tokens.all(),
        "scopes": AccessToken.Scope.choices,
        "lifetimes": LIFETIMES,
        "name_chars": MAX_NAME_CHARS,
        "made": made,
        "secret": secret,
    }
    return render(request, "core/access_tokens.html", context)
