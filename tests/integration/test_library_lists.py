"""Lists of documents: what filters keep, their order, counts and cost, and what is done to many documents at once."""

import uuid
from datetime import timedelta
from http import HTTPStatus
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from core.models import User
from core.models.grants import Role
from retrieval.models import Document, Revision, VectorStore
from retrieval.selectors import DocumentFilter, store_documents
from retrieval.services import bulk
from tests import factories

pytestmark = pytest.mark.django_db
JSON = {"Accept": "application/json"}


@pytest.fixture
def cast() -> factories.Cast:
    return factories.cast()


@pytest.fixture
def store(cast: factories.Cast) -> VectorStore:
    made = factories.store(owner=cast.owner, name="Harbour papers")
    factories.grant(made, cast.team, Role.READER)
    return made


def as_(person: User) -> Client:
    client = Client()
    client.force_login(person)
    return client


def put(store: VectorStore, name: str, **fields: Any) -> Document:
    """A document of which some columns are set after the fact."""
    late = {key: fields.pop(key) for key in ("created_at", "page_count", "token_count") if key in fields}
    mime = fields.pop("mime", None)
    made = factories.document(store, name=name, **fields)
    Document.objects.filter(pk=made.pk).update(**late)
    if mime:
        made.file.mime_type = mime
        made.file.save()
    return made


def names(person: User, store: VectorStore, **query: Any) -> list[str]:
    page = as_(person).get(store.get_absolute_url(), query)
    assert page.status_code == HTTPStatus.OK
    return [row.name for row in page.context["documents"]]


class TestFilters:
    @pytest.fixture
    def papers(self, cast: factories.Cast, store: VectorStore) -> None:
        now = timezone.now()
        put(store, "Tides.pdf", state="ready", mime="application/pdf", page_count=3, created_at=now - timedelta(days=3))
        put(store, "beacons 100%.txt", state="failed", created_at=now - timedelta(days=2))
        put(store, "Berths_A.txt", state="queued", uploaded_by=cast.teammate, created_at=now - timedelta(days=1))

    @pytest.mark.usefixtures("papers")
    @pytest.mark.parametrize(
        ("query", "expected"),
        [
            ({}, ["Berths_A.txt", "beacons 100%.txt", "Tides.pdf"]),
            ({"state": "ready"}, ["Tides.pdf"]),
            ({"state": "working"}, ["Berths_A.txt"]),
            ({"state": "failed"}, ["beacons 100%.txt"]),
            ({"kind": "application/pdf"}, ["Tides.pdf"]),
            ({"q": "BE TXT"}, ["Berths_A.txt", "beacons 100%.txt"]),
            ({"q": "100%"}, ["beacons 100%.txt"]),
            ({"q": "s_a"}, ["Berths_A.txt"]),
            ({"q": "zebra"}, []),
            ({"sort": "name"}, ["beacons 100%.txt", "Berths_A.txt", "Tides.pdf"]),
            ({"sort": "-name"}, ["Tides.pdf", "Berths_A.txt", "beacons 100%.txt"]),
            ({"sort": "-pages", "state": "ready"}, ["Tides.pdf"]),
            ({"sort": "state"}, ["beacons 100%.txt", "Berths_A.txt", "Tides.pdf"]),
            ({"sort": "added"}, ["Tides.pdf", "beacons 100%.txt", "Berths_A.txt"]),
            # what an address says wrongly is left out
            ({"state": "nonsense", "who": "x", "sort": "id; DROP", "page": "-1", "q": "\0"}, 3),
        ],
    )
    def test_what_is_kept_and_in_which_order(
        self, cast: factories.Cast, store: VectorStore, query: dict[str, str], expected: list[str] | int
    ) -> None:
        found = names(cast.teammate, store, **query)
        assert (len(found) if isinstance(expected, int) else found) == expected

    @pytest.mark.usefixtures("papers")
    def test_who_added_it(self, cast: factories.Cast, store: VectorStore) -> None:
        assert names(cast.owner, store, who=str(cast.teammate.pk)) == ["Berths_A.txt"]
        choices = as_(cast.owner).get(store.get_absolute_url()).context["counts"].people
        assert [(choice.label, choice.number) for choice in choices] == [("Olga", 2), ("Tim", 1)]

    @pytest.mark.parametrize("column", DocumentFilter().sorts)
    def test_every_column_sorts_both_ways(self, cast: factories.Cast, store: VectorStore, column: str) -> None:
        for number in range(3):
            put(store, f"{number}.txt", text="x" * (number + 1), token_count=number)
        up, down = names(cast.owner, store, sort=column), names(cast.owner, store, sort=f"-{column}")
        assert set(up) == set(down) == {"0.txt", "1.txt", "2.txt"}
        if column in {"name", "size", "tokens", "added"}:
            assert up == down[::-1] == ["0.txt", "1.txt", "2.txt"]

    def test_whom_nobody_uploaded_comes_last_both_ways(self, cast: factories.Cast, store: VectorStore) -> None:
        for name, person in (("a.txt", cast.owner), ("b.txt", None), ("c.txt", cast.teammate)):
            put(store, name, uploaded_by=person)
        assert names(cast.owner, store, sort="who")[-1] == "b.txt"
        assert names(cast.owner, store, sort="-who")[-1] == "b.txt"

    def test_the_usual_order_is_that_of_an_index(self, store: VectorStore) -> None:
        """Else each page of a large store sorts all of it."""
        put(store, "a.txt")
        wanted = DocumentFilter()
        with connection.cursor() as cursor:
            # a small table is read as a whole and sorted, unless that is not to be had
            cursor.execute("SET LOCAL enable_seqscan = off")
            cursor.execute("SET LOCAL enable_sort = off")
            plan = wanted.order(wanted.keep(store_documents(store))).values_list("pk")[:50].explain()
        assert "document_of_store" in plan
        assert "Sort" not in plan

    def test_a_title_is_found_too(self, cast: factories.Cast, store: VectorStore) -> None:
        put(store, "a.pdf", state="ready")
        Revision.objects.update(title="The lighthouse of Korsund")
        assert names(cast.owner, store, q="lighthouse korsund") == ["a.pdf"]

    @pytest.mark.usefixtures("papers")
    def test_counts_are_of_what_the_other_filters_leave(self, cast: factories.Cast, store: VectorStore) -> None:
        put(store, "Sluices.pdf", state="failed", mime="application/pdf")
        counts = as_(cast.owner).get(store.get_absolute_url(), {"state": "failed"}).context["counts"]
        assert [(state.value, state.number) for state in counts.states] == [
            ("", 4), ("ready", 1), ("working", 1), ("failed", 2),
        ]  # fmt: skip
        assert {kind.label: kind.number for kind in counts.kinds} == {"PDF": 1, "Text": 1}
        failed = Document.objects.filter(state="failed").select_related("file")
        assert (counts.count, counts.size) == (2, sum(document.file.size for document in failed))

    @pytest.mark.usefixtures("papers")
    def test_links_keep_the_rest_of_the_address(self, cast: factories.Cast, store: VectorStore) -> None:
        page = as_(cast.owner).get(store.get_absolute_url(), {"q": "t", "sort": "name", "state": "ready"})
        html = page.content.decode()
        assert 'href="?q=t&amp;sort=name"' in html
        assert 'href="?q=t&amp;state=ready&amp;sort=-name"' in html
        assert 'aria-sort="ascending"' in html

    def test_what_is_not_in_use_is_not_listed(self, cast: factories.Cast, store: VectorStore) -> None:
        put(store, "going.txt", life="deleting")
        page = as_(cast.owner).get(store.get_absolute_url())
        assert page.context["documents"] == []
        assert "No documents yet" in page.content.decode()


