"""One worker's hold on one document: every state it passes through is committed under the claim and told."""

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone

from core import outbox
from core.errors import ParleyError
from core.outbox import Claim
from retrieval import realtime
from retrieval.ingestion import succession
from retrieval.models import Document

State = Document.State

_MESSAGE_LENGTH = 500
_UNFIT = re.compile("[\0-\x1f\x7f\ud800-\udfff]+")


class NoLongerWantedError(Exception):
    """The document was deleted, or got other content, while it was worked on."""


def clean_reason(message: str) -> str:
    """A failure's sentence as PostgreSQL and the page can take it."""
    return _UNFIT.sub(" ", message).strip()[:_MESSAGE_LENGTH] or "It failed without a reason."


@dataclass(frozen=True, slots=True)
class Job:
    """The claim and the document it is about, as it was when the work began."""

    claim: Claim
    document: Document

    def move(self, state: State, *, done: int = 0, total: int = 0, **columns: Any) -> None:
        """Commit a state with its progress and show it. Raises LostClaimError and NoLongerWantedError."""
        with transaction.atomic():
            self.claim.guard()
            self.write(state=state, progress_done=done, progress_total=total, **columns)

    def write(self, **columns: Any) -> None:
        """Write columns of the document in the caller's transaction, which holds the guard."""
        wanted = Document.objects.wanted().filter(pk=self.document.pk, sha256=self.document.sha256)
        if not succession.tell(self.document, columns) or not wanted.update(updated_at=timezone.now(), **columns):
            raise NoLongerWantedError
        if self.document.life == Document.Life.LIVE:
            realtime.document_changed(self.document.pk, self.document.store_id)

    def fail(self, code: str, message: str, *, retryable: bool) -> None:
        """End in the state failed, with a sentence."""
        self.move(State.FAILED, error_code=code, error_message=clean_reason(message), error_retryable=retryable)

    def wait(self, error: ParleyError, *, retries: int, delay: timedelta) -> None:
        """Put the work back for later, with the reason in the state line."""
        with transaction.atomic():
            self.claim.guard()
            self.write(state=State.QUEUED, progress_done=0, progress_total=0, error_message=clean_reason(error.message))
            outbox.enqueue(
                kind=self.claim.kind,
                subject=self.document.pk,
                owner=self.document.uploaded_by_id,
                arguments={**self.claim.arguments, "retries": retries},
                delay=delay,
            )
