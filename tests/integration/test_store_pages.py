"""The page of a store's settings, and what pages say of a store that ends or is offered."""

import re
from datetime import timedelta
from http import HTTPStatus
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from chat.models import Attachment
from core.models import Grant, User
from core.models.grants import Role
from retrieval import services
from retrieval.models import Quota, VectorStore
from retrieval.services import sharing
from tests import factories

pytestmark = pytest.mark.django_db


@pytest.fixture
def cast() -> factories.Cast:
    return factories.cast()


@pytest.fixture
def store(cast: factories.Cast) -> VectorStore:
    """A store of the owner's that the teammate may change."""
    made = factories.store(owner=cast.owner, name="Harbour papers")
    factories.grant(made, cast.teammate, Role.EDITOR)
    return made


def as_(person: User) -> Client:
    client = Client()
    client.force_login(person)
    return client


def url(name: str, store: VectorStore, *more: Any) -> str:
    return reverse(f"retrieval:{name}", args=[store.pk, *more])


def told(client: Client, response: Any) -> str:
    """The text of the page that an answer leads to."""
    page = client.get(response.headers["Location"].partition("#")[0])
    return page.content.decode()


SETTINGS = {"name": "Papers", "description": "x", "dense_share": "0.25", "chunk_tokens": "100", "chunk_overlap": "10"}


class TestSettings:
    def test_who_sees_what(self, store: VectorStore, cast: factories.Cast) -> None:
        for person, status, access in (
            (cast.owner, HTTPStatus.OK, True),
            (cast.teammate, HTTPStatus.OK, False),
            (cast.outsider, HTTPStatus.NOT_FOUND, False),
        ):
            page = as_(person).get(url("store_settings", store))
            assert page.status_code == status
            assert ("Who has access" in page.content.decode()) is access
            assert ("Delete it" in page.content.decode()) is access
        Grant.objects.update(role=Role.READER)
        assert as_(cast.teammate).get(url("store_settings", store)).status_code == HTTPStatus.FORBIDDEN
        assert url("store_settings", store) not in as_(cast.teammate).get(store.get_absolute_url()).content.decode()

    def test_files_of_a_conversation_have_none(self, cast: factories.Cast) -> None:
        held = factories.store(owner=cast.owner, kind=VectorStore.Kind.CONVERSATION)
        assert as_(cast.owner).get(url("store_settings", held)).status_code == HTTPStatus.NOT_FOUND

    def test_an_editor_saves_them(self, store: VectorStore, cast: factories.Cast) -> None:
        other = factories.embedding_model()
        client = as_(cast.teammate)
        answer = client.post(url("store_settings", store), {**SETTINGS, "embedding_model": other.pk})
        assert "Saved." in told(client, answer)
        store.refresh_from_db()
        saved = (store.name, store.description, store.dense_share, store.chunk_tokens, store.chunk_overlap)
        assert saved == ("Papers", "x", 0.25, 100, 10)
        assert store.embedding_model == other

    def test_how_documents_were_indexed_stays(self, store: VectorStore, cast: factories.Cast) -> None:
        factories.document(store)
        before, other = store.embedding_model, factories.embedding_model()
        as_(cast.owner).post(url("store_settings", store), {**SETTINGS, "embedding_model": other.pk})
        store.refresh_from_db()
        assert (store.name, store.dense_share) == ("Papers", 0.25)
        assert (store.embedding_model, store.chunk_tokens) == (before, 240)

    @pytest.mark.parametrize(
        "wrong",
        [{"name": " "}, {"dense_share": "2"}, {"chunk_overlap": "100"}, {"chunk_tokens": "1"}, {"chunk_tokens": "x"}],
    )
    def test_what_is_wrong_is_said_and_nothing_typed_is_lost(
        self, store: VectorStore, cast: factories.Cast, wrong: dict[str, str]
    ) -> None:
        sent = {**SETTINGS, "description": "What I typed", "embedding_model": store.embedding_model.pk, **wrong}
        page = as_(cast.owner).post(url("store_settings", store), sent)
        assert page.status_code == HTTPStatus.UNPROCESSABLE_ENTITY
        assert "field__error" in page.content.decode()
        assert "What I typed" in page.content.decode()
        store.refresh_from_db()
        assert store.name == "Harbour papers"

    def test_it_costs_few_queries(
        self, store: VectorStore, cast: factories.Cast, django_assert_max_num_queries: DjangoAssertNumQueries
    ) -> None:
        for _ in range(20):
            factories.grant(store, factories.user())
        client = as_(cast.owner)
        with django_assert_max_num_queries(30):
            client.get(url("store_settings", store))


