"""The first start and every later one: somebody can sign in, the guide knows the documentation, nothing comes back."""

import threading
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connections
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from chat.models import Assistant, AssistantVersion
from chat.services.bootstrap import GUIDE_ID, STARTERS, STORE_ID, bootstrap, documentation
from core import outbox
from core.models import Endpoint, EndpointModel, Milestone, SignInLink, User, Work
from retrieval import tasks  # noqa: F401  (says who does the work)
from retrieval.models import Document, VectorStore
from retrieval.search import Query, retrieve_now
from tests import factories

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def checkout(settings: Settings, tmp_path: Path) -> Path:
    """A checkout with a documentation of its own, and no model server in the environment."""
    for name in ("CHAT_BASE_URL", "CHAT_API_KEY", "EMBEDDING_BASE_URL", "EMBEDDING_API_KEY"):
        setattr(settings, name, "")
    settings.ADMIN_EMAIL = "admin@localhost"
    settings.BASE_DIR = tmp_path
    write(tmp_path, "README.md", "# Parley\n\nWhat it is.\n")
    write(tmp_path, "docs/operations.md", "# Running it\n\nRedis may be emptied.\n")
    write(tmp_path, "docs/deep/more.md", "# More\n\nDeeper.\n")
    write(tmp_path, "docs/adr/0001-why.md", "# Why\n\nReasons.\n")
    write(tmp_path, "docs/notes.txt", "no page")
    return tmp_path


def write(root: Path, path: str, text: str) -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(text)


def pages() -> list[str]:
    return sorted(Document.objects.live().filter(store_id=STORE_ID).values_list("name", flat=True))


def printed() -> str:
    out = StringIO()
    call_command("bootstrap", stdout=out)
    return out.getvalue()


# The first administrator ----------------------------------------------------------------------------------------------


def test_the_first_start_makes_an_administrator_who_can_sign_in_by_the_link_only(client: Client) -> None:
    said = printed()
    person = User.objects.get()
    assert (person.email, person.is_superuser, person.is_staff) == ("admin@localhost", True, True)
    assert not person.has_usable_password()
    [link] = [line for line in said.splitlines() if line.startswith("http")]
    assert client.post(link).status_code == 302
    assert client.session["_auth_user_id"] == str(person.pk)


def test_each_start_prints_a_new_link_until_an_administrator_has_signed_in(client: Client) -> None:
    links = [bootstrap().sign_in_link for _ in range(2)]
    assert None not in links
    assert links[0] != links[1]
    assert SignInLink.objects.count() == 1
    client.post(str(links[1]))
    assert bootstrap().sign_in_link is None
    assert printed() == ""
    assert User.objects.count() == 1


def test_somebody_else_signing_in_is_not_an_administrator() -> None:
    bootstrap()
    factories.user(last_login=timezone.now())
    assert bootstrap().sign_in_link is not None


def test_the_address_is_a_setting(settings: Settings) -> None:
    settings.ADMIN_EMAIL = "Boss@Example.org"
    assert bootstrap().administrator == "boss@example.org"
    assert User.objects.get().is_superuser


def test_administrators_that_are_there_stay_the_administrators(settings: Settings) -> None:
    present = factories.superuser()
    started = bootstrap()
    assert started.administrator == present.email
    assert User.objects.count() == 1
    second = factories.superuser(date_joined=timezone.now() + timedelta(seconds=1))
    settings.ADMIN_EMAIL = second.email
    assert bootstrap().administrator == second.email


def test_without_any_active_administrator_the_named_person_becomes_one_and_it_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    factories.superuser(is_active=False)
    person = factories.user("admin@localhost")
    started = bootstrap()
    person.refresh_from_db()
    assert started.administrator == person.email
    assert person.is_superuser
    assert "admin@localhost is one now" in caplog.text


# The guide ----------------------------------------------------------------------------------------------------------


def test_the_guide_is_ready_for_everybody_with_the_documentation_on_its_way() -> None:
    bootstrap()
    person = factories.user()
    guide = Assistant.objects.usable().visible_to(person).get()  # type: ignore[attr-defined]
    version = guide.published_version
    assert guide.pk == GUIDE_ID
    assert version.retrieval == AssistantVersion.Retrieval.AUTO
    assert version.starters == STARTERS
    assert version.published_by == User.objects.get(is_superuser=True)
    assert [store.pk for store in version.stores.all()] == [STORE_ID]
    store = VectorStore.objects.visible_to(person).get()
    assert (store.kind, store.embedding_model.name) == ("library", "hashing-512")
    assert pages() == ["README.md", "more.md", "operations.md"]
    assert Work.objects.filter(kind__contains="ingest").count() == 3


def test_decision_records_and_other_files_are_no_documentation() -> None:
    assert [path for path, _content in documentation()] == ["README.md", "docs/deep/more.md", "docs/operations.md"]


