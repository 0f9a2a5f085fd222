"""Prepared statements: part of the transaction around them, and known to the server after the first time."""

import pytest
from django.db import DatabaseError, IntegrityError, connection, transaction
from django.db.transaction import TransactionManagementError

from core import statements
from core.models import Milestone, User
from tests import factories

pytestmark = pytest.mark.django_db(transaction=True)

_ADD = "INSERT INTO core_milestone (name, details, reached_at) VALUES (%(name)s, %(details)s::jsonb, now())"
_NAMES = "SELECT name FROM core_milestone WHERE name <> %(other)s ORDER BY name"


def add(name: str) -> int:
    return statements.execute(_ADD, {"name": name, "details": "{}"})


def test_rows_and_how_many_were_written() -> None:
    assert [add("a"), add("b")] == [1, 1]
    assert statements.rows(_NAMES, {"other": "a"}) == [("b",)]
    assert statements.row(_NAMES, {"other": "b"}) == ("a",)
    assert statements.row(_NAMES + " LIMIT 0", {"other": "b"}) is None


def planned() -> tuple[int, int]:
    """How many statements that write milestones the server keeps for this connection, and how often they ran."""
    rows = statements.rows(
        "SELECT count(*), coalesce(sum(generic_plans + custom_plans), 0)::int FROM pg_prepared_statements"
        " WHERE statement LIKE %(text)s",
        {"text": "INSERT INTO core_milestone%$1%"},
    )
    return rows[0]


def test_the_server_reads_it_once_and_keeps_it() -> None:
    add("a")
    known, ran = planned()
    add("b")
    add("c")
    assert planned() == (known, ran + 2)
    assert known == 1


def test_it_is_undone_with_the_transaction_around_it() -> None:
    with transaction.atomic():
        add("a")
        assert Milestone.objects.filter(name="a").exists()
        transaction.set_rollback(True)
    assert not Milestone.objects.exists()


def test_it_sees_what_the_transaction_wrote() -> None:
    with transaction.atomic():
        Milestone.objects.create(name="a")
        assert statements.rows(_NAMES, {"other": ""}) == [("a",)]


def test_errors_are_the_frameworks() -> None:
    add("a")
    with pytest.raises(IntegrityError):
        add("a")
    with pytest.raises(DatabaseError):
        statements.rows("SELECT nothing", {})
    assert statements.rows(_NAMES, {"other": ""}) == [("a",)]


def test_after_an_error_the_transaction_takes_no_more() -> None:
    with transaction.atomic():
        add("a")
        with pytest.raises(IntegrityError), transaction.atomic():
            add("a")
        add("b")
    with transaction.atomic():
        connection.set_rollback(True)
        with pytest.raises(TransactionManagementError):
            add("c")
    assert statements.rows(_NAMES, {"other": ""}) == [("a",), ("b",)]


def test_a_connection_that_was_closed_is_opened_again() -> None:
    add("a")
    connection.close()
    assert statements.rows(_NAMES, {"other": ""}) == [("a",)]


def test_a_queryset_is_compiled_once_and_asked_with_other_values() -> None:
    Milestone.objects.bulk_create(Milestone(name=name, details={"kept": name != "b"}) for name in "abc")
    kept = Milestone.objects.filter(name="<name>", details__kept=True).values_list("name")
    compiled = statements.Compiled(kept, {"wanted": "<name>"})
    assert [compiled.row(wanted=name) for name in "abcd"] == [("a",), None, ("c",), None]


def test_a_row_becomes_an_object() -> None:
    person = factories.user()
    row = statements.row(statements.select(User) + " WHERE email = %(email)s", {"email": person.email})
    assert row is not None
    found = statements.instance(User, row)
    assert (found, found.date_joined, found._state.adding) == (person, person.date_joined, False)