class TestAccess:
    def test_it_is_given_changed_and_taken_away(self, store: VectorStore, cast: factories.Cast) -> None:
        client, other = as_(cast.owner), as_(cast.outsider)
        sent = {"subject": "person", "email": cast.outsider.email, "role": "reader"}
        answer = client.post(url("share", store), sent)
        assert f"Shared with {cast.outsider.email}." in told(client, answer)
        assert "Harbour papers" in other.get(reverse("retrieval:library")).content.decode()
        share = next(one for one in sharing.shares(store) if one.label == cast.outsider.email)
        client.post(url("change_share", store, share.id), {"role": "editor"})
        assert other.get(url("store_settings", store)).status_code == HTTPStatus.OK
        client.post(url("change_share", store, share.id), {"remove": ""})
        assert "Harbour papers" not in other.get(reverse("retrieval:library")).content.decode()
        assert other.get(store.get_absolute_url()).status_code == HTTPStatus.NOT_FOUND

    def test_with_groups_and_everyone(self, store: VectorStore, cast: factories.Cast) -> None:
        client = as_(cast.owner)
        client.post(url("share", store), {"subject": str(cast.team.pk), "role": "reader"})
        client.post(url("share", store), {"subject": "everyone", "role": "reader"})
        assert {share.kind for share in sharing.shares(store)} == {"group", "everyone", "person"}
        foreign = as_(cast.outsider)
        mine = factories.store(owner=cast.outsider)
        answer = foreign.post(url("share", mine), {"subject": str(cast.team.pk), "role": "reader"})
        assert "Choose with whom." in told(foreign, answer)
        assert sharing.shares(mine) == []

    @pytest.mark.parametrize(
        "sent",
        [{}, {"subject": "x", "role": "reader"}, {"subject": "everyone", "role": "king"},
         {"subject": "everyone", "role": "owner"}, {"subject": "person", "email": "ada", "role": "reader"}],
    )  # fmt: skip
    def test_what_makes_no_sense_is_refused(
        self, store: VectorStore, cast: factories.Cast, sent: dict[str, str]
    ) -> None:
        client = as_(cast.owner)
        assert "notice--error" in told(client, client.post(url("share", store), sent))
        assert len(sharing.shares(store)) == 1

    def test_the_page_and_the_answer_are_the_same_for_unknown_addresses(self, cast: factories.Cast) -> None:
        client, pages, model = as_(cast.owner), [], factories.embedding_model()
        for address in ("nobody@example.org", cast.outsider.email):
            store = factories.store(owner=cast.owner, name="Papers", model=model)
            answer = client.post(url("share", store), {"subject": "person", "email": address, "role": "reader"})
            page = told(client, answer).replace(address, "…").replace(str(store.pk), "store")
            for share in sharing.shares(store):
                page = page.replace(str(share.id), "share")
            pages.append([line for line in page.splitlines() if not re.search("csrf|nonce", line)])
        assert pages[0] == pages[1]

    def test_who_removes_their_own_access_is_led_out(self, store: VectorStore, cast: factories.Cast) -> None:
        grant = Grant.objects.get()
        grant.role = Role.OWNER
        grant.save()
        answer = as_(cast.teammate).post(url("change_share", store, grant.pk), {"remove": ""})
        assert answer.headers["Location"] == reverse("retrieval:library")

    def test_others_cannot(self, store: VectorStore, cast: factories.Cast) -> None:
        sent = {"subject": "everyone", "role": "reader"}
        addresses = ("share", "keep", "offer", "delete_store")
        for name in addresses:
            assert (
                as_(cast.teammate).post(url(name, store), {**sent, "how": "never"}).status_code == HTTPStatus.FORBIDDEN
            )
            assert (
                as_(cast.outsider).post(url(name, store), {**sent, "how": "never"}).status_code == HTTPStatus.NOT_FOUND
            )
            assert Client().post(url(name, store), sent).status_code == HTTPStatus.FOUND
            assert as_(cast.owner).get(url(name, store)).status_code == HTTPStatus.METHOD_NOT_ALLOWED
        assert len(sharing.shares(store)) == 1


