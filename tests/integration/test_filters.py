"""Filters by what is known of documents: the database answers as plain Python does, and search finds nothing else."""

import operator
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from html import unescape
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from core.errors import InvalidInputError, NotFoundError, PermissionDeniedError
from core.models import User
from core.models.grants import Role
from retrieval import services
from retrieval.models import Document, VectorStore
from retrieval.search import Query, besides_conversations, parse_filter, retrieve_now, whole
from retrieval.search.filters import filter_sql
from tests import factories
from tests.admin_pages import page

pytestmark = pytest.mark.django_db

ORDER: dict[str, Callable[[Any, Any], bool]] = {
    "gt": operator.gt, "gte": operator.ge, "lt": operator.lt, "lte": operator.le,
}  # fmt: skip


def kind(value: object) -> str:
    """JSON's kinds: Python's True is 1, JSON's is not."""
    return "boolean" if isinstance(value, bool) else "text" if isinstance(value, str) else "number"


def equal(one: object, other: object) -> bool:
    return kind(one) == kind(other) and one == other


def passes(wanted: Mapping[str, Any], known: Mapping[str, Any]) -> bool:
    """The meaning of a filter, over the attributes of one document."""
    if wanted["type"] in {"and", "or"}:
        results = [passes(part, known) for part in wanted["filters"]]
        return all(results) if wanted["type"] == "and" else any(results)
    there, value = known.get(wanted["key"]), wanted["value"]
    if wanted["type"] in ORDER:
        comparable = there is not None and not isinstance(there, list | bool) and kind(there) == kind(value)
        return comparable and ORDER[wanted["type"]](there, value)
    elements = there if isinstance(there, list) else [] if there is None else [there]
    values = value if isinstance(value, list) else [value]
    found = any(equal(element, one) for element in elements for one in values)
    return found if wanted["type"] in {"eq", "in"} else not found


TEXTS = st.sampled_from(
    ["", "a", "b", "B", "ä", "2026-11-21", "2026-02-01", "1", "true", "%s", "'", "\U0001f600", "\uffff"]
)
NUMBERS = st.integers(-3, 3) | st.sampled_from([0.5, 1.0, -0.0, 0.1, 1e300, 5e-324, 2**53, -(2**53)])
SCALARS = TEXTS | NUMBERS | st.booleans() | st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), max_size=3)
KEYS = st.sampled_from(["one", "two", "a key", "'", "%", "$.x"])
ATTRIBUTES = st.dictionaries(KEYS, SCALARS | st.lists(TEXTS, max_size=3), max_size=4)
COMPARISONS = (
    st.fixed_dictionaries({"type": st.sampled_from(["eq", "ne"]), "key": KEYS, "value": SCALARS})
    | st.fixed_dictionaries({"type": st.sampled_from([*ORDER]), "key": KEYS, "value": TEXTS | NUMBERS})
    | st.fixed_dictionaries(
        {"type": st.sampled_from(["in", "nin"]), "key": KEYS, "value": st.lists(SCALARS, min_size=1, max_size=3)}
    )
)
FILTERS = st.recursive(
    COMPARISONS,
    lambda inner: st.fixed_dictionaries(
        {"type": st.sampled_from(["and", "or"]), "filters": st.lists(inner, min_size=1, max_size=3)}
    ),
    max_leaves=6,
)
DOCUMENTS = 6


def chosen(wanted: object, store: VectorStore) -> set[Any]:
    """The documents of a store that the database says pass."""
    sql, parameters = filter_sql(parse_filter(wanted))
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT id FROM retrieval_document document WHERE store_id = %s AND {sql}",  # noqa: S608
            [store.pk, *parameters],
        )
        return {identity for (identity,) in cursor.fetchall()}


@pytest.fixture
def six(db: None) -> list[Document]:
    store = factories.store(owner=factories.user())
    return [factories.document(store) for _ in range(DOCUMENTS)]


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(wanted=FILTERS, known=st.lists(ATTRIBUTES, min_size=DOCUMENTS, max_size=DOCUMENTS))
@example({"type": "eq", "key": "one", "value": 1}, [{"one": True}, {"one": 1.0}, {"one": "1"}, {"one": ["1"]}, {}, {}])
@example({"type": "ne", "key": "one", "value": "a"}, [{"one": ["b", "a"]}, {"one": ["b"]}, {}, {"one": 1}, {}, {}])
def test_the_database_and_python_agree(
    six: Sequence[Document], wanted: Mapping[str, Any], known: Sequence[Mapping[str, Any]]
) -> None:
    for document, attributes in zip(six, known, strict=True):
        document.attributes = dict(attributes)
    Document.objects.bulk_update(six, ["attributes"])
    expected = {one.pk for one, attributes in zip(six, known, strict=True) if passes(wanted, attributes)}
    assert chosen(wanted, six[0].store) == expected


