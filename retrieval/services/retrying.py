"""Trying again everything in a store that may be read after all."""

import uuid

from django.db import transaction
from django.utils import timezone

from core import outbox
from core.models import User
from core.models.grants import Role
from retrieval import ingestion, realtime, selectors
from retrieval.models import Document
from retrieval.services.documents import AFRESH


@transaction.atomic
def retry_failed(*, user: User, store_id: uuid.UUID) -> int:
    """Queue the documents of a store again that failed for a reason that may pass; needs editor on it.

    Returns how many. Raises NotFoundError and PermissionDeniedError.
    """
    store = selectors.get_store(user, store_id, Role.EDITOR)
    failed = Document.objects.wanted().filter(store=store, state=Document.State.FAILED, error_retryable=True)
    work = list(failed.select_for_update(of=("self",)).values_list("pk", "uploaded_by", "file__size"))
    documents = [document for document, _, _ in work]
    Document.objects.filter(pk__in=documents).update(updated_at=timezone.now(), **AFRESH)
    outbox.enqueue_all(kind=ingestion.INGEST, work=work)
    realtime.documents_changed([(document, store.pk) for document in documents])
    return len(documents)
