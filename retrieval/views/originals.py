"""The files that people uploaded, as they are. A browser is given nothing of them but bytes to keep."""

import asyncio
import re
import uuid
from collections.abc import AsyncIterator

from django.core.files.storage import default_storage
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.utils.http import content_disposition_header, quote_etag
from django.views.decorators.http import require_safe

from core.errors import NotFoundError
from core.http import answered, signed_in
from retrieval import selectors
from retrieval.models import Document

_BLOCK = 256 * 1024
# one range of bytes (RFC 9110, 14.1.2); more than one at a time are answered with the whole file, which is allowed
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})", re.ASCII)


@require_safe
@answered
def file(request: HttpRequest, document_id: uuid.UUID) -> HttpResponseBase:
    """The original, always as an attachment of one fixed type: a browser runs nothing of what people upload.

    A download that was broken off goes on by `Range`.
    """
    return original(request, selectors.get_document(signed_in(request), document_id))


def original(request: HttpRequest, kept: Document) -> HttpResponseBase:
    """Answer with the bytes that were uploaded. Raises NotFoundError where the storage has lost them."""
    stored, size = kept.file.storage_name, kept.file.size
    if not default_storage.exists(stored):
        raise NotFoundError("The file is missing from the storage.")
    tag = quote_etag(kept.file.sha256)
    wanted = _wanted(request, size, tag)
    if wanted is None:
        response: HttpResponseBase = HttpResponse(status=416)
        response.headers["Content-Range"] = f"bytes */{size}"
    else:
        first, past = wanted
        part = past - first < size
        response = StreamingHttpResponse(_blocks(stored, first, past), status=206 if part else 200)
        response.headers["Content-Length"] = str(past - first)
        if part:
            response.headers["Content-Range"] = f"bytes {first}-{past - 1}/{size}"
    response.headers["Accept-Ranges"] = "bytes"
    response.headers["Cache-Control"] = "private, no-store"
    response.headers["Content-Disposition"] = content_disposition_header(as_attachment=True, filename=kept.name) or ""
    response.headers["Content-Security-Policy"] = "default-src 'none'; sandbox"
    response.headers["Content-Type"] = "application/octet-stream"
    response.headers["Cross-Origin-Resource-Policy"] = "same-origin"
    response.headers["ETag"] = tag
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response


def _wanted(request: HttpRequest, size: int, tag: str) -> tuple[int, int] | None:
    """The [first, past) bytes that are asked for; None where the file has none of them."""
    asked = _RANGE.fullmatch(request.headers.get("Range", "").replace(" ", ""))
    if asked is None or asked[0] == "bytes=-" or request.headers.get("If-Range", tag) != tag:
        return 0, size
    first, last = asked[1], asked[2]
    if not first:
        return (max(0, size - int(last)), size) if int(last) else None
    if last and int(last) < int(first):
        return 0, size
    return (int(first), min(size, int(last) + 1 if last else size)) if int(first) < size else None


async def _blocks(storage_name: str, first: int, past: int) -> AsyncIterator[bytes]:
    stored = await asyncio.to_thread(default_storage.open, storage_name)
    try:
        await asyncio.to_thread(stored.seek, first)
        left = past - first
        while left and (block := await asyncio.to_thread(stored.read, min(_BLOCK, left))):
            left -= len(block)
            yield block
    finally:
        await asyncio.to_thread(stored.close)