def comparison(kind: str, key: str, value: object) -> dict[str, object]:
    return {"type": kind, "key": key, "value": value}


def test_what_is_known_of_every_document() -> None:
    owner, other = factories.user(email="Anna@example.org"), factories.user()
    store = factories.store(owner=owner)
    old = factories.document(store, name="old.pdf", language="de", uploaded_by=other)
    new = factories.document(store, name="new.txt", language="en")
    Document.objects.filter(pk=old.pk).update(created_at=datetime(2025, 12, 31, 23, 59, tzinfo=UTC))
    Document.objects.filter(pk=new.pk).update(
        created_at=datetime(2026, 1, 1, tzinfo=UTC), attributes={"tags": ["a", "b"]}
    )
    file = old.file
    file.mime_type = "application/pdf"
    file.save()
    for wanted, expected in [
        (comparison("eq", "file_name", "new.txt"), new),
        (comparison("eq", "kind", "application/pdf"), old),
        (comparison("in", "language", ["de", "fr"]), old),
        (comparison("eq", "owner", "anna@example.org"), new),
        (comparison("gte", "uploaded_on", "2026-01-01"), new),
        (comparison("lt", "uploaded_on", "2026-01-01"), old),
        (comparison("eq", "uploaded_on", "2025-12-31"), old),
        (comparison("eq", "tags", "b"), new),
        (comparison("nin", "tags", ["b", "c"]), old),
    ]:
        assert chosen(wanted, store) == {expected.pk}, wanted


@pytest.fixture
def library(db: None) -> VectorStore:
    store = factories.store(owner=factories.user())
    for year in range(2020, 2026):
        made = factories.indexed_document(store, text=f"The lighthouse was painted in {year}.", name=f"{year}.txt")
        Document.objects.filter(pk=made.pk).update(attributes={"year": year})
    return store


def names(store: VectorStore, wanted: object = None, limit: int = 10, kept: object = None) -> list[str]:
    stores = VectorStore.objects.filter(pk=store.pk)
    parsed = parse_filter(wanted) if wanted else None
    found = retrieve_now(Query.of("When was the lighthouse painted?"), scope=stores, limit=limit, filter=parsed)
    return sorted(one.document_name for one in found)


def test_search_finds_what_passes_and_nothing_else(library: VectorStore) -> None:
    assert len(names(library)) == 6
    assert names(library, comparison("gte", "year", 2024)) == ["2024.txt", "2025.txt"]
    assert names(library, comparison("eq", "file_name", "2021.txt")) == ["2021.txt"]
    assert names(library, comparison("eq", "year", "2021")) == []
    # what is left out takes no place among the best
    assert len(names(library, comparison("ne", "year", 2025), limit=1)) == 1
    Document.objects.filter(name="2024.txt").update(life="deleting")
    assert names(library, comparison("gte", "year", 2024)) == ["2025.txt"]


def test_whole_documents_too(library: VectorStore) -> None:
    stores = VectorStore.objects.filter(pk=library.pk)
    wanted = parse_filter(comparison("lt", "year", 2022))
    there = whole(stores, limit=1000, filter=wanted)
    assert [one.document_name for one in there.passages] == ["2020.txt", "2021.txt"]
    assert there.tokens < whole(stores, limit=1000).tokens


def test_what_was_dropped_into_a_conversation_always_passes(library: VectorStore) -> None:
    dropped = factories.store(owner=library.owner, kind="conversation", model=library.embedding_model)
    factories.indexed_document(dropped, text="The lighthouse was painted by hand.", name="mine.txt")
    wanted = besides_conversations(parse_filter(comparison("eq", "year", 2020)))
    stores = VectorStore.objects.filter(pk__in=[library.pk, dropped.pk])
    found = retrieve_now(Query.of("When was the lighthouse painted?"), scope=stores, limit=9, filter=wanted)
    assert {one.document_name for one in found} == {"2020.txt", "mine.txt"}


