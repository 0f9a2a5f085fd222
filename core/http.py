"""What views of every room do alike: who is asking, and how an error is told.

A script that asks for JSON gets `{code, message, retryable}` with the error's status. A browser gets the site's page
for what is not found or not allowed, and is otherwise sent back with the sentence shown.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast

from django.contrib import messages
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.utils.http import url_has_allowed_host_and_scheme

from core.errors import NotFoundError, ParleyError, PermissionDeniedError
from core.models import User

View = TypeVar("View", bound=Callable[..., HttpResponseBase])


def signed_in(request: HttpRequest) -> User:
    """Return the user of a request behind `answered` or `login_required`."""
    if not isinstance(request.user, User):
        raise TypeError("this view needs a signed-in user")
    return request.user


def answered(view: View) -> View:
    """Let only people in who are signed in, and tell errors the way they were asked for."""

    @wraps(view)
    def wrapper(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if not request.user.is_authenticated:
            return _sign_in(request)
        try:
            return view(request, *args, **kwargs)
        except ParleyError as error:
            return _tell(request, error)

    return cast(View, wrapper)


def answered_as_json(view: View) -> View:
    """As `answered`, for addresses that only programs ask: whatever they accept, errors are told as JSON."""

    @wraps(view)
    def wrapper(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if not request.user.is_authenticated:
            return _not_signed_in()
        try:
            return view(request, *args, **kwargs)
        except ParleyError as error:
            return error_json(error)

    return cast(View, wrapper)


def wants_json(request: HttpRequest) -> bool:
    return request.get_preferred_type(["text/html", "application/json"]) == "application/json"


def error_json(error: ParleyError) -> JsonResponse:
    """Return an error as the page's scripts read it."""
    body = {"code": error.code, "message": error.message, "retryable": error.retryable}
    return JsonResponse(body, status=error.status)


def _sign_in(request: HttpRequest) -> HttpResponse:
    if wants_json(request):
        return _not_signed_in()
    return redirect_to_login(request.get_full_path())


def _not_signed_in() -> HttpResponse:
    return JsonResponse({"code": "not_signed_in", "message": "Sign in first.", "retryable": False}, status=401)


def _tell(request: HttpRequest, error: ParleyError) -> HttpResponse:
    if wants_json(request):
        return error_json(error)
    if isinstance(error, NotFoundError):
        raise Http404(error.message) from error
    if isinstance(error, PermissionDeniedError):
        raise PermissionDenied(error.message) from error
    messages.error(request, error.message)
    came_from = request.headers.get("Referer", "")
    is_ours = url_has_allowed_host_and_scheme(came_from, allowed_hosts={request.get_host()})
    return redirect(came_from if is_ours else "/")
