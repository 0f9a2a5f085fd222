"""The stages of documents: extracting, chunking, embedding, ready.

A worker takes several documents at once (`core.outbox`, groups). They are read side by side, and their chunks share
requests to the embeddings server; each has its own transactions, ends by itself and leaves the others alone.

The text is kept as soon as it is there, so that what comes after it can be tried again without reading the file again.
Chunks, vectors, weights and the new revision become visible in one transaction (`swap`).
"""

import uuid
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import closing

from django.db import InterfaceError, OperationalError, transaction
from django.utils import timezone

from core.outbox import Claim
from retrieval import quotas, realtime
from retrieval.chunking import chunk
from retrieval.embeddings import Vectors
from retrieval.errors import EmbeddingInputError, EmbeddingInvalidError, EmbeddingRefusedError, NoTextFoundError
from retrieval.ingestion import staging, succession
from retrieval.ingestion.embedding import Batch, Draft, Requests, VectorsByModel, embedded_beside, learn_dimensions
from retrieval.ingestion.job import Job, Move, State, move_all, opened
from retrieval.ingestion.pictures import is_without_words
from retrieval.ingestion.swap import Content, swap_in
from retrieval.ingestion.text import Text, texts
from retrieval.models import Document

_GIVEN_UP = "Working on this file ended without a result three times."
# What one text can bring upon all that share its request.
_ONES_FAULT = (EmbeddingInputError, EmbeddingInvalidError, EmbeddingRefusedError)


def ingest(claims: Sequence[Claim]) -> None:
    """Take documents from where they stand to ready or failed.

    Raises the database's own errors where it is away: then the claims expire and other workers go on. Everything else
    ends in the state line of the document that it is about.
    """
    jobs = opened(claims)
    with realtime.gathered():
        _Run().work(jobs)


class _Run:
    """One group of documents on its way."""

    def __init__(self) -> None:
        self._requests = Requests(sending=self._announce, answered=self._take)

    def work(self, jobs: Sequence[Job]) -> None:
        begun: list[Draft] = []
        with self._requests:
            with closing(texts(jobs)) as coming:
                for job, text in coming:
                    with job.ending():
                        begun.append(_draft(job, text()))
                        self._ask(begun[-1])
                    self._requests.collect()
            self._requests.flush()
        for draft in begun:
            if not draft.ended:
                with draft.job.ending():
                    _stop(draft)

    def _ask(self, draft: Draft) -> None:
        there = staging.known(draft.revision, draft.model, draft.pieces) if draft.is_long else set()
        draft.done = len(there)
        if draft.is_whole:
            _finish(draft)
        else:
            self._requests.add(draft, [at for at in range(len(draft.pieces)) if at not in there])

    def _announce(self, batch: Batch) -> bool:
        """Show that these documents are being embedded, and drop those that nobody wants any more."""
        drafts = [draft for draft in batch.places if not draft.is_stopped]
        wanted = move_all([Move(draft.job, State.EMBEDDING, draft.done, len(draft.pieces)) for draft in drafts])
        for draft in drafts:
            draft.ended = draft.job not in wanted
        return bool(wanted)

    def _take(self, batch: Batch, answer: "Future[Vectors]") -> None:
        try:
            vectors = answer.result()
            learn_dimensions(batch.model, vectors.shape[1])
        except _ONES_FAULT as error:
            if len(batch.places) > 1:
                for part in batch.alone():
                    self._requests.again(part)
            else:
                _end(batch, error)
        except (OperationalError, InterfaceError):
            raise
        except Exception as error:  # noqa: BLE001 - it is said in the state lines and in the log
            _end(batch, error)
        else:
            for draft, positions, some in batch.shares(vectors):
                if not draft.ended:
                    with draft.job.ending():
                        _take(draft, positions, some)


def _draft(job: Job, text: Text) -> Draft:
    (extraction, revision), store = text, job.document.store
    title = extraction.title or job.document.name
    pieces = chunk(extraction, title=title, max_tokens=store.chunk_tokens, overlap=store.chunk_overlap)
    if not pieces and not is_without_words(revision):
        raise NoTextFoundError("No text was found in this file.")
    _admit(job, sum(piece.tokens for piece in pieces))
    return Draft(job, revision, extraction.language, pieces, is_long=len(pieces) > staging.LONG)


def _admit(job: Job, tokens: int) -> None:
    """Count the tokens before anything is paid for them. Raises QuotaExceededError."""
    with transaction.atomic():
        job.claim.guard()
        quotas.admit_tokens(job.document, tokens)


def _end(batch: Batch, error: Exception) -> None:
    """What came of the request comes of every document in it, once what is under way for it is kept."""
    for draft in batch.places:
        draft.error = draft.error or error


def _stop(draft: Draft) -> None:
    """End what cannot go on now. Raises what kept it from that."""
    if draft.error is not None:
        raise draft.error
    draft.job.give_way(draft.done, len(draft.pieces))


def _take(draft: Draft, positions: list[int], vectors: Vectors) -> None:
    if draft.is_long:
        done = draft.done + len(positions)
        staging.keep(draft.job, draft.revision, draft.pieces, positions, vectors, done=done)
        draft.done = done
        draft.paused = draft.paused or draft.job.stands_in_the_way
    else:
        draft.take(positions, vectors)
    if draft.is_whole:
        _finish(draft)


def _finish(draft: Draft) -> None:
    draft.ended = True
    made: VectorsByModel = {}
    if draft.pieces:
        made = {draft.model.pk: None if draft.is_long else draft.vectors, **embedded_beside(draft)}
    swap_in(draft.job, Content.of(draft.revision, draft.pieces, made, draft.language))


def give_up(document_id: uuid.UUID) -> None:
    """End a document whose workers died or never came to an end, in the caller's transaction."""
    document = Document.objects.wanted().select_related("store", "replaces").filter(pk=document_id).first()
    ended = {"state": State.FAILED, "error_code": "worker_lost", "error_message": _GIVEN_UP, "error_retryable": True}
    if document is None or document.is_final or not succession.tell(document, ended):
        return
    unfinished = Document.objects.wanted().exclude(state__in=[State.READY, State.FAILED]).filter(pk=document_id)
    if unfinished.update(**ended, updated_at=timezone.now()):
        realtime.document_changed(document.pk, document.store_id)
