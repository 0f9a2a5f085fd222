"""The page of a store's index: what a change takes, how far it is, and who may ask for it."""

from decimal import Decimal

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from chat.consumers import topics
from core.models import EndpointModel, User
from core.models.grants import Role
from retrieval.models import Reindexing, VectorStore
from tests import factories
from tests.ingesting import let_time_pass, put, work

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def person(client: Client) -> User:
    person = factories.user()
    client.force_login(person)
    return person


@pytest.fixture
def store(person: User) -> VectorStore:
    store = factories.store(owner=person, chunk_tokens=64, chunk_overlap=8)
    put(store, b"A sentence about the tides of Korsund. " * 40, "tides.txt")
    work()
    return store


@pytest.fixture
def other(store: VectorStore) -> EndpointModel:
    return factories.embedding_model(name="better", input_price=Decimal(20))


def page(store: VectorStore) -> str:
    return reverse("retrieval:indexing", args=[store.pk])


def test_first_what_it_takes_then_it_begins(client: Client, store: VectorStore, other: EndpointModel) -> None:
    asked = client.post(page(store), {"model": other.pk})
    assert asked.status_code == 200
    chunks = store.chunks.count()
    assert f"<dd>{chunks}</dd>" in "".join(asked.content.decode().split())
    assert "$0.0000" in asked.content.decode(), "hashing asks no server"
    assert not Reindexing.objects.exists()
    assert client.post(page(store), {"model": other.pk, "start": store.embedding_model_id}).status_code == 200
    assert not Reindexing.objects.exists()
    begun = client.post(page(store), {"model": other.pk, "start": other.pk})
    assert begun.headers["Location"] == page(store)
    row = Reindexing.objects.get()
    assert (row.store, row.to_model, row.requested_by) == (store, other, store.owner)
    shown = client.get(page(store)).content.decode()
    assert 'data-state="planned"' in shown
    assert "better" in shown
    work()
    assert 'data-state="switching"' in client.get(page(store)).content.decode()
    store.refresh_from_db()
    assert store.embedding_model == other


def test_cancelled_and_tried_again(client: Client, store: VectorStore, other: EndpointModel) -> None:
    client.post(page(store), {"model": other.pk, "start": other.pk})
    row = Reindexing.objects.get()
    Reindexing.objects.update(state="failed", error_code="embedding_key", error_message="The key is refused.")
    assert "The key is refused." in client.get(page(store)).content.decode()
    address = reverse("retrieval:change_reindexing", args=[row.pk])
    assert client.post(address, {"retry": ""}).headers["Location"] == page(store)
    assert Reindexing.objects.get().state == "planned"
    client.post(address, {"cancel": ""})
    assert Reindexing.objects.get().state == "cancelled"
    assert client.post(address, {}, headers={"accept": "application/json"}).status_code == 400


def test_other_chunks(client: Client, store: VectorStore) -> None:
    address = reverse("retrieval:rechunk", args=[store.pk])
    wrong = client.post(address, {"chunk_tokens": 5, "chunk_overlap": 0})
    assert wrong.status_code == 422
    assert "greater than or equal to 32" in wrong.content.decode()
    client.post(address, {"chunk_tokens": 128, "chunk_overlap": 8})
    work()
    assert "1 of 1 documents" in client.get(page(store)).content.decode()
    assert Reindexing.objects.get().state == "done"


def test_who_may(client: Client, other: EndpointModel, store: VectorStore) -> None:
    row = Reindexing.objects.create(
        store=store, kind="model", from_model=store.embedding_model, to_model=other, requested_by=store.owner
    )
    editor = factories.user()
    factories.grant(store, editor, Role.EDITOR)
    change = reverse("retrieval:change_reindexing", args=[row.pk])
    for person, refused in ((editor, 403), (factories.user(), 404)):
        client.force_login(person)
        assert client.get(page(store)).status_code == refused
        assert client.post(page(store), {"model": other.pk, "start": other.pk}).status_code == refused
        assert client.post(reverse("retrieval:rechunk", args=[store.pk])).status_code == refused
        assert client.post(change, {"cancel": ""}).status_code == refused
    row.refresh_from_db()
    assert row.state == "planned"


