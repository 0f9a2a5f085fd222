"""How a view takes one uploaded file: the same for a store of the library and for a conversation."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.conf import settings
from django.core.exceptions import SuspiciousOperation
from django.core.files.uploadedfile import UploadedFile
from django.http import HttpRequest
from django.http.multipartparser import MultiPartParserError
from django.http.response import HttpResponseBase
from django.views.decorators.csrf import csrf_exempt, csrf_protect
from django.views.decorators.http import require_POST

from core.errors import InvalidInputError
from core.http import answered
from retrieval.errors import TooLargeError

# What a multipart body may have besides the file: borders, headers, the token.
ROOM_FOR_FORM = 64 * 1024

View = Callable[..., HttpResponseBase]
Check = Callable[..., object]


def receives_file(check: Check) -> Callable[[View], View]:
    """Give a view the form's `file` as `content`.

    `check(request, **url_arguments)` and the announced length are looked at before the body is parsed. The check of
    the CSRF token parses it, so it comes after them and not from the middleware.
    """

    def decorate(view: View) -> View:
        @csrf_protect
        def parsed(request: HttpRequest, **arguments: Any) -> HttpResponseBase:
            return view(request, content=received_file(request), **arguments)

        @csrf_exempt
        @require_POST
        @answered
        @wraps(view)
        def receiving(request: HttpRequest, **arguments: Any) -> HttpResponseBase:
            check(request, **arguments)
            refuse_too_large(request)
            try:
                return parsed(request, **arguments)
            except (MultiPartParserError, SuspiciousOperation) as error:
                raise _not_a_form() from error

        return receiving

    return decorate


def received_file(request: HttpRequest) -> "UploadedFile[Any]":
    """Return the form's `file`. Raises TooLargeError by the announced length, InvalidInputError where there is none."""
    refuse_too_large(request)
    try:
        content = request.FILES.get("file")
    except (MultiPartParserError, SuspiciousOperation) as error:
        raise _not_a_form() from error
    if not isinstance(content, UploadedFile):
        raise InvalidInputError("Choose a file to upload.")
    return content


def refuse_too_large(request: HttpRequest) -> None:
    """Raise TooLargeError for a body that is announced to be more than a file may be, before any of it is read."""
    limit: int = settings.UPLOAD_MAX_BYTES
    if announced_length(request) > limit + ROOM_FOR_FORM:
        raise TooLargeError(f"This file is larger than {limit / 1024**2:,.0f} MB, the most that is taken.")


def _not_a_form() -> InvalidInputError:
    return InvalidInputError("The upload was cut short or is not a form with one file.")


def announced_length(request: HttpRequest) -> int:
    """The bytes that the body has by its header; 0 where that says nothing."""
    length = request.META.get("CONTENT_LENGTH") or "0"
    return int(length) if length.isascii() and length.isdigit() else 0
