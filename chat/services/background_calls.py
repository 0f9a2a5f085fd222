"""Writes down what background calls use and cost: before a model is asked, and again when its answer is there."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta

from django.db.models.functions import Now

from chat.models import BackgroundCall
from chat.providers.base import Finished
from chat.selectors.targets import ModelChoice
from chat.turns.costs import Occasion, begin_call, end_call
from core.errors import ParleyError

# A call that runs for that long has no worker any more: many times what `asking.DEADLINE` leaves it.
LOST_AFTER = timedelta(minutes=10)
WORKER_ENDED = "worker_ended"


@dataclass(slots=True)
class Call:
    """A call while it runs; whoever makes it says how the server's answer ended."""

    finished: Finished = field(default_factory=lambda: Finished("failed", ()))


@contextmanager
def background_call(occasion: Occasion, choice: ModelChoice) -> Iterator[Call]:
    """Keep one question to a model. A `ParleyError` that the block raises is the reason why nothing came of it.

    One whose worker is killed has a row too: the server may have worked, and will say so on its bill.
    """
    _close_lost()
    row = begin_call(occasion, choice)
    call = Call()
    try:
        yield call
    except ParleyError as error:
        end_call(row, choice, call.finished, error.code)
        raise
    end_call(row, choice, call.finished, "")


def _close_lost() -> None:
    """End the rows whose workers were killed: by the next call, since no figure is waited for."""
    running = BackgroundCall.objects.filter(status=BackgroundCall.Status.IN_PROGRESS)
    running.filter(created_at__lt=Now() - LOST_AFTER).update(
        status=BackgroundCall.Status.FAILED, error_code=WORKER_ENDED, finished_at=Now()
    )
