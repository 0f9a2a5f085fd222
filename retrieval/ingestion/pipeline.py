"""The stages of a document: extracting, chunking, embedding, ready.

The text is kept as soon as it is there, so that what comes after it can be tried again without reading the file again.
Chunks, vectors, weights and the new revision become visible in one transaction (`swap`).
"""

import logging
import uuid
from contextlib import suppress
from datetime import timedelta

from django.db import InterfaceError, OperationalError, transaction
from django.utils import timezone

from core.errors import ParleyError
from core.outbox import Claim, LostClaimError
from retrieval import quotas, realtime
from retrieval.chunking import chunk
from retrieval.errors import EmbeddingError, ExtractionError, QuotaExceededError
from retrieval.ingestion import succession
from retrieval.ingestion.embedding import embed
from retrieval.ingestion.job import Job, NoLongerWantedError, State
from retrieval.ingestion.swap import swap_in
from retrieval.ingestion.text import extracted
from retrieval.models import Document

logger = logging.getLogger(__name__)

# Seconds before a stage that met a server that was away is tried again; after the last one a person has to.
_DELAYS = (2, 4, 8, 16, 32, 60)
_GIVEN_UP = "Working on this file ended without a result three times."


def ingest(claim: Claim) -> None:
    """Take the document from where it stands to ready or failed.

    Raises LostClaimError, and the database's own errors where it is away: then the claim expires and another worker
    goes on. Everything else ends in the state line.
    """
    documents = Document.objects.wanted().select_related("file", "store__embedding_model__endpoint", "replaces")
    document = documents.filter(pk=claim.subject).first()
    if document is None or document.is_final:
        return
    job = Job(claim, document)
    with suppress(NoLongerWantedError):
        try:
            _run(job)
        except (NoLongerWantedError, LostClaimError, OperationalError, InterfaceError):
            raise
        except ParleyError as error:
            _wait_or_fail(job, error)
        except Exception:
            logger.exception("Document %s failed", document.pk)
            job.fail(
                "internal", "Something went wrong on our side. An administrator finds it in the log.", retryable=True
            )


def _run(job: Job) -> None:
    extraction, revision = extracted(job)
    job.move(State.CHUNKING)
    store, title = job.document.store, extraction.title or job.document.name
    pieces = chunk(extraction, title=title, max_tokens=store.chunk_tokens, overlap=store.chunk_overlap)
    _admit(job, sum(piece.tokens for piece in pieces))
    swap_in(job, revision, pieces, embed(job, pieces), language=extraction.language)


def _admit(job: Job, tokens: int) -> None:
    """Count the tokens before anything is paid for them. Raises QuotaExceededError."""
    with transaction.atomic():
        job.claim.guard()
        quotas.admit_tokens(job.document, tokens)


def _wait_or_fail(job: Job, error: ParleyError) -> None:
    """Wait for what may come back by itself. Not for a reader: a file that timed out would hold the worker again."""
    retries = int(job.claim.arguments.get("retries", 0))
    if error.retryable and not isinstance(error, ExtractionError) and retries < len(_DELAYS):
        logger.warning("Document %s waits: %s", job.document.pk, error)
        job.wait(error, retries=retries + 1, delay=timedelta(seconds=_DELAYS[retries]))
        return
    # a refused key, a missing model or a limit is mended by an administrator, not by another file
    mendable = error.retryable or isinstance(error, EmbeddingError | QuotaExceededError)
    job.fail(error.code, error.message, retryable=mendable)


def give_up(document_id: uuid.UUID) -> None:
    """End a document whose workers died or never came to an end, in the caller's transaction."""
    document = Document.objects.wanted().select_related("store", "replaces").filter(pk=document_id).first()
    ended = {"state": State.FAILED, "error_code": "worker_lost", "error_message": _GIVEN_UP, "error_retryable": True}
    if document is None or document.is_final or not succession.tell(document, ended):
        return
    unfinished = Document.objects.wanted().exclude(state__in=[State.READY, State.FAILED]).filter(pk=document_id)
    if unfinished.update(**ended, updated_at=timezone.now()):
        realtime.document_changed(document.pk, document.store_id)
