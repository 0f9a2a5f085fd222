"""What tus 1.0.0 (tus.io, "Resumable Upload Protocol 1.0.x") says in headers: read here, and written here."""

import base64
import binascii
import uuid
from datetime import UTC
from functools import wraps
from typing import Any, cast

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from django.utils.http import http_date

from core.errors import InvalidInputError
from core.http import View, answered_as_json
from retrieval.errors import OffsetError
from retrieval.models import Upload
from retrieval.services.resumable import Announced

VERSION = "1.0.0"
EXTENSIONS = "creation,checksum,expiration,termination"
PART_TYPE = "application/offset+octet-stream"


def speaks_tus(view: View) -> View:
    """Answer OPTIONS, refuse other versions, tell the offset with a conflict, and put the version on each answer."""

    @answered_as_json
    def told(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        try:
            return view(request, *args, **kwargs)
        except OffsetError as error:
            body = {"code": error.code, "message": error.message, "retryable": True, "offset": error.offset}
            return JsonResponse(body, status=error.status, headers={"Upload-Offset": str(error.offset)})

    @wraps(view)
    def wrapper(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if request.method == "OPTIONS":
            response: HttpResponseBase = _options()
        elif request.method != "GET" and request.headers.get("Tus-Resumable") != VERSION:
            body = {"code": "version", "message": f"Only tus {VERSION} is spoken here.", "retryable": False}
            response = JsonResponse(body, status=412, headers={"Tus-Version": VERSION})
        else:
            response = told(request, *args, **kwargs)
        response.headers["Tus-Resumable"] = VERSION
        response.headers["Cache-Control"] = "no-store"
        return response

    return cast(View, wrapper)


def _options() -> HttpResponse:
    supported = {
        "Tus-Version": VERSION,
        "Tus-Extension": EXTENSIONS,
        "Tus-Checksum-Algorithm": "sha256",
        "Tus-Max-Size": str(settings.UPLOAD_MAX_BYTES),
    }
    return HttpResponse(status=204, headers=supported)


def announced(request: HttpRequest) -> Announced:
    """Read the headers of a beginning: `Upload-Length`, and `Upload-Metadata` with `filename`, and where they are known
    `id` (UUID of the sender's choice), `path`, `sha256` (hexadecimal) and `modified` (milliseconds).

    Raises InvalidInputError.
    """
    told = metadata(request)
    sha256, modified = told.get("sha256", "").lower(), told.get("modified", "")
    if sha256 and (len(sha256) != 64 or not _all_in(sha256, "0123456789abcdef")):
        raise InvalidInputError("The sha256 has to be 64 hexadecimal digits.")
    return Announced(
        client_id=_uuid(told["id"]) if told.get("id") else uuid.uuid4(),
        name=told.get("filename", "") or told.get("name", ""),
        size=whole(request, "Upload-Length"),
        path=told.get("path", ""),
        sha256=sha256,
        modified=int(modified) if _is_whole(modified) else None,
    )


def metadata(request: HttpRequest) -> dict[str, str]:
    """Read pairs of a key and a value in base64, separated by commas."""
    pairs = [pair.split() for pair in request.headers.get("Upload-Metadata", "").split(",") if pair.strip()]
    try:
        return {key: base64.b64decode("".join(value), validate=True).decode() for key, *value in pairs}
    except (binascii.Error, UnicodeDecodeError) as error:
        raise InvalidInputError("Upload-Metadata has to be keys with values in base64.") from error


def whole(request: HttpRequest, header: str) -> int:
    value = request.headers.get(header, "")
    if not _is_whole(value):
        raise InvalidInputError(f"{header} has to be a whole number.")
    return int(value)


def checksum(request: HttpRequest) -> str:
    """The sha256 of a part in hexadecimal from `Upload-Checksum`; empty where there is none."""
    value = request.headers.get("Upload-Checksum", "")
    if not value:
        return ""
    algorithm, _, encoded = value.partition(" ")
    try:
        digest = base64.b64decode(encoded, validate=True)
    except binascii.Error:
        digest = b""
    if algorithm != "sha256" or len(digest) != 32:
        raise InvalidInputError("Upload-Checksum has to be sha256 and the hash in base64.")
    return digest.hex()


def place(upload: Upload) -> dict[str, str]:
    """The headers that say how far an upload is."""
    return {
        "Upload-Offset": str(upload.received),
        "Upload-Length": str(upload.size),
        "Upload-Expires": http_date(upload.expires_at.astimezone(UTC).timestamp()),
    }


def _uuid(value: str) -> uuid.UUID:
    try:
        return uuid.UUID(value)
    except ValueError:
        raise InvalidInputError("The id of an upload has to be a UUID.") from None


def _is_whole(value: str) -> bool:
    return value.isascii() and value.isdigit() and len(value) < 16


def _all_in(value: str, letters: str) -> bool:
    return not set(value) - set(letters)
