"""Taking a file from a browser or a script."""

import uuid

from django.conf import settings
from django.contrib import messages
from django.core.exceptions import SuspiciousOperation
from django.core.files.uploadedfile import UploadedFile
from django.http import HttpRequest, JsonResponse
from django.http.multipartparser import MultiPartParserError
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.views.decorators.csrf import csrf_exempt, csrf_protect
from django.views.decorators.http import require_POST

from core.errors import InvalidInputError
from core.http import signed_in
from core.models.grants import Role
from retrieval import selectors, services
from retrieval.errors import TooLargeError
from retrieval.views.answers import answered, document_html, wants_json

# What a multipart body may have besides the file: borders, headers, the token.
_ROOM_FOR_FORM = 64 * 1024


@csrf_exempt  # only here: the check of the token parses the body, which is looked at first
@require_POST
@answered
def upload(request: HttpRequest, store_id: uuid.UUID) -> HttpResponseBase:
    """POST multipart `file`: 201 (200 for content that is there already) `{document, html, created}`.

    Rights and the announced length are checked before the body is parsed.
    """
    selectors.get_store(signed_in(request), store_id, Role.EDITOR)
    limit: int = settings.UPLOAD_MAX_BYTES
    if _announced_length(request) > limit + _ROOM_FOR_FORM:
        raise TooLargeError(f"This file is larger than {limit / 1024**2:,.0f} MB, the most that is taken.")
    try:
        return _take(request, store_id)
    except (MultiPartParserError, SuspiciousOperation) as error:
        raise InvalidInputError("The upload was cut short or is not a form with one file.") from error


@csrf_protect
def _take(request: HttpRequest, store_id: uuid.UUID) -> HttpResponseBase:
    content = request.FILES.get("file")
    if not isinstance(content, UploadedFile):
        raise InvalidInputError("Choose a file to upload.")
    store = selectors.get_store(signed_in(request), store_id, Role.EDITOR)
    result = services.upload(user=signed_in(request), store=store, name=content.name or "", content=content)
    if wants_json(request):
        document = result.document
        answer = {"document": str(document.pk), "html": document_html(document), "created": result.created}
        return JsonResponse(answer, status=201 if result.created else 200)
    if not result.created:
        messages.info(request, f"This file is in the store already, as “{result.document.name}”.")
    return redirect(store)


def _announced_length(request: HttpRequest) -> int:
    length = request.META.get("CONTENT_LENGTH") or "0"
    return int(length) if length.isascii() and length.isdigit() else 0
