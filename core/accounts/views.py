"""The page behind a one-time link."""

from django.contrib import messages
from django.contrib.auth import authenticate, login
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_variables
from django.views.decorators.http import require_http_methods

from core.accounts.links import find_link


@never_cache
@sensitive_variables("token")
@require_http_methods(["GET", "POST"])
def sign_in_link(request: HttpRequest, token: str) -> HttpResponse:
    """Ask first (mail scanners and link previews fetch addresses too), then sign in and use the link up."""
    if request.method == "GET":
        link = find_link(token)
        if link is None:
            return render(request, "core/sign_in_link_invalid.html", status=410)
        return render(request, "core/sign_in_link.html", {"email": link.user.email})
    user = authenticate(request, sign_in_token=token)
    if user is None:
        return render(request, "core/sign_in_link_invalid.html", status=410)
    login(request, user)
    if not user.has_usable_password():
        sentence = _('You are signed in. <a href="{}">Set a password</a> to sign in next time.')
        messages.info(request, format_html(sentence, reverse("account_set_password")))
    return redirect("chat:home")
