"""Celery's side of the outbox."""

import time

from celery import shared_task

from core import outbox

# A worker child looks for other messages again after this many seconds, so that a warm shutdown is never long.
_SHIFT_SECONDS = 20.0


@shared_task(name=outbox.LOOK_FOR_WORK)
def look_for_work() -> None:
    """Do what is due, one piece after the other, for one shift."""
    ends = time.monotonic() + _SHIFT_SECONDS
    while outbox.run_one():
        if time.monotonic() > ends:
            outbox.publish()
            return


@shared_task(name="core.tasks.relay")
def relay() -> None:
    """The periodic sweep of the outbox."""
    outbox.relay()