def test_a_second_start_changes_nothing() -> None:
    bootstrap()

    def rows() -> list[Any]:
        models = (User, Endpoint, Assistant, AssistantVersion, VectorStore, Document, Milestone, Work)
        return [list(model._default_manager.order_by("pk").values_list("pk", flat=True)) for model in models]

    before = rows()
    bootstrap()
    assert rows() == before


def test_a_changed_page_replaces_the_old_one_and_a_vanished_one_goes(checkout: Path) -> None:
    bootstrap()
    before = Document.objects.get(name="operations.md")
    untouched = Document.objects.get(name="README.md")
    write(checkout, "docs/operations.md", "# Running it\n\nPostgreSQL must not.\n")
    write(checkout, "docs/new.md", "# New\n\nNews.\n")
    (checkout / "docs/deep/more.md").unlink()
    bootstrap()
    assert pages() == ["README.md", "new.md", "operations.md"]
    assert Document.objects.live().get(name="operations.md").pk != before.pk
    assert Document.objects.live().get(name="README.md").pk == untouched.pk


def test_what_an_administrator_deleted_does_not_come_back() -> None:
    bootstrap()
    Document.objects.get(name="operations.md").delete()
    bootstrap()
    assert pages() == ["README.md", "more.md"]
    Assistant.objects.get().delete()
    VectorStore.objects.get().delete()
    bootstrap()
    assert not Assistant.objects.exists()
    assert not VectorStore.objects.exists()
    assert not Document.objects.exists()


def test_what_an_administrator_changed_stays() -> None:
    bootstrap()
    Assistant.objects.update(name="Helper", archived_at=timezone.now())
    VectorStore.objects.update(name="Manual")
    guide = Assistant.objects.get()
    guide.grants.all().delete()
    bootstrap()
    guide.refresh_from_db()
    assert (guide.name, guide.archived_at is not None, guide.grants.count()) == ("Helper", True, 0)
    assert VectorStore.objects.get().name == "Manual"


def test_a_page_that_is_not_taken_is_logged_and_stops_nothing(
    checkout: Path, caplog: pytest.LogCaptureFixture, settings: Settings
) -> None:
    settings.UPLOAD_MAX_BYTES = 1000
    write(checkout, "docs/huge.md", "x" * 2000)
    (checkout / "docs/empty.md").write_bytes(b"")
    bootstrap()
    assert pages() == ["README.md", "more.md", "operations.md"]
    assert "docs/huge.md was not taken" in caplog.text
    settings.UPLOAD_MAX_BYTES = 10_000
    bootstrap()
    assert "huge.md" in pages()


def test_a_checkout_without_documentation_is_started_too(checkout: Path, settings: Settings, tmp_path: Path) -> None:
    settings.BASE_DIR = tmp_path / "elsewhere"
    bootstrap()
    assert Assistant.objects.usable().count() == 1
    assert pages() == []


def test_every_starter_is_answered_by_the_documentation_as_it_is(settings: Settings) -> None:
    """So that the first question has a cited answer, even by the built-in search for words."""
    settings.BASE_DIR = Path(__file__).resolve().parent.parent.parent
    bootstrap()
    while outbox.run_one():
        pass
    assert set(Document.objects.values_list("state", flat=True)) == {"ready"}
    answered_by = {
        STARTERS[0]: "Models",
        STARTERS[1]: "Uploading files",
        STARTERS[2]: "Versions and publishing",
        STARTERS[3]: "Where Parley keeps its data",
        STARTERS[4]: "What is lost when Redis is emptied",
    }
    assert list(answered_by) == STARTERS
    for question, section in answered_by.items():
        found = retrieve_now(Query.of(question), scope=VectorStore.objects.filter(pk=STORE_ID), limit=3)
        assert any(passage.heading.endswith(section) for passage in found), question


# Model servers and mistakes -----------------------------------------------------------------------------------------


def test_model_servers_are_brought_up_to_date(settings: Settings) -> None:
    settings.CHAT_API_KEY = "sk-1"
    bootstrap()
    assert EndpointModel.objects.get(purpose="chat", is_default=True).endpoint.source == "environment"


def test_nothing_configured_is_said(caplog: pytest.LogCaptureFixture) -> None:
    bootstrap()
    assert "No chat server is configured" in caplog.text
    assert "No embeddings server is configured" in caplog.text


def test_a_wrong_setting_ends_the_command_with_its_name(settings: Settings) -> None:
    settings.CHAT_BASE_URL = "localhost"
    with pytest.raises(CommandError, match="CHAT_BASE_URL"):
        call_command("bootstrap")
    assert not User.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_several_processes_may_start_at_once() -> None:
    barrier = threading.Barrier(4)
    failures: list[BaseException] = []

    def start() -> None:
        try:
            barrier.wait(60)
            bootstrap()
        except BaseException as error:  # noqa: BLE001  (whatever it is, the test has to see it)
            failures.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(40)
    assert failures == []
    assert (User.objects.count(), Assistant.objects.count(), len(pages())) == (1, 1, 3)
    assert SignInLink.objects.filter(used_at=None).count() == 1
