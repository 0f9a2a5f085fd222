"""The library from the command line."""

import io
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db import connections

from retrieval.models import Document, File, VectorStore
from tests import factories
from tests.ingesting import work
from tests.waiting import wait_until

pytestmark = pytest.mark.django_db


def worker(expected: int) -> None:
    """Do a worker's work, in a thread of its own, as soon as so many documents are there."""
    try:
        wait_until(lambda: Document.objects.count() == expected)
        work()
    finally:
        connections.close_all()


class TestCommand:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        folder = tmp_path / "papers"
        (folder / "deep").mkdir(parents=True)
        (folder / "tides.txt").write_text("Tide tables")
        (folder / "deep" / "pilots.txt").write_text("Pilot stations")
        (folder / ".hidden").write_text("hidden")
        return folder

    def test_it_uploads_a_folder(self, folder: Path) -> None:
        person = factories.superuser()
        factories.embedding_model(is_default=True)
        out = io.StringIO()
        call_command("ingest", str(folder), "--store", "Papers", stdout=out)
        store = VectorStore.objects.get()
        assert (store.name, store.owner) == ("Papers", person)
        assert sorted(store.documents.values_list("name", flat=True)) == ["pilots.txt", "tides.txt"]
        assert out.getvalue().count("queued") == 2
        again = io.StringIO()
        call_command("ingest", str(folder), "--store", "Papers", stdout=again)
        assert again.getvalue().count("already there") == 2
        assert Document.objects.count() == 2

    def test_what_is_refused_is_named(self, folder: Path) -> None:
        person = factories.user()
        factories.store(owner=person, name="Papers")
        (folder / "empty.txt").touch()
        out = io.StringIO()
        with pytest.raises(CommandError, match="1 refused"):
            call_command("ingest", str(folder), "--store", "Papers", "--user", person.email, stdout=out)
        assert "empty.txt: refused: This file is empty." in out.getvalue()
        assert File.objects.count() == 2

    def test_it_waits_and_says_what_became_of_each(self, folder: Path) -> None:
        factories.superuser()
        factories.embedding_model(is_default=True)
        (folder / "deep" / "broken.pdf").write_bytes(b"%PDF-1.7 and no more")
        call_command("ingest", str(folder), "--store", "Papers", stdout=io.StringIO())
        work()
        out = io.StringIO()
        with pytest.raises(CommandError, match="still being worked on"):  # asked for again, it is tried again
            call_command("ingest", str(folder), "--store", "Papers", "--wait", "0.01", stdout=out)
        assert "tides.txt: ready, 1 chunk\n" in out.getvalue()
        assert Document.objects.get(name="pilots.txt").attributes["path"] == "deep/pilots.txt"

    @pytest.mark.django_db(transaction=True)
    def test_it_fails_where_a_file_failed(self, folder: Path) -> None:
        factories.superuser()
        factories.embedding_model(is_default=True)
        (folder / "broken.pdf").write_bytes(b"%PDF-1.7 and no more")
        out = io.StringIO()
        with ThreadPoolExecutor(1) as pool:
            working = pool.submit(worker, 3)
            with pytest.raises(CommandError, match=r"^1 failed$"):
                call_command("ingest", str(folder), "--store", "Papers", "--wait", "60", stdout=out)
        working.result()
        assert "broken.pdf: failed: This PDF is damaged" in out.getvalue()
        assert out.getvalue().count(": ready, ") == 2

    def test_it_says_what_is_missing(self, folder: Path) -> None:
        with pytest.raises(CommandError, match="no administrator"):
            call_command("ingest", str(folder), "--store", "Papers")
        with pytest.raises(CommandError, match="nothing at"):
            call_command("ingest", str(folder / "nowhere"), "--store", "Papers")
