"""Workers as processes of their own, killed with -9 in the middle of what they do."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

from django.db import connection
from django.utils import timezone

from core import outbox
from core.models import Work
from tests import backends

ROOT = Path(__file__).parents[1]
WORKER = "import django; django.setup(); import retrieval.tasks; from core import outbox; outbox.run_one()"


@contextmanager
def worker() -> Iterator["subprocess.Popen[bytes]"]:
    """A process that does one piece of work in the test's database; killed with -9 at the end."""
    environment = {
        **os.environ,
        "DATABASE_URL": backends.database_url(),
        "DJANGO_SETTINGS_MODULE": "config.settings",
        backends.NAME: "worker",
    }
    with subprocess.Popen([sys.executable, "-c", WORKER], cwd=ROOT, env=environment) as process:
        try:
            yield process
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait(10)


def expire() -> None:
    """Let the lease of the killed worker run out, and the sweep find that."""
    backends.await_end(backends.database_url(), {"worker"})
    assert Work.objects.filter(state="running").update(lease_until=timezone.now() - timedelta(seconds=1)) == 1
    outbox.relay()


def it_waits_for_a_lock() -> bool:
    """PostgreSQL serves others too, whose locks are none of ours."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_stat_clear_snapshot()")  # else a transaction sees what it saw first
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE wait_event_type = 'Lock' AND application_name = 'worker' AND datname = current_database()"
        )
        return bool(cursor.fetchone()[0])