class TestKeeping:
    def test_until_a_day_for_days_and_for_ever(self, store: VectorStore, cast: factories.Cast) -> None:
        client, today = as_(cast.owner), timezone.localdate()
        client.post(url("keep", store), {"how": "date", "until": str(today + timedelta(days=3))})
        store.refresh_from_db()
        assert store.expires_at is not None
        assert timezone.localtime(store.expires_at).date() == today + timedelta(days=3)
        for page in (store.get_absolute_url(), url("store_settings", store)):
            assert "This vector store expires on" in client.get(page).content.decode()
        client.post(url("keep", store), {"how": "days", "days": "30"})
        store.refresh_from_db()
        assert store.keep_days == 30
        assert "This vector store expires on" not in client.get(store.get_absolute_url()).content.decode()
        client.post(url("keep", store), {"how": "never"})
        store.refresh_from_db()
        assert (store.keep_days, store.expires_at) == (None, None)

    def test_what_expired_says_so(self, store: VectorStore, cast: factories.Cast) -> None:
        VectorStore.objects.update(expires_at=timezone.now() - timedelta(days=1))
        assert "nothing searches it" in as_(cast.teammate).get(store.get_absolute_url()).content.decode()

    @pytest.mark.parametrize(
        "sent", [{}, {"how": "date"}, {"how": "date", "until": "2001-01-01"}, {"how": "days", "days": "0"}]
    )
    def test_what_makes_no_sense_is_refused(
        self, store: VectorStore, cast: factories.Cast, sent: dict[str, str]
    ) -> None:
        client = as_(cast.owner)
        assert "notice--error" in told(client, client.post(url("keep", store), sent))
        store.refresh_from_db()
        assert store.expires_at is None


class TestGivingAndDeleting:
    def test_an_offer_is_on_the_page_of_whom_it_is_for(self, store: VectorStore, cast: factories.Cast) -> None:
        as_(cast.owner).post(url("offer", store), {"email": cast.teammate.email})
        client = as_(cast.teammate)
        assert "wants to give you this vector store" in client.get(store.get_absolute_url()).content.decode()
        assert "wants to give" not in as_(cast.owner).get(store.get_absolute_url()).content.decode()
        assert "It is yours now." in told(client, client.post(url("answer_offer", store), {"accept": ""}))
        store.refresh_from_db()
        assert store.owner == cast.teammate

    def test_its_name_has_to_be_written_and_what_goes_is_said(self, store: VectorStore, cast: factories.Cast) -> None:
        document = factories.document(store)
        factories.assistant(owner=cast.owner, stores=[store], name="Harbour master")
        factories.assistant(owner=cast.outsider, stores=[store], name="Secret plan")
        item = factories.turn(factories.conversation(cast.outsider)).input_item
        assert item is not None
        Attachment.objects.create(item=item, document=document, name="a", position=0)
        client = as_(cast.owner)
        page = " ".join(client.get(url("store_settings", store)).content.decode().split())
        assert "1 document goes, with its text and its file." in page
        assert "2 assistants search it (Harbour master and others)" in page
        assert "Secret plan" not in page
        assert "1 conversation has documents of it attached." in page
        assert "Nothing was deleted" in told(client, client.post(url("delete_store", store), {"name": "Harbour"}))
        assert VectorStore.objects.visible_to(cast.owner).exists()
        client.post(url("delete_store", store), {"name": " Harbour papers "})
        assert not VectorStore.objects.visible_to(cast.owner).exists()


def test_the_library_shows_what_one_keeps(store: VectorStore, cast: factories.Cast) -> None:
    factories.document(store, text="x" * 100)
    client = as_(cast.owner)
    assert "100\xa0bytes" in client.get(reverse("retrieval:library")).content.decode()
    Quota.objects.create(user=cast.owner, size=200, files=1)
    page = " ".join(client.get(reverse("retrieval:library")).content.decode().split())
    assert "100 bytes of 200 bytes" in page
    assert 'value="50"' in page
    assert "1 of 1" in page
    services.delete_document(user=cast.owner, document_id=store.documents.get().pk)
    assert "0 of 1" in " ".join(client.get(reverse("retrieval:library")).content.decode().split())
