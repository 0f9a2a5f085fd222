"""Statements that every turn needs, prepared once per connection.

Django's cursors put parameters into the text of a statement, so PostgreSQL reads and plans it anew each time: for a
short statement most of what it costs. These are sent with their parameters apart and stay prepared (psycopg, "Prepared
statements"). They take part in the surrounding transaction, and fail with Django's exceptions.
"""

from collections.abc import Mapping
from typing import Any, TypeVar

import psycopg
from django.db import connection, models

M = TypeVar("M", bound=models.Model)


def rows(statement: str, values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    """Run a statement and return its rows."""
    return _run(statement, values).fetchall()


def row(statement: str, values: Mapping[str, Any]) -> tuple[Any, ...] | None:
    """Run a statement and return its first row."""
    return _run(statement, values).fetchone()


def execute(statement: str, values: Mapping[str, Any]) -> int:
    """Run a statement and return how many rows it wrote."""
    return _run(statement, values).rowcount


def _run(statement: str, values: Mapping[str, Any]) -> psycopg.Cursor[tuple[Any, ...]]:
    connection.ensure_connection()
    connection.validate_no_broken_transaction()
    with connection.wrap_database_errors:
        cursor = psycopg.Cursor(connection.connection)
        cursor.execute(statement, values, prepare=True)
    return cursor


def select(model: type[models.Model]) -> str:
    """Return the beginning of a statement whose rows `instance` takes."""
    columns = ", ".join(str(field.column) for field in model._meta.concrete_fields)
    return f"SELECT {columns} FROM {model._meta.db_table}"  # noqa: S608 - names of our own tables


def instance(model: type[M], row: tuple[Any, ...]) -> M:
    """Return a row of `select` as an object. For models whose columns hold what their fields do."""
    names = [field.attname for field in model._meta.concrete_fields]
    return model.from_db(connection.alias, names, row)


class Compiled:
    """The statement of a queryset, made once with marks in the place of the values that each use gives it.

    For a rule that stands in one place, in the ORM, and is asked at every turn: most of what that costs is making the
    statement.
    """

    def __init__(self, queryset: models.QuerySet[Any, Any], marks: Mapping[str, Any]) -> None:
        """`marks` are the values in `queryset` that stand for others, by the name that each use gives them under."""
        text, values = queryset.query.sql_with_params()
        names = {mark: name for name, mark in marks.items()}
        self._fixed = {f"fixed_{place}": value for place, value in enumerate(values) if value not in names}
        self._text = text % tuple(f"%({names.get(value, f'fixed_{place}')})s" for place, value in enumerate(values))

    def row(self, **values: Any) -> tuple[Any, ...] | None:
        """Run it with these values and return its first row."""
        return row(self._text, {**self._fixed, **values})
