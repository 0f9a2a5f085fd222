"""The library as a whole: which stores are listed with what, and where a document is found."""

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from core.models import User
from core.models.grants import Role
from retrieval.models import Document, File, VectorStore
from tests import factories

pytestmark = pytest.mark.django_db


@pytest.fixture
def cast() -> factories.Cast:
    return factories.cast()


def shelf(person: User, **query: Any) -> Any:
    client = Client()
    client.force_login(person)
    return client.get(reverse("retrieval:library"), query)


def names(person: User, **query: Any) -> list[str]:
    return [row.name for row in shelf(person, **query).context["stores"]]


class TestStores:
    @pytest.fixture
    def stores(self, cast: factories.Cast) -> dict[str, VectorStore]:
        made = {
            name: factories.store(owner=owner, name=name)
            for name, owner in (("beacons", cast.owner), ("Anchors", cast.teammate), ("Cables", cast.outsider))
        }
        factories.grant(made["Anchors"], cast.team, Role.READER)
        factories.grant(made["beacons"], cast.teammate, Role.EDITOR)
        return made

    @pytest.mark.usefixtures("stores")
    def test_they_are_narrowed_and_ordered_by_name(self, cast: factories.Cast) -> None:
        assert names(cast.owner) == ["Anchors", "beacons"]
        assert names(cast.owner, show="mine") == ["beacons"]
        assert names(cast.owner, show="shared") == ["Anchors"]
        assert names(cast.owner, show="nonsense") == ["Anchors", "beacons"]
        assert names(cast.owner, q="ANCH") == ["Anchors"]
        assert names(cast.outsider) == ["Cables"]
        assert names(factories.superuser()) == ["Anchors", "beacons", "Cables"]

    def test_what_is_in_them(self, cast: factories.Cast, stores: dict[str, VectorStore]) -> None:
        for state in ("ready", "ready", "failed", "queued", "embedding"):
            factories.document(stores["beacons"], state=state)
        factories.document(stores["beacons"], life="deleting")
        Document.objects.filter(state="ready").update(token_count=7)
        row = shelf(cast.owner, show="mine").context["stores"][0]
        assert row.contents.groups == {"ready": 2, "failed": 1, "working": 2}
        live = Document.objects.live().select_related("file")
        assert row.contents.size == sum(document.file.size for document in live)
        assert (row.contents.tokens, row.contents.documents) == (14, 5)
        assert row.contents.changed >= max(document.created_at for document in live)
        assert (row.is_mine, row.shares, row.owner) == (True, 1, "")
        assert names(cast.owner, show="failed") == ["beacons"]

    def test_whose_they_are(self, cast: factories.Cast, stores: dict[str, VectorStore]) -> None:
        (row,) = shelf(cast.owner, show="shared").context["stores"]
        assert (row.owner, row.is_mine, row.shares) == ("Tim", False, 0)

    def test_what_expired_says_so(self, cast: factories.Cast, stores: dict[str, VectorStore]) -> None:
        VectorStore.objects.filter(name="beacons").update(expires_at=timezone.now() - timedelta(hours=1))
        assert "Expired" in shelf(cast.owner).content.decode()

    def test_an_empty_library_says_what_comes_first(self, cast: factories.Cast) -> None:
        page = shelf(cast.owner).content.decode()
        assert "Begin with a vector store" in page
        assert 'name="name"' in page
        assert "Nothing is shared with you" in shelf(cast.owner, show="shared").content.decode()


class TestDocuments:
    def test_they_are_found_wherever_one_may_read_them(self, cast: factories.Cast) -> None:
        mine = factories.store(owner=cast.owner, name="Mine")
        talk = factories.store(owner=cast.owner, name="Talk", kind="conversation")
        theirs = factories.store(owner=cast.outsider, name="Theirs")
        shared = factories.store(owner=cast.outsider, name="Shared")
        factories.grant(shared, cast.owner)
        for store in (mine, talk, theirs, shared):
            factories.document(store, name=f"Tide table of {store.name}.pdf")
        factories.document(mine, name="Other.pdf")
        factories.document(mine, name="tide, gone.pdf", life="deleting")
        page = shelf(cast.owner, q="TIDE table")
        assert {(found.document.name, found.store) for found in page.context["found"]} == {
            ("Tide table of Mine.pdf", "Mine"),
            ("Tide table of Talk.pdf", ""),
            ("Tide table of Shared.pdf", "Shared"),
        }
        assert "Theirs" not in page.content.decode()
        assert "Nothing found" in shelf(cast.owner, q="zebra").content.decode()


def test_it_costs_the_same_for_one_and_for_fifty(
    cast: factories.Cast, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    for number in range(50):
        store = factories.store(owner=(cast.owner, cast.teammate)[number % 2], name=f"Tides {number}")
        factories.grant(store, cast.team)
        factories.document(store, name=f"tides {number}", uploaded_by=cast.teammate)
    File.objects.update(mime_type="image/png")  # whose rows ask for a picture
    client = Client()
    client.force_login(cast.owner)
    with django_assert_max_num_queries(16):
        page = client.get(reverse("retrieval:library"), {"q": "tides"})
    assert len(page.context["stores"]) == len(page.context["found"]) == 50
