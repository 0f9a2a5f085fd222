"""What the admin does to many documents and stores at once: by the services, and what was refused is said by name."""

from typing import Any

import pytest
from django.test import Client

from core.models import User
from core.models.grants import Role
from retrieval.admin import acting
from retrieval.models import Document, VectorStore
from tests import factories
from tests.admin_pages import page, staff

pytestmark = pytest.mark.django_db


@pytest.fixture
def store() -> VectorStore:
    return factories.store(owner=factories.user(), name="Harbour")


def act(client: Client, action: str, *rows: Document | VectorStore, **more: str) -> Any:
    name = rows[0]._meta.model_name
    chosen = {"action": action, "_selected_action": [str(row.pk) for row in rows], **more}
    return client.post(page(f"retrieval_{name}_changelist"), chosen, follow=True)


def said(response: Any) -> list[str]:
    return [str(message) for message in response.context["messages"]]


def test_documents_are_tried_again_and_deleted_by_the_services(store: VectorStore, boss: User, client: Client) -> None:
    failed, ready = factories.document(store, state="failed"), factories.document(store, state="ready", name="good.txt")
    told = said(act(client, "try_again", failed, ready))
    assert told == ["good.txt: Only a document that failed can be tried again.", "1 tried again."]
    failed.refresh_from_db()
    assert failed.state == "queued"
    assert said(act(client, "remove", failed, ready)) == ["2 being deleted."]
    assert set(Document.objects.values_list("life", flat=True)) == {"deleting"}


def test_only_so_many_at_once(store: VectorStore, boss: User, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acting, "MOST", 3)
    monkeypatch.setattr(acting, "MOST_NAMED", 2)
    documents = [factories.document(store) for _ in range(4)]
    for action in ("remove", "move"):
        told = said(act(client, action, *documents))
        assert told == ["Choose 3 at most; these are 4. Nothing was done."]
    assert Document.objects.live().count() == 4
    told = said(act(client, "try_again", *documents[:3]))
    assert len(told) == 3
    assert told[2] == "And 1 more were refused."


def test_documents_are_moved_to_a_store_that_one_chooses(store: VectorStore, boss: User, client: Client) -> None:
    target = factories.store(owner=factories.user("ada@example.org"), name="Pilots", model=store.embedding_model)
    factories.store(owner=store.owner, name="Of a chat", kind="conversation")
    moved = factories.document(store, name="tides.txt", text="Tide tables")
    refused = factories.document(store, name="winds.txt", text="Winds")
    factories.document(target, name="Winds, again.txt", text="Winds")
    asked = act(client, "move", moved, refused)
    assert "Pilots" in asked.text
    assert "ada@example.org" in asked.text
    assert "Of a chat" not in asked.text
    assert "tides.txt" in asked.text
    assert "Pilots" not in act(client, "move", moved, words="harb", find="1").text
    assert "Pilots" in act(client, "move", moved, words="ada@", find="1").text
    for wrong in ("", "x"):
        assert said(act(client, "move", moved, move="1", target=wrong)) == ["Choose a vector store."]
    told = said(act(client, "move", moved, refused, move="1", target=str(target.pk)))
    assert told == [
        "winds.txt: The same content is in “Pilots” already, as “Winds, again.txt”.",
        "1 moved, or on the way: then its state says so.",
    ]
    moved.refresh_from_db()
    refused.refresh_from_db()
    assert (moved.store, refused.store) == (target, store)


def test_one_moves_only_between_stores_that_one_may_change(store: VectorStore, client: Client) -> None:
    person = staff("view_document", "change_document")
    client.force_login(person)
    mine, foreign = factories.store(owner=person, name="Mine"), factories.store(owner=store.owner, name="Foreign")
    shared = factories.store(owner=store.owner, name="Shared")
    factories.grant(shared, person, Role.READER)
    document = factories.document(mine, name="tides.txt")
    asked = act(client, "move", document)
    assert "Foreign" not in asked.text
    assert "Shared" not in asked.text
    told = said(act(client, "move", document, move="1", target=str(foreign.pk)))
    assert told == ["tides.txt: There is no such vector store."]
    told = said(act(client, "move", document, move="1", target=str(shared.pk)))
    assert told == ["tides.txt: You may read this vector store, but not change it."]
    document.refresh_from_db()
    assert document.store == mine


def test_staff_without_a_right_on_the_store_changes_nothing(store: VectorStore, client: Client) -> None:
    person = staff("view_document", "change_document")
    client.force_login(person)
    document = factories.document(store, state="failed")
    act(client, "remove", document)
    assert Document.objects.get().life == "live"
    factories.grant(store, person, Role.READER)
    assert "but not change it" in said(act(client, "remove", document))[0]
    assert Document.objects.get().life == "live"


def test_a_store_with_documents_keeps_its_model(store: VectorStore, boss: User, client: Client) -> None:
    factories.document(store)
    url = page("retrieval_vectorstore_change", store.pk)
    assert "embedding_model" in str(client.get(url).context["adminform"].readonly_fields)
    assert client.post(page("retrieval_vectorstore_delete", store.pk)).status_code == 403


def test_what_failed_in_stores_is_tried_again(store: VectorStore, boss: User, client: Client) -> None:
    other = factories.store(owner=store.owner)
    for number in range(3):
        factories.document(store if number else other, state="failed", error_retryable=True)
    factories.document(store, state="failed")
    assert said(act(client, "retry_failed", store, other)) == ["Looked through 2.", "3 documents tried again."]
    assert Document.objects.filter(state="queued").count() == 3


def test_stores_are_deleted_in_the_background_by_who_owns_them(boss: User, client: Client) -> None:
    """What does not belong to the library stays, and is named."""
    owner = factories.user()
    made, held = factories.store(owner=owner), factories.store(owner=owner, kind="conversation", name="Held")
    factories.document(made)
    told = said(act(client, "remove", made, held))
    assert told == ["Held: This vector store goes with what it belongs to.", "1 deleted."]
    assert list(VectorStore.objects.visible_to(boss)) == [held]
