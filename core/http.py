"""Small helpers for views."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse

from core.errors import ParleyError
from core.models import User


def signed_in(request: HttpRequest) -> User:
    """Return the user of a request behind `login_required`."""
    if not isinstance(request.user, User):
        raise TypeError("this view needs a signed-in user")
    return request.user


def error_json(error: ParleyError) -> JsonResponse:
    """Return an error as the page's scripts read it."""
    body = {"code": error.code, "message": error.message, "retryable": error.retryable}
    return JsonResponse(body, status=error.status)


def json_errors(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """Answer what a person got wrong with JSON `{code, message, retryable}` and the error's status."""

    @wraps(view)
    def answered(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        try:
            return view(request, *args, **kwargs)
        except ParleyError as error:
            return error_json(error)

    return answered
