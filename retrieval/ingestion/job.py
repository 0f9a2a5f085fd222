"""One worker's hold on documents: every state they pass through is committed under their claims and told."""

import logging
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db import InterfaceError, OperationalError, connection, transaction
from django.utils import timezone

from core import outbox
from core.errors import ParleyError
from core.outbox import Claim, LostClaimError
from retrieval import realtime
from retrieval.errors import EmbeddingError, ExtractionError, QuotaExceededError
from retrieval.ingestion import succession
from retrieval.models import Document

logger = logging.getLogger(__name__)

State = Document.State

# Seconds before a stage that met a server that was away is tried again; after the last one a person has to.
_DELAYS = (2, 4, 8, 16, 32, 60)
# The most that a server which asks for time gets.
_LONGEST = 900
# How often a long document lets small work go first.
_GIVES_WAY = 8
_MESSAGE_LENGTH = 500
_UNFIT = re.compile("[\0-\x1f\x7f\ud800-\udfff]+")

# Documents that somebody holds at this moment are left out: whoever changes several at once must not wait crosswise,
# and the next state comes soon.
_MOVE = """
UPDATE retrieval_document SET state = moved.state, progress_done = moved.done, progress_total = moved.total,
    updated_at = now()
FROM (
    SELECT document.id, wanted.state, wanted.done, wanted.total FROM retrieval_document document
    JOIN unnest(%s::uuid[], %s::text[], %s::text[], %s::int[], %s::int[]) AS wanted (id, sha256, state, done, total)
        USING (id, sha256)
    WHERE document.life = 'live' FOR NO KEY UPDATE OF document SKIP LOCKED
) moved
WHERE retrieval_document.id = moved.id
"""


class NoLongerWantedError(Exception):
    """The document was deleted, or got other content, while it was worked on."""


def clean_reason(message: str) -> str:
    """A failure's sentence as PostgreSQL and the page can take it."""
    return _UNFIT.sub(" ", message).strip()[:_MESSAGE_LENGTH] or "It failed without a reason."


@dataclass(frozen=True, slots=True, eq=False)
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

    @contextmanager
    def ending(self) -> Iterator[None]:
        """End what goes wrong in the block in the state line of this document, and leave others alone.

        Raises only the database's own errors where it is away: then the claim expires and another worker goes on.
        """
        try:
            try:
                yield
            except (NoLongerWantedError, LostClaimError, OperationalError, InterfaceError):
                raise
            except ParleyError as error:
                self.wait_or_fail(error)
            except Exception:
                logger.exception("Document %s failed", self.document.pk)
                self._fail(
                    "internal",
                    "Something went wrong on our side. An administrator finds it in the log.",
                    retryable=True,
                )
        except NoLongerWantedError:
            pass
        except LostClaimError:
            logger.warning("Document %s was taken over", self.document.pk)

    def wait_or_fail(self, error: ParleyError) -> None:
        """Wait for what may come back by itself.

        Not for a reader: a file that timed out would hold the worker again.
        """
        retries = int(self.claim.arguments.get("retries", 0))
        if error.retryable and not isinstance(error, ExtractionError) and retries < len(_DELAYS):
            logger.warning("Document %s waits: %s", self.document.pk, error)
            asked = min(getattr(error, "after", None) or 0, _LONGEST)
            self._wait(error, retries=retries + 1, delay=timedelta(seconds=max(_DELAYS[retries], asked)))
            return
        # a refused key, a missing model or a limit is mended by an administrator, not by another file
        mendable = error.retryable or isinstance(error, EmbeddingError | QuotaExceededError)
        self._fail(error.code, error.message, retryable=mendable)

    @property
    def stands_in_the_way(self) -> bool:
        """Whether small work waits that no other worker takes; not for ever, lest a long document never ends."""
        return self._times_given_way < _GIVES_WAY and outbox.lighter_waits(self.claim)

    @property
    def _times_given_way(self) -> int:
        return int(self.claim.arguments.get("gave_way", 0))

    def give_way(self, done: int, total: int) -> None:
        """Let others go first; what is done so far is kept."""
        with transaction.atomic():
            self.claim.guard()
            self.write(state=State.QUEUED, progress_done=done, progress_total=total)
            outbox.give_way(self.claim, {**self.claim.arguments, "gave_way": self._times_given_way + 1})

    def _fail(self, code: str, message: str, *, retryable: bool) -> None:
        """End in the state failed, with a sentence."""
        self.move(State.FAILED, error_code=code, error_message=clean_reason(message), error_retryable=retryable)

    def _wait(self, error: ParleyError, *, retries: int, delay: timedelta) -> None:
        """Put the work back for later, with the reason in the state line."""
        with transaction.atomic():
            self.claim.guard()
            self.write(state=State.QUEUED, progress_done=0, progress_total=0, error_message=clean_reason(error.message))
            outbox.enqueue(
                kind=self.claim.kind,
                subject=self.document.pk,
                owner=self.document.uploaded_by_id,
                arguments={**self.claim.arguments, "retries": retries},
                weight=self.claim.weight,
                delay=delay,
            )


@dataclass(frozen=True, slots=True)
class Move:
    """A document's state to be shown: pages or chunks done, of how many."""

    job: Job
    state: State
    done: int = 0
    total: int = 0


def move_all(moves: Sequence[Move]) -> set[Job]:
    """Commit the states of several documents together; returns the jobs that are still ours and still wanted."""
    if not moves:
        return set()
    with transaction.atomic():
        held = outbox.guard_all([move.job.claim for move in moves])
        ours = [move for move in moves if move.job.claim.id in held]
        pending = [move for move in ours if move.job.document.life == Document.Life.PENDING]
        live = [move for move in ours if move not in pending]
        with connection.cursor() as cursor:
            cursor.execute(_MOVE, _columns(live))
        present = dict(Document.objects.live().filter(pk__in=_columns(live)[0]).values_list("pk", "sha256"))
        still = {move.job for move in live if present.get(move.job.document.pk) == move.job.document.sha256}
        realtime.documents_changed([(job.document.pk, job.document.store_id) for job in still])
    # what they are is said on other documents, whose rows are locked one by one
    return still | {move.job for move in pending if _moved(move)}


def _columns(moves: Sequence[Move]) -> list[list[Any]]:
    documents = [move.job.document for move in moves]
    return [
        [document.pk for document in documents],
        [document.sha256 for document in documents],
        *([getattr(move, name) for move in moves] for name in ("state", "done", "total")),
    ]


def _moved(move: Move) -> bool:
    try:
        move.job.move(move.state, done=move.done, total=move.total)
    except (LostClaimError, NoLongerWantedError):
        return False
    return True


def opened(claims: Iterable[Claim]) -> list[Job]:
    """The claims whose documents still want something done."""
    by_document = {claim.subject: claim for claim in claims}
    documents = Document.objects.wanted().select_related("file", "store__embedding_model__endpoint", "replaces")
    found = documents.filter(pk__in=list(by_document)).in_bulk()
    return [Job(claim, found[pk]) for pk, claim in by_document.items() if pk in found and not found[pk].is_final]
