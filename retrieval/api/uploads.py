"""Uploads in parts for scripts: the protocol of the pages (tus 1.0.0), with a token instead of a session."""

import uuid

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.views.decorators.http import require_http_methods

from core.api import with_token
from retrieval.views import tus, upload_parts
from retrieval.views.resumable import begin_into, begun


@tus.speaks_tus
def _begin(request: HttpRequest, store_id: uuid.UUID) -> HttpResponseBase:
    return begun(begin_into(request, store_id), parts_at="retrieval:api_upload")


begin = with_token(require_http_methods(["POST", "OPTIONS"])(_begin))
parts = with_token(upload_parts)
