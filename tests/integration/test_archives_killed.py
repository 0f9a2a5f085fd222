"""A worker that is killed while it unpacks: another one goes on, and no file comes twice or is left out."""

import io
import zipfile

import pytest
from django.core.files.storage import default_storage
from django.db import connection, transaction

import retrieval.tasks  # noqa: F401  (registers the handlers, as a worker does)
from core import outbox
from core.models import Work
from retrieval import services
from retrieval.models import Archive, ArchiveEntry, Document
from retrieval.services import archives
from tests import factories
from tests.killed_workers import expire, worker
from tests.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)

FILES = 60


def packed() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(FILES):
            archive.writestr(f"{number}.txt", f"Number {number}.")
    return out.getvalue()


def it_waits_for_a_lock() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_stat_clear_snapshot()")
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE wait_event_type = 'Lock' AND application_name = 'worker' AND datname = current_database()"
        )
        return bool(cursor.fetchone()[0])


@pytest.mark.parametrize("table", ["retrieval_document", "retrieval_archiveentry"])
def test_killed_in_the_middle(table: str) -> None:
    """Before a document is written, and between a document and the note of it."""
    person = factories.user()
    store = factories.store(owner=person)
    archive = services.take(user=person, store=store, name="papers.zip", content=io.BytesIO(packed()))
    assert isinstance(archive, Archive)
    Work.objects.exclude(kind=archives.UNPACK).delete()
    with transaction.atomic(), worker():
        wait_until(lambda: ArchiveEntry.objects.filter(state="added").count() >= 3)
        with connection.cursor() as cursor:
            cursor.execute(f"LOCK TABLE {table} IN SHARE MODE")
        wait_until(it_waits_for_a_lock)
        noted = ArchiveEntry.objects.filter(state="added").count()
        written = Document.objects.count()
    assert noted < FILES, "the worker was killed too late"
    assert written == noted + (table == "retrieval_archiveentry")
    expire()
    Work.objects.exclude(kind=archives.UNPACK).delete()
    assert outbox.run_one()
    archive.refresh_from_db()
    assert archive.state == "done"
    assert list(archive.entries.values_list("state", flat=True)) == ["added"] * FILES
    assert Document.objects.count() == FILES
    assert not default_storage.exists(archive.storage_name)