def test_a_list_costs_the_same_for_one_and_for_fifty(
    cast: factories.Cast, store: VectorStore, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    for number in range(50):
        person = (cast.owner, cast.teammate)[number % 2]
        put(store, f"{number}.txt", uploaded_by=person, state=("ready", "failed", "queued")[number % 3])
    client = as_(cast.teammate)
    with django_assert_max_num_queries(12):
        assert len(client.get(store.get_absolute_url()).context["documents"]) == 50
    ids = [str(pk) for pk in Document.objects.values_list("pk", flat=True)]
    with django_assert_max_num_queries(10):
        assert len(client.get(reverse("retrieval:rows", args=[store.pk]), {"id": ids}).json()["rows"]) == 50


class TestRows:
    def ask(self, person: User, store: VectorStore, *documents: Document, **query: str) -> Any:
        url = reverse("retrieval:rows", args=[store.pk])
        return as_(person).get(url, {"id": [str(each.pk) for each in documents], **query}, headers=JSON)

    def test_they_are_as_the_person_may_see_them(self, cast: factories.Cast, store: VectorStore) -> None:
        one = put(store, "one.txt", state="ready")
        mine = self.ask(cast.owner, store, one).json()
        theirs = self.ask(cast.teammate, store, one).json()
        assert "Actions for one.txt" in mine["rows"][0]["html"]
        assert "<button" not in theirs["rows"][0]["html"]
        assert "<input" not in theirs["rows"][0]["html"]
        assert self.ask(cast.outsider, store, one).status_code == HTTPStatus.NOT_FOUND

    def test_they_say_whether_they_belong_to_the_list(self, cast: factories.Cast, store: VectorStore) -> None:
        ready, failed = put(store, "a.txt", state="ready"), put(store, "b.txt", state="failed")
        answer = self.ask(cast.owner, store, ready, failed, state="failed").json()
        assert {row["document"]: row["matches"] for row in answer["rows"]} == {
            str(ready.pk): False,
            str(failed.pk): True,
        }
        assert answer["count"] == 1
        assert "Failed" in answer["counts"]

    def test_what_is_gone_or_elsewhere_has_none(self, cast: factories.Cast, store: VectorStore) -> None:
        gone = put(store, "a.txt", life="deleting")
        elsewhere = put(factories.store(owner=cast.owner), "b.txt")
        assert self.ask(cast.owner, store, gone, elsewhere).json()["rows"] == []

    def test_bad_ids_are_bad_input(self, cast: factories.Cast, store: VectorStore) -> None:
        url = reverse("retrieval:rows", args=[store.pk])
        for wrong in (["x"], [str(uuid.uuid4())] * 101):
            assert as_(cast.owner).get(url, {"id": wrong}, headers=JSON).json()["code"] == "invalid_input"


class TestMany:
    def act(self, person: User, at: VectorStore, query: str = "", **form: Any) -> Any:
        return as_(person).post(reverse("retrieval:bulk", args=[at.pk]) + query, form, headers=JSON)

    def test_each_is_told_apart(self, cast: factories.Cast, store: VectorStore) -> None:
        failed, ready = put(store, "a.txt", state="failed"), put(store, "b.txt", state="ready")
        answer = self.act(cast.owner, store, action="retry", id=[str(failed.pk), str(ready.pk)]).json()
        assert (answer["done"], answer["left"]) == (1, 0)
        assert [refusal["name"] for refusal in answer["refused"]] == ["b.txt"]
        assert "Only a document that failed" in answer["refused"][0]["message"]
        failed.refresh_from_db()
        assert failed.state == "queued"

    def test_all_of_a_list_goes_part_by_part(
        self, cast: factories.Cast, store: VectorStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(bulk, "SLICE", 3)
        for number in range(7):
            put(store, f"old {number}.txt")
        kept = put(store, "new.txt")
        form, parts = {"action": "delete", "all": "1"}, []
        while True:
            answer = self.act(cast.owner, store, "?q=old", **form).json()
            parts.append((answer["done"], answer["left"]))
            if not answer["left"]:
                break
            form["after"] = answer["after"]
        assert parts == [(3, 4), (3, 1), (1, 0)]
        assert list(Document.objects.live()) == [kept]

    def test_all_that_failed_is_tried_again(self, cast: factories.Cast, store: VectorStore) -> None:
        put(store, "ready.txt", state="ready")
        for number in range(3):
            put(store, f"{number}.txt", state="failed")
        assert self.act(cast.owner, store, action="retry_failed").json()["done"] == 3
        assert Document.objects.filter(state="queued").count() == 3

    def test_they_are_moved(self, cast: factories.Cast, store: VectorStore) -> None:
        target = factories.store(owner=cast.owner, model=store.embedding_model)
        one, twin = put(store, "a.txt"), put(store, "b.txt", text="the same")
        put(target, "c.txt", text="the same")
        ids = [str(one.pk), str(twin.pk)]
        answer = self.act(cast.owner, store, action="move", id=ids, store=str(target.pk)).json()
        assert (answer["done"], [refusal["name"] for refusal in answer["refused"]]) == (1, ["b.txt"])
        one.refresh_from_db()
        assert one.store_id == target.pk

    def test_attributes_are_added(self, cast: factories.Cast, store: VectorStore) -> None:
        for number in range(2):
            put(store, f"{number}.txt", attributes={"year": 1912, "draft": True})
        lines = "place: Korsund\nheight: 2.4"
        assert self.act(cast.owner, store, action="attributes", all="1", lines=lines).json()["done"] == 2
        wanted = {"year": 1912, "draft": True, "place": "Korsund", "height": 2.4}
        assert [document.attributes for document in Document.objects.all()] == [wanted, wanted]

    def test_only_editors_may(self, cast: factories.Cast, store: VectorStore) -> None:
        one = put(store, "a.txt")
        for person, status in ((cast.teammate, HTTPStatus.FORBIDDEN), (cast.outsider, HTTPStatus.NOT_FOUND)):
            assert self.act(person, store, action="delete", id=str(one.pk)).status_code == status
        assert Document.objects.live().count() == 1

    def test_documents_of_another_store_stay(self, cast: factories.Cast, store: VectorStore) -> None:
        other = put(factories.store(owner=cast.owner), "a.txt")
        assert self.act(cast.owner, store, action="delete", id=str(other.pk)).json()["done"] == 0
        assert Document.objects.live().count() == 1

    @pytest.mark.parametrize(
        "form",
        [
            {"action": "delete"},
            {"action": "x", "all": "1"},
            {"action": "delete", "id": "x"},
            {"action": "attributes", "all": "1", "lines": "no colon"},
            {"action": "attributes", "all": "1"},
            {"action": "move", "all": "1", "store": "x"},
        ],
    )
    def test_bad_input_is_said(self, cast: factories.Cast, store: VectorStore, form: dict[str, str]) -> None:
        assert self.act(cast.owner, store, **form).json()["code"] == "invalid_input"

    def test_a_plain_form_goes_back_to_the_list_and_says_it(self, cast: factories.Cast, store: VectorStore) -> None:
        one = put(store, "a.txt", state="ready")
        url = reverse("retrieval:bulk", args=[store.pk]) + "?state=ready"
        page = as_(cast.owner).post(url, {"action": "retry", "id": str(one.pk)}, follow=True)
        assert page.redirect_chain[0][0] == f"{store.get_absolute_url()}?state=ready"
        assert "a.txt: Only a document that failed" in page.content.decode()
