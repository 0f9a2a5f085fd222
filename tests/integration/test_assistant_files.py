"""Files of an assistant's own: searched by all of its versions, looked after by its editors, read by nobody else."""

import io
import uuid
from http import HTTPStatus
from pathlib import Path

import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from chat.models import Assistant, Citation
from chat.services.assistant_files import follow_owner, own_store
from chat.turns.job import turn_scope
from chat.turns.scope import tool_scope
from core.errors import NotFoundError, PermissionDeniedError
from core.models import Grant, User
from core.models.grants import Role
from retrieval import selectors, services
from retrieval.models import Document, File, VectorStore
from retrieval.search import Query, retrieve_now
from tests import factories
from tests.ingesting import work

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def files(tmp_path: Path, settings: Settings) -> Path:
    """A storage of the test's own."""
    location = {"location": str(tmp_path / "files"), "base_url": None}
    settings.STORAGES = {**settings.STORAGES, "default": {**settings.STORAGES["default"], "OPTIONS": location}}
    return tmp_path / "files"


@pytest.fixture
def cast() -> factories.Cast:
    return factories.cast()


@pytest.fixture
def assistant(cast: factories.Cast) -> Assistant:
    """The owner's assistant, which the teammate may edit and the outsider may use."""
    factories.embedding_model(is_default=True)
    made = factories.assistant(owner=cast.owner, name="Harbour master")
    factories.grant(made, cast.teammate, Role.EDITOR)
    factories.grant(made, cast.outsider, Role.READER)
    return made


@pytest.fixture
def store(assistant: Assistant, cast: factories.Cast) -> VectorStore:
    """Its store, with a file that the editor put in."""
    made = own_store(assistant=assistant)
    services.upload(user=cast.teammate, store=made, name="tides.txt", content=io.BytesIO(b"Spring tides rise 2.4 m."))
    work()
    assistant.refresh_from_db()
    return made


def roles(person: User, store: VectorStore) -> list[Role]:
    return [role for role in Role if selectors.has_role(person, store, role)]


def as_(person: User) -> Client:
    client = Client()
    client.force_login(person)
    return client


def test_editors_of_the_assistant_look_after_them_and_users_do_not_read_them(
    store: VectorStore, cast: factories.Cast
) -> None:
    assert roles(cast.owner, store) == [Role.READER, Role.EDITOR, Role.OWNER]
    assert roles(cast.teammate, store) == [Role.READER, Role.EDITOR]
    assert roles(cast.outsider, store) == []
    assert roles(factories.user(), store) == []
    assert not Document.objects.visible_to(cast.outsider).exists()
    with pytest.raises(NotFoundError):
        selectors.get_document(cast.outsider, store.documents.get().pk)
    assert as_(cast.outsider).get(store.get_absolute_url()).status_code == HTTPStatus.NOT_FOUND
    assert "tides.txt" in as_(cast.teammate).get(store.get_absolute_url()).content.decode()


def test_they_are_in_nobodys_library(store: VectorStore, cast: factories.Cast) -> None:
    for person in (cast.owner, cast.teammate, cast.outsider, factories.superuser()):
        assert not selectors.library_stores(person).exists()
    with pytest.raises(PermissionDeniedError):
        services.delete_store(user=cast.teammate, store_id=store.pk)


def test_every_version_searches_them_for_whoever_may_use_the_assistant(
    store: VectorStore, assistant: Assistant, cast: factories.Cast
) -> None:
    version, other = assistant.versions.get(), factories.assistant(owner=cast.owner).versions.get()
    conversation = factories.conversation(cast.outsider, assistant)

    def found(scope: "VectorStore") -> list[str]:
        return [one.document_name for one in retrieve_now(Query.of("spring tides"), scope=scope, limit=5)]

    assert found(turn_scope(version, conversation.pk, cast.outsider.pk)) == ["tides.txt"]
    assert found(tool_scope(version, conversation.pk, cast.outsider.pk)) == ["tides.txt"]
    assert found(turn_scope(other, uuid.uuid4(), cast.owner.pk)) == []
    Grant.objects.filter(user=cast.outsider).delete()
    assert found(tool_scope(version, conversation.pk, cast.outsider.pk)) == []


def test_a_cited_passage_is_seen_and_the_document_is_not_linked(
    store: VectorStore, assistant: Assistant, cast: factories.Cast
) -> None:
    document = store.documents.get()
    pages = []
    for person in (cast.outsider, cast.teammate):
        turn = factories.turn(factories.conversation(person, assistant), answer="They rise.")
        citation = Citation.objects.create(
            item=turn.items.get(position=1), number=1, position=0, revision=document.revision,
            document_name="tides.txt", start=0, end=17, quote="Spring tides rise", support=1.0,
        )  # fmt: skip
        pages.append(as_(person).get(reverse("chat:citation", args=[citation.pk])).content.decode())
    assert all("Spring tides rise" in page for page in pages)
    assert [document.get_absolute_url() in page for page in pages] == [False, True]


def test_rights_follow_the_assistants(store: VectorStore, assistant: Assistant, cast: factories.Cast) -> None:
    Grant.objects.filter(user=cast.teammate).delete()
    assert roles(cast.teammate, store) == []
    factories.grant(assistant, cast.team, Role.OWNER)
    assert roles(cast.teammate, store) == [Role.READER, Role.EDITOR, Role.OWNER]
    assistant.owner = cast.outsider
    assistant.save()
    follow_owner(assistant=assistant)
    assert Grant.objects.get(object_id=store.pk).user == cast.outsider
    cast.outsider.delete()
    assert VectorStore.objects.filter(pk=store.pk).exists(), "the assistant is still there"
    cast.teammate.is_active = False
    cast.teammate.save()
    assert roles(cast.teammate, store) == []


def test_there_is_one_store_and_it_goes_with_the_assistant(
    store: VectorStore, assistant: Assistant, files: Path
) -> None:
    assert own_store(assistant=assistant) == store
    assistant.delete()
    work()
    assert not VectorStore.objects.exists()
    assert not File.objects.exists()
    assert not [path for path in files.rglob("*") if path.is_file()]


def test_the_admin_leads_to_them(assistant: Assistant, cast: factories.Cast) -> None:
    cast.teammate.is_staff = True
    cast.teammate.save()
    names = ("view_assistant", "change_assistant", "change_assistantversion")
    cast.teammate.user_permissions.set(Permission.objects.filter(codename__in=names))
    client, address = as_(cast.teammate), reverse("admin:chat_assistant_files", args=[assistant.pk])
    assert address in client.get(reverse("admin:chat_assistant_change", args=[assistant.pk])).content.decode()
    client.get(address)
    assert not VectorStore.objects.exists(), "looking changes nothing"
    answer = client.post(address)
    assert answer.headers["Location"] == VectorStore.objects.get().get_absolute_url()
    assert client.get(answer.headers["Location"]).status_code == HTTPStatus.OK
    cast.outsider.is_staff = True
    cast.outsider.save()
    cast.outsider.user_permissions.set(Permission.objects.filter(codename__in=names))
    Assistant.objects.update(store=None)
    as_(cast.outsider).post(address)
    assert VectorStore.objects.count() == 1, "who may only use it makes nothing"
