"""A worker that is killed in the middle of a stage: another one goes on, nothing is lost, doubled or stuck."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from django.db import connection, transaction
from django.utils import timezone

from core import outbox
from core.models import Work
from retrieval.models import Chunk, Document, Revision, VectorStore
from tests import backends, factories
from tests.ingesting import assert_whole, put_file, work
from tests.responses_server import ResponsesServer
from tests.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)

ROOT = Path(__file__).parents[2]
HOLD = {"hold": "embedding", "endpoint": "embeddings"}
WORKER = "import django; django.setup(); import retrieval.tasks; from core import outbox; outbox.run_one()"


@contextmanager
def worker() -> Iterator["subprocess.Popen[bytes]"]:
    """A process of its own that does one piece of work in the test's database; killed with -9 at the end."""
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


def it_waits_for_a_lock() -> bool:
    """PostgreSQL serves others too, whose locks are none of ours."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_stat_clear_snapshot()")  # else a transaction sees what it saw first
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE wait_event_type = 'Lock' AND application_name = 'worker' AND datname = current_database()"
        )
        return bool(cursor.fetchone()[0])


def take_over() -> None:
    """What the sweep does once the dead worker's lease has run out."""
    backends.await_end(backends.database_url(), {"worker"})
    assert Work.objects.get().state == "running"
    Work.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    outbox.relay()
    work()
    assert not Work.objects.exists()


def state(document: Document) -> str:
    return Document.objects.get(pk=document.pk).state


def test_killed_while_it_reads_the_file() -> None:
    document = put_file(factories.store(owner=factories.user()), "lighthouse.pdf")
    with worker():
        wait_until(lambda: state(document) == "extracting")
    assert state(document) == "extracting"
    take_over()
    assert_whole(document)


def test_killed_while_it_embeds(upstream: ResponsesServer) -> None:
    model = factories.embedding_model(endpoint=factories.responses_endpoint(upstream.base_url))
    document = put_file(factories.store(owner=factories.user(), model=model), "tides.md")
    upstream.script(HOLD)
    with worker():
        upstream.await_requests(1)
    assert state(document) == "embedding"
    (kept,) = Revision.objects.all()
    take_over()
    assert_whole(document)
    assert document.revision == kept


def test_killed_between_chunks_and_state() -> None:
    """The worker is stopped within the transaction that makes the chunks visible."""
    document = put_file(factories.store(owner=factories.user()), "tides.md")
    with transaction.atomic():
        VectorStore.objects.select_for_update().get()
        with worker():
            wait_until(it_waits_for_a_lock)
        assert not Chunk.objects.exists()
    assert state(document) == "embedding"
    take_over()
    assert_whole(document)


def expire() -> None:
    """Let the lease of the killed worker run out, and the sweep find that."""
    backends.await_end(backends.database_url(), {"worker"})
    assert Work.objects.filter(state="running").update(lease_until=timezone.now() - timedelta(seconds=1)) == 1
    outbox.relay()


def test_killed_again_and_again_the_file_is_given_up(upstream: ResponsesServer) -> None:
    model = factories.embedding_model(endpoint=factories.responses_endpoint(upstream.base_url))
    document = put_file(factories.store(owner=factories.user(), model=model), "tides.md")
    for killed in (1, 2, 3):
        upstream.script(HOLD)
        with worker():
            upstream.await_requests(killed)
        assert state(document) == "embedding"
        expire()
    document.refresh_from_db()
    assert (document.state, document.error_code, document.error_retryable) == ("failed", "worker_lost", True)
    assert not Work.objects.exists()
