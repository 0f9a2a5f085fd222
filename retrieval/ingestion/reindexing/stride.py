"""A worker's hold on a store that is indexed anew, for a few seconds."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.db.models.functions import Now

from core.errors import ParleyError
from core.outbox import Claim
from retrieval import realtime
from retrieval.ingestion.job import NoLongerWantedError, clean_reason
from retrieval.ingestion.rows import lock_store
from retrieval.models import Reindexing, VectorStore

State = Reindexing.State

# Seconds after which what waits gets its turn. What is under way is finished first.
SECONDS = 5.0
# What a row says of its failures once something went well.
WELL: dict[str, Any] = {"retries": 0, "error_message": ""}


@dataclass(slots=True)
class Stride:
    """The claim and the row, as both were when the stride began."""

    claim: Claim
    row: Reindexing
    began: float = field(default_factory=time.monotonic)

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.began

    @property
    def is_over(self) -> bool:
        return self.seconds > SECONDS

    @contextmanager
    def writing(self) -> Iterator[VectorStore]:
        """A transaction in which the claim, the store's lock and the row are held, and the row is the latest.

        Raises LostClaimError, and NoLongerWantedError where it was cancelled meanwhile or the store has gone.
        """
        with transaction.atomic():
            self.claim.guard()
            try:
                store = lock_store(self.row.store_id)
            except VectorStore.DoesNotExist as error:
                raise NoLongerWantedError from error
            rows = Reindexing.objects.select_for_update(of=("self",)).select_related("to_model__endpoint")
            row = rows.filter(pk=self.row.pk, state__in=Reindexing.WORKING).first()
            if row is None or store.deleted_at is not None:
                raise NoLongerWantedError
            self.row = row
            yield store

    def save(self, **columns: object) -> None:
        """Write columns of the row in the transaction of `writing`, and show it."""
        for name, value in columns.items():
            setattr(self.row, name, value)
        self.row.save(update_fields=[*columns])
        realtime.reindexing_changed(self.row.store_id)

    def end(self) -> None:
        """Count the stride as one that came to its end; the store stands in line again."""
        with self.writing():
            self.save(strides=0, retries=0, error_message="", served_at=Now(), seconds=self.row.seconds + self.seconds)

    def wait(self, error: ParleyError, delay: timedelta) -> None:
        """Try again later, with the reason shown meanwhile."""
        with self.writing():
            reason = clean_reason(error.message)
            retries = self.row.retries + 1
            self.save(strides=0, retries=retries, error_message=reason, served_at=Now(), due_at=Now() + delay)

    def fail(self, code: str, message: str) -> None:
        """Stop, with a sentence. What is done is kept, and searches go on as before."""
        with self.writing():
            fail(self.row, code, message)


def fail(row: Reindexing, code: str, message: str) -> None:
    """End a row in the caller's transaction, which holds its lock."""
    row.state, row.error_code, row.error_message = State.FAILED, code, clean_reason(message)
    row.strides = row.retries = 0
    row.save(update_fields=["state", "error_code", "error_message", "strides", "retries"])
    realtime.reindexing_changed(row.store_id)
