"""What every view of this room does alike: who is asking, and how an error is told.

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
from django.template.loader import render_to_string

from core.errors import NotFoundError, ParleyError, PermissionDeniedError
from core.http import error_json
from retrieval.models import Document
from retrieval.selectors import document_view

View = TypeVar("View", bound=Callable[..., HttpResponseBase])


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


def wants_json(request: HttpRequest) -> bool:
    return request.get_preferred_type(["text/html", "application/json"]) == "application/json"


def document_html(document: Document) -> str:
    """A document's row, as the page and the socket show it."""
    return render_to_string("retrieval/_partials/document.html", {"document": document_view(document)})


def _sign_in(request: HttpRequest) -> HttpResponse:
    if wants_json(request):
        answer = {"code": "not_signed_in", "message": "Sign in first.", "retryable": False}
        return JsonResponse(answer, status=401)
    return redirect_to_login(request.get_full_path())


def _tell(request: HttpRequest, error: ParleyError) -> HttpResponse:
    if wants_json(request):
        return error_json(error)
    if isinstance(error, NotFoundError):
        raise Http404(error.message) from error
    if isinstance(error, PermissionDeniedError):
        raise PermissionDenied(error.message) from error
    messages.error(request, error.message)
    return redirect("retrieval:library")
