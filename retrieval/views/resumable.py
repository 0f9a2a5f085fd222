"""Uploads in parts over HTTP: tus 1.0.0, and besides it a GET that tells what an upload became (docs/uploads.md)."""

import uuid

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from django.urls import reverse
from django.views.decorators.http import require_http_methods

from core.errors import InvalidInputError
from core.http import signed_in
from core.models.grants import Role
from retrieval import selectors, services
from retrieval.errors import TooLargeError
from retrieval.models import Upload
from retrieval.views import tus
from retrieval.views.answers import document_html
from retrieval.views.receiving import announced_length


@require_http_methods(["POST", "OPTIONS"])
@tus.speaks_tus
def begin(request: HttpRequest, store_id: uuid.UUID) -> HttpResponseBase:
    """POST begins an upload into a store: 201 with its `Location`."""
    return begun(begin_into(request, store_id))


def begin_into(request: HttpRequest, store_id: uuid.UUID) -> Upload:
    user = signed_in(request)
    store = selectors.get_store(user, store_id, Role.EDITOR)
    return services.begin_upload(user=user, store=store, file=tus.announced(request))


def begun(upload: Upload, *, parts_at: str = "retrieval:upload_parts") -> HttpResponse:
    """The answer to a beginning, whatever the upload goes into; `parts_at` is the name of the address for parts."""
    location = reverse(parts_at, args=[upload.pk])
    return HttpResponse(status=201, headers={"Location": location, **tus.place(upload)})


@require_http_methods(["HEAD", "GET", "PATCH", "DELETE", "OPTIONS"])
@tus.speaks_tus
def upload_parts(request: HttpRequest, upload_id: uuid.UUID) -> HttpResponseBase:
    """HEAD tells the offset, PATCH appends, DELETE discards, GET tells what became of it."""
    user = signed_in(request)
    match request.method:
        case "PATCH":
            return _append(request, upload_id)
        case "DELETE":
            services.discard_upload(user=user, upload_id=upload_id)
            return HttpResponse(status=204)
        case "GET":
            return _told(services.finish_upload(services.get_upload(user=user, upload_id=upload_id)))
    return HttpResponse(headers=tus.place(services.get_upload(user=user, upload_id=upload_id)))


def _append(request: HttpRequest, upload_id: uuid.UUID) -> HttpResponse:
    if request.content_type != tus.PART_TYPE:
        raise InvalidInputError(f"A part has to be of the type {tus.PART_TYPE}.")
    if announced_length(request) > settings.UPLOAD_PART_BYTES:
        raise TooLargeError(f"A part has at most {settings.UPLOAD_PART_BYTES:,} bytes.")
    upload = services.append_part(
        user=signed_in(request),
        upload_id=upload_id,
        offset=tus.whole(request, "Upload-Offset"),
        content=request,
        sha256=tus.checksum(request),
    )
    return HttpResponse(status=204, headers=tus.place(upload))


def _told(upload: Upload) -> JsonResponse:
    """`parts` are [start, size, sha256] of what is stored, for holding a file against that is to go on."""
    document = upload.document
    answer = {
        "state": upload.state,
        "name": upload.name,
        "size": upload.size,
        "received": upload.received,
        "parts": list(upload.parts.values_list("start", "size", "sha256")),
        "document": str(document.pk) if document else None,
        "archive": str(upload.archive_id) if upload.archive_id else None,
        "created": upload.archive_id is not None or (document is not None and document.pk == upload.pk),
        "html": document_html(document) if document else "",
        "kept_as": document.name if document else "",
    }
    return JsonResponse(answer)
