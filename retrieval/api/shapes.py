"""Stores and documents as JSON: what a script gets to see. Times are ISO 8601 in UTC, sizes are bytes."""

from datetime import datetime
from typing import Any

from django.urls import reverse

from core.api import person
from retrieval.models import Document, VectorStore


def store_json(store: VectorStore) -> dict[str, Any]:
    """A vector store; its embedding model should be loaded with it."""
    return {
        "id": str(store.pk),
        "object": "vector_store",
        "name": store.name,
        "description": store.description,
        "embedding_model": store.embedding_model.name,
        "chunking": {"max_tokens": store.chunk_tokens, "overlap_tokens": store.chunk_overlap},
        "created_at": _time(store.created_at),
        "expires_at": _time(store.expires_at),
    }


def document_json(document: Document) -> dict[str, Any]:
    """A document; its file and who uploaded it should be loaded with it.

    `error` is what it failed with, else null; `progress` counts pages or chunks of the present state, else null.
    """
    return {
        "id": str(document.pk),
        "object": "document",
        "store": str(document.store_id),
        "name": document.name,
        "state": document.state,
        "error": _error(document),
        "progress": _progress(document),
        "mime_type": document.file.mime_type,
        "size": document.file.size,
        "sha256": document.sha256,
        "pages": document.page_count,
        "chunks": document.chunk_count,
        "tokens": document.token_count,
        "language": document.language,
        "attributes": document.attributes,
        "uploaded_by": person(document.uploaded_by),
        "created_at": _time(document.created_at),
        "ready_at": _time(document.ready_at),
        "url": reverse("retrieval:api_document", args=[document.pk]),
    }


def _error(document: Document) -> dict[str, Any] | None:
    if document.state != Document.State.FAILED:
        return None
    return {
        "code": document.error_code,
        "message": document.error_message,
        "retryable": document.error_retryable,
    }


def _progress(document: Document) -> dict[str, int] | None:
    if document.is_final or not document.progress_total:
        return None
    return {"done": document.progress_done, "total": document.progress_total}


def _time(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None