def test_a_socket_is_told(store: VectorStore, other: EndpointModel) -> None:
    """To whom may read the store, and to nobody else."""
    assert store.owner
    reader, outsider = factories.user(), factories.user()
    factories.grant(store, reader)
    assert topics.reindexing_frame(reader, store.pk) is None
    Reindexing.objects.create(store=store, kind="model", from_model=store.embedding_model, to_model=other)
    frame = topics.reindexing_frame(reader, store.pk)
    assert frame is not None
    assert (frame["state"], frame["store"]) == ("planned", str(store.pk))
    assert "better" in frame["html"]
    assert topics.reindexing_frame(outsider, store.pk) is None


def test_what_is_left_is_said_from_its_speed(store: VectorStore, other: EndpointModel) -> None:
    row = Reindexing(store=store, kind="model", to_model=other, done=1000, total=4000, seconds=100.0)
    assert row.remaining
    assert row.remaining.total_seconds() == pytest.approx(300)
    assert Reindexing(store=store, kind="model", to_model=other, done=3, total=4000, seconds=1.0).remaining is None


def test_done(client: Client, store: VectorStore, other: EndpointModel) -> None:
    client.post(page(store), {"model": other.pk, "start": other.pk})
    work()
    Reindexing.objects.update(due_at=timezone.now())
    let_time_pass()
    work()
    shown = client.get(page(store)).content.decode()
    assert 'data-state="done"' in shown
    assert "Another change can begin" not in shown


class TestAdmin:
    MOVE = "/admin/retrieval/reindexing/move/"

    def test_every_store_is_moved(self, client: Client, store: VectorStore, other: EndpointModel) -> None:
        client.force_login(factories.superuser())
        second = factories.store(model=store.embedding_model)
        both = {"from_model": store.embedding_model_id, "to_model": other.pk}
        shown = client.post(self.MOVE, both)
        assert "Move them" in shown.content.decode()
        assert not Reindexing.objects.exists()
        begun = client.post(self.MOVE, {**both, "start": shown.context["shown"]})
        assert begun.headers["Location"] == reverse("admin:retrieval_reindexing_changelist")
        work()
        for one in (store, second):
            one.refresh_from_db()
            assert one.embedding_model == other
        listed = client.get(reverse("admin:retrieval_reindexing_changelist"))
        assert "Switched, clearing up" in listed.content.decode()
        row = Reindexing.objects.get(store=store)
        assert client.get(reverse("admin:retrieval_reindexing_change", args=[row.pk])).status_code == 200

    def test_others_move_nothing(self, client: Client, store: VectorStore, other: EndpointModel) -> None:
        client.force_login(factories.user(is_staff=True))
        both = {"from_model": store.embedding_model_id, "to_model": other.pk}
        assert "Only superusers" in client.post(self.MOVE, both).content.decode()
        shown = f"{store.embedding_model_id} {other.pk}"
        assert "Only superusers" in client.post(self.MOVE, {**both, "start": shown}).content.decode()
        assert not Reindexing.objects.exists()

    def test_actions(self, client: Client, store: VectorStore, other: EndpointModel) -> None:
        client.force_login(factories.superuser())
        row = Reindexing.objects.create(store=store, kind="model", from_model=store.embedding_model, to_model=other)
        address, chosen = reverse("admin:retrieval_reindexing_changelist"), {"_selected_action": [row.pk]}
        refused = client.post(address, {"action": "try_again", **chosen}, follow=True).content.decode()
        assert "Only what failed can be tried again." in refused
        assert "1 cancelled." in client.post(address, {"action": "cancel", **chosen}, follow=True).content.decode()
        row.refresh_from_db()
        assert row.state == "cancelled"
