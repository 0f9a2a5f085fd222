"""Pictures that we made of documents: pages of a PDF, and pictures that people uploaded, made anew.

For `<img>`, so errors are told with a status and in JSON, never by sending the browser somewhere else. Whoever may read
the document sees them; rights are asked anew each time, also where a browser has the picture already.
"""

import asyncio
import uuid
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any

from asgiref.sync import sync_to_async
from django.db import close_old_connections
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils.cache import get_conditional_response
from django.utils.http import quote_etag
from django.views.decorators.http import require_safe

from core.bridge import in_database
from core.errors import InvalidInputError, NotFoundError, ParleyError
from core.http import error_json
from core.models import User
from retrieval import selectors
from retrieval.models import Document, Picture
from retrieval.pictures import kept, pages
from retrieval.pictures.queue import RETRY_AFTER, TooManyDrawnError

SMALL_TYPE = "image/webp"
_POLICY = "default-src 'none'; sandbox"

View = Callable[..., Coroutine[Any, Any, HttpResponse]]


def _for_readers(view: View) -> View:
    """Give a view the signed-in `user`, and tell errors as JSON that nobody keeps."""

    @require_safe
    @wraps(view)
    async def answering(request: HttpRequest, **arguments: Any) -> HttpResponse:
        user = await request.auser()
        if not isinstance(user, User):
            answer = {"code": "not_signed_in", "message": "Sign in first.", "retryable": False}
            return _unkept(JsonResponse(answer, status=401))
        # who waits for a picture must not keep one of few connections meanwhile
        await sync_to_async(close_old_connections)()
        try:
            return await view(request, user, **arguments)
        except ParleyError as error:
            response = _unkept(error_json(error))
            if isinstance(error, TooManyDrawnError):
                response.headers["Retry-After"] = str(RETRY_AFTER)
            return response

    return answering


@_for_readers
async def page_picture(request: HttpRequest, user: User, document_id: uuid.UUID, number: int) -> HttpResponse:
    """A page of a PDF as WebP; `width` is one of `pages.WIDTHS`, the smallest unless given."""
    file = (await in_database(selectors.get_document, user, document_id)).file
    width = _whole_number(request, "width", pages.WIDTHS[0])
    tag = quote_etag(pages.page_tag(file, number, width))
    if _is_known(request, tag):
        return _served(request, b"", SMALL_TYPE, tag)
    return _served(request, await pages.page_picture(file, number=number, width=width), SMALL_TYPE, tag)


@_for_readers
async def page_marks(request: HttpRequest, user: User, document_id: uuid.UUID) -> HttpResponse:
    """Where `start` to `end` of the document's text stand: `{pages: [{page, boxes: [[x, y, width, height]]}]}`.

    Boxes are shares of the page's width and height, one for each line. A page on which these characters are not found
    in a row has none.
    """
    start, end = _whole_number(request, "start", 0), _whole_number(request, "end", 0)
    document, parts = await in_database(_parts, user, document_id, start, end)
    found = await pages.page_marks(document.file, [part._asdict() for part in parts]) if parts else []
    return _unkept(JsonResponse({"pages": found}))


@_for_readers
async def picture(request: HttpRequest, user: User, document_id: uuid.UUID) -> HttpResponse:
    """A picture that somebody uploaded, as models get to see it."""
    made = await in_database(_picture, user, document_id)
    return await _kept(request, made, kept.PICTURE, made.mime_type)


@_for_readers
async def small_picture(request: HttpRequest, user: User, document_id: uuid.UUID) -> HttpResponse:
    """The small one of `picture`, as WebP."""
    made = await in_database(_picture, user, document_id)
    return await _kept(request, made, kept.SMALL, SMALL_TYPE)


async def _kept(request: HttpRequest, made: Picture, name: str, kind: str) -> HttpResponse:
    tag = quote_etag(f"{made.file.sha256[:32]} {name} {made.created_at.timestamp():.0f}".replace(" ", "-"))
    if _is_known(request, tag):
        return _served(request, b"", kind, tag)
    content = await asyncio.to_thread(kept.read, made.pk, name)
    if content is None:
        raise NotFoundError("The picture is missing from the storage.")
    return _served(request, content, kind, tag)


def _parts(user: User, document_id: uuid.UUID, start: int, end: int) -> tuple[Document, list[selectors.PagePart]]:
    document = selectors.get_document(user, document_id)
    if not 0 <= start < end:
        raise InvalidInputError("A text to mark has a start and an end behind it.")
    if document.revision is None or not pages.has_pages(document.file):
        return document, []
    return document, selectors.page_parts(document.revision, start, end)


def _picture(user: User, document_id: uuid.UUID) -> Picture:
    document = selectors.get_document(user, document_id)
    found = Picture.objects.select_related("file").filter(file=document.file_id).first()
    if found is None:
        raise NotFoundError("There is no picture of this document.")
    return found


def _whole_number(request: HttpRequest, name: str, default: int) -> int:
    given = request.GET.get(name, "")
    if not given:
        return default
    if not (given.isascii() and given.isdigit() and len(given) <= 9):
        raise InvalidInputError(f"“{name}” is a whole number.")
    return int(given)


def _is_known(request: HttpRequest, tag: str) -> bool:
    answer = get_conditional_response(request, etag=tag)
    return answer is not None and answer.status_code == 304


def _served(request: HttpRequest, content: bytes, kind: str, tag: str) -> HttpResponse:
    """The picture, or that the browser has it. It is kept by that browser only, which asks each time whether it may."""
    response = HttpResponse(content, content_type=kind)
    if _is_known(request, tag):
        response = HttpResponse(status=304)
        del response.headers["Content-Type"]
    response.headers["ETag"] = tag
    response.headers["Cache-Control"] = "private, no-cache"
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Content-Security-Policy"] = _POLICY
    response.headers["Content-Disposition"] = "inline"
    response.headers["Cross-Origin-Resource-Policy"] = "same-origin"
    return response


def _unkept(response: HttpResponse) -> HttpResponse:
    response.headers["Cache-Control"] = "private, no-store"
    return response
