"""Who is next, and what becomes of a stride that went wrong."""

import logging
import uuid
from datetime import timedelta

from django.db import InterfaceError, OperationalError, transaction
from django.db.models import DurationField, ExpressionWrapper, F, Min, QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from core import outbox
from core.errors import ParleyError
from core.models import Work
from core.outbox import Claim, LostClaimError
from retrieval import realtime
from retrieval.ingestion.job import NoLongerWantedError
from retrieval.ingestion.reindexing import chunks, vectors
from retrieval.ingestion.reindexing.leftovers import ask_to_remove_leftovers
from retrieval.ingestion.reindexing.stride import Stride, fail
from retrieval.models import Reindexing

logger = logging.getLogger(__name__)

State = Reindexing.State

REINDEX = "retrieval.reindex"
# Seconds before a server that was away is asked again; after the last one a person has to.
DELAYS = (2, 4, 8, 16, 32, 60, 120, 300)
# Strides that workers may die over before the row is given up.
MAX_STRIDES = 3
# Before a second worker looks again whether the lane is free.
_OCCUPIED = timedelta(seconds=2)
_LOST = "Workers died three times while they indexed this store."
_INTERNAL = "Something went wrong on our side. An administrator finds it in the log."


def ask(model: uuid.UUID, *, delay: timedelta = timedelta(0)) -> None:
    """Ask for work in the lane of an embedding model, in the caller's transaction."""
    # of nobody: many stores together take no more turns than one person's uploads
    outbox.enqueue(kind=REINDEX, subject=model, delay=delay)


def reindex(claim: Claim) -> None:
    """Do one stride in the lane of the model that is the claim's subject, and ask for the next.

    A failure ends in the row. Raises what means that the claim or the database has gone.
    """
    if _is_occupied(claim):
        ask(claim.subject, delay=_OCCUPIED)
        return
    row = _take(claim)
    if row is not None:
        _go(Stride(claim, row))
    _ask_again(claim)


def _is_occupied(claim: Claim) -> bool:
    """Whether a claim before this one is at work: it was asked for again while it ran."""
    running = Work.objects.filter(kind=claim.kind, subject=claim.subject, state=Work.State.RUNNING)
    return running.exclude(pk=claim.id).filter(lease_until__gt=Now()).exists()


@transaction.atomic
def _take(claim: Claim) -> Reindexing | None:
    """The store that is next; one that workers died over is given up here."""
    claim.guard()
    rows = _of_lane(claim).select_for_update(of=("self",)).select_related("to_model__endpoint")
    for row in rows.filter(due_at__lte=Now()).order_by("served_at", "id")[: MAX_STRIDES + 1]:
        if row.state == State.SWITCHING:
            _clear_up(row)
        elif row.strides >= MAX_STRIDES:
            fail(row, "worker_lost", _LOST)
        else:
            row.state, row.strides = State.RUNNING, row.strides + 1
            row.started_at = row.started_at or timezone.now()
            row.save(update_fields=["state", "strides", "started_at"])
            return row
    return None


def _of_lane(claim: Claim) -> QuerySet[Reindexing]:
    """What is open in the lane; a deleted store needs no other index."""
    working = Reindexing.objects.filter(state__in=[*Reindexing.WORKING, State.SWITCHING])
    return working.filter(to_model=claim.subject, store__deleted_at=None)


def _clear_up(row: Reindexing) -> None:
    """Nobody can be searching with the former vectors any more."""
    row.state, row.finished_at = State.DONE, timezone.now()
    row.save(update_fields=["state", "finished_at"])
    ask_to_remove_leftovers(row.store_id)
    realtime.reindexing_changed(row.store_id)


def _go(stride: Stride) -> None:
    doing = vectors.make if stride.row.kind == Reindexing.Kind.MODEL else chunks.make
    try:
        doing(stride)
    except (LostClaimError, OperationalError, InterfaceError):
        raise
    except NoLongerWantedError:
        logger.info("%s is not wanted any more", stride.row.pk)
    except ParleyError as error:
        _wait_or_fail(stride, error)
    except Exception:
        logger.exception("Indexing anew failed (%s)", stride.row.pk)
        _fail(stride, "internal", _INTERNAL)


def _wait_or_fail(stride: Stride, error: ParleyError) -> None:
    if error.retryable and stride.row.retries < len(DELAYS):
        logger.warning("Indexing anew waits: %s", error)
        try:
            stride.wait(error, timedelta(seconds=DELAYS[stride.row.retries]))
        except NoLongerWantedError:
            logger.info("%s is not wanted any more", stride.row.pk)
        return
    _fail(stride, error.code, error.message)


def _fail(stride: Stride, code: str, message: str) -> None:
    try:
        stride.fail(code, message)
    except NoLongerWantedError:
        logger.info("%s is not wanted any more", stride.row.pk)


@transaction.atomic
def _ask_again(claim: Claim) -> None:
    """Stand in line again where there is more to do, now or later."""
    claim.guard()
    wait = _of_lane(claim).aggregate(wait=Min(ExpressionWrapper(F("due_at") - Now(), DurationField())))["wait"]
    if wait is not None:
        ask(claim.subject, delay=max(wait, timedelta(0)))