class TestAttributes:
    @pytest.fixture
    def document(self) -> Document:
        return factories.document(factories.store(owner=factories.user()))

    def set(self, document: Document, attributes: Any, user: User | None = None) -> None:
        person = user or document.store.owner
        assert person
        services.set_attributes(user=person, document_id=document.pk, attributes=attributes)

    def test_all_kinds_of_values(self, document: Document) -> None:
        known = {"area": "HR", "year": 2026, "part": 0.5, "draft": False, "until": "2027-01-01", "tags": ["a", "b"]}
        self.set(document, known)
        document.refresh_from_db()
        assert document.attributes == known
        self.set(document, {})
        document.refresh_from_db()
        assert document.attributes == {}

    @pytest.mark.parametrize(
        "attributes",
        [
            {"": 1}, {" a": 1}, {"k" * 65: 1}, {"a": "v" * 513}, {"a": None}, {"a": {"b": 1}}, {"a": [1]},
            {"a": "\0"}, {"a": float("inf")}, {"a": 10**20}, {"a": ["v"] * 33}, {"kind": "text/plain"},
            {f"k{number}": 1 for number in range(17)},
        ],
    )  # fmt: skip
    def test_what_cannot_be_one(self, document: Document, attributes: Any) -> None:
        with pytest.raises(InvalidInputError):
            self.set(document, attributes)
        document.refresh_from_db()
        assert document.attributes == {}

    def test_who_may(self, document: Document) -> None:
        reader, editor, outsider = factories.user(), factories.user(), factories.user()
        factories.grant(document.store, reader)
        factories.grant(document.store, editor, Role.EDITOR)
        self.set(document, {"a": 1}, editor)
        with pytest.raises(PermissionDeniedError):
            self.set(document, {"a": 2}, reader)
        with pytest.raises(NotFoundError):
            self.set(document, {"a": 2}, outsider)
        for person in (reader, outsider):
            with pytest.raises(NotFoundError):
                services.change_attributes(user=person, document_ids=[document.pk], attributes={"a": 2})
        document.refresh_from_db()
        assert document.attributes == {"a": 1}

    def test_many_at_once(self, document: Document) -> None:
        other = factories.document(document.store, attributes={"year": 1, "area": "HR"})
        owner = document.store.owner
        assert owner
        ids = [document.pk, other.pk]
        changed = services.change_attributes(user=owner, document_ids=ids, attributes={"year": 2, "area": None})
        assert changed == 2
        assert list(Document.objects.values_list("attributes", flat=True)) == [{"year": 2}] * 2
        full = {f"k{number}": 1 for number in range(16)}
        with pytest.raises(InvalidInputError):
            services.change_attributes(user=owner, document_ids=ids, attributes=full)
        assert list(Document.objects.values_list("attributes", flat=True)) == [{"year": 2}] * 2


class TestForm:
    def test_the_page_takes_what_it_shows(self, client: Client) -> None:
        document = factories.document(factories.store(owner=factories.user()), attributes={"area": "HR", "year": 2026})
        reader = factories.user()
        factories.grant(document.store, reader)
        assert document.store.owner
        client.force_login(document.store.owner)
        html = unescape(client.get(document.get_absolute_url()).content.decode())
        assert "area: HR\nyear: 2026</textarea>" in html
        address = f"{document.get_absolute_url()}attributes/"
        assert client.post(address, {"attributes": "area: IT"}).status_code == 302
        document.refresh_from_db()
        assert document.attributes == {"area": "IT"}
        refused = client.post(address, {"attributes": "area"}, headers={"accept": "application/json"})
        assert (refused.status_code, refused.json()["code"]) == (400, "invalid_input")
        client.force_login(reader)
        assert "textarea" not in client.get(document.get_absolute_url()).content.decode()
        assert client.post(address, {"attributes": "area: HR"}).status_code == 403
        document.refresh_from_db()
        assert document.attributes == {"area": "IT"}

    def test_the_admin_changes_them_by_the_same_rules(self, client: Client) -> None:
        document = factories.document(factories.store(owner=factories.user()), name="a.txt")
        client.force_login(factories.superuser())
        address = page("retrieval_document_change", document.pk)
        client.post(address, {"name": "b\n.txt", "attributes": '{"year": 2026}'})
        document.refresh_from_db()
        assert (document.name, document.attributes) == ("b .txt", {"year": 2026})
        html = client.post(address, {"name": "b .txt", "attributes": '{"kind": 1}'}, follow=True).content.decode()
        assert "cannot be set" in unescape(html)
        document.refresh_from_db()
        assert document.attributes == {"year": 2026}
