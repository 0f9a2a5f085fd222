"""The library from outside its pages: in the admin, and by the command."""

import io
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from pathlib import Path

import pytest
from django.contrib.auth.models import Permission
from django.core.management import CommandError, call_command
from django.db import connections
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from core.models import User
from core.models.grants import Role
from retrieval.models import Document, File, VectorStore
from tests import factories
from tests.ingesting import work
from tests.waiting import wait_until

pytestmark = pytest.mark.django_db


@pytest.fixture
def store() -> VectorStore:
    return factories.store(owner=factories.user())


def as_(person: User) -> Client:
    client = Client()
    client.force_login(person)
    return client


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
        assert "tides.txt: ready, 1 passages" in out.getvalue()
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


class TestAdmin:
    def test_lists_and_pages_open(
        self, store: VectorStore, django_assert_max_num_queries: DjangoAssertNumQueries
    ) -> None:
        for _ in range(20):
            factories.document(store, state="failed", error_retryable=True)
        client = as_(factories.superuser())
        document = Document.objects.first()
        assert document
        rows = {"vectorstore": store.pk, "document": document.pk, "file": document.file_id}
        for name, pk in rows.items():
            with django_assert_max_num_queries(20):
                listed = client.get(reverse(f"admin:retrieval_{name}_changelist"), {"q": "a"})
            assert listed.status_code == HTTPStatus.OK
            assert client.get(reverse(f"admin:retrieval_{name}_change", args=[pk])).status_code == HTTPStatus.OK

    def test_actions_go_through_the_services(self, store: VectorStore) -> None:
        failed, ready = factories.document(store, state="failed"), factories.document(store, state="ready")
        client, page = as_(factories.superuser()), reverse("admin:retrieval_document_changelist")
        chosen = {"_selected_action": [str(failed.pk), str(ready.pk)]}
        said = client.post(page, {"action": "try_again", **chosen}, follow=True).content.decode()
        assert "1 tried again." in said
        assert "Only a document that failed" in said
        failed.refresh_from_db()
        assert failed.state == "queued"
        client.post(page, {"action": "remove", **chosen})
        assert set(Document.objects.values_list("life", flat=True)) == {"deleting"}

    def test_a_store_with_documents_keeps_its_model(self, store: VectorStore) -> None:
        factories.document(store)
        client = as_(factories.superuser())
        url = reverse("admin:retrieval_vectorstore_change", args=[store.pk])
        assert "embedding_model" in str(client.get(url).context["adminform"].readonly_fields)
        assert client.post(reverse("admin:retrieval_vectorstore_delete", args=[store.pk])).status_code == 403

    def test_staff_without_a_right_on_the_store_changes_nothing(self, store: VectorStore) -> None:
        staff = factories.user(is_staff=True)
        staff.user_permissions.set(Permission.objects.filter(codename__in=["view_document", "change_document"]))
        document = factories.document(store, state="failed")
        page = reverse("admin:retrieval_document_changelist")
        remove = {"action": "remove", "_selected_action": [str(document.pk)]}
        as_(staff).post(page, remove, follow=True)
        assert Document.objects.get().life == "live"
        factories.grant(store, staff, Role.READER)
        said = as_(staff).post(page, remove, follow=True)
        assert "but not change it" in said.content.decode()
        assert Document.objects.get().life == "live"


def test_stores_are_deleted_in_the_background_by_who_owns_them() -> None:
    """What does not belong to the library stays, and is named."""
    admin, owner = factories.superuser(), factories.user()
    made, held = factories.store(owner=owner), factories.store(owner=owner, kind="conversation", name="Held")
    factories.document(made)
    chosen = {"action": "remove", "_selected_action": [str(made.pk), str(held.pk)]}
    page = as_(admin).post(reverse("admin:retrieval_vectorstore_changelist"), chosen, follow=True).content.decode()
    assert "1 deleted." in page
    assert "Held: This vector store goes with what it belongs to." in page
    assert list(VectorStore.objects.visible_to(admin)) == [held]
