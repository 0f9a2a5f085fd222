"""The test's database as other programs reach it, and which of them PostgreSQL still works for.

A statement that was sent is carried out, also when its sender was killed meanwhile: a row can come after the end of the
test that killed it. So whoever starts a program gives it a name and waits here until PostgreSQL is done with it.
"""

import os
from collections.abc import Collection
from typing import LiteralString
from urllib.parse import urlsplit

import psycopg
from django.db import connection

from tests.waiting import wait_until

# The variable that tells a program what its connections are called.
NAME = "PGAPPNAME"
_CLIENTS: LiteralString = """
SELECT DISTINCT application_name FROM pg_stat_activity
WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()
"""


def database_url() -> str:
    """The servers of this run, but the database that this process tests on."""
    return urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{connection.settings_dict['NAME']}").geturl()


def others() -> set[str]:
    """The names of other programs that are at work in this process's database."""
    with psycopg.connect(database_url(), autocommit=True) as looking:
        return _clients(looking) - {os.environ[NAME]}


def busy(names: Collection[str]) -> set[str]:
    """Those of these programs that are at a statement or within a transaction."""
    with psycopg.connect(database_url(), autocommit=True) as looking:
        return _clients(looking, f"{_CLIENTS} AND state <> 'idle'") & set(names)


def await_end(url: str, names: Collection[str]) -> None:
    """Wait until PostgreSQL works for no program of these names; what they wait for has to be let go of before."""
    with psycopg.connect(url, autocommit=True) as looking:
        wait_until(lambda: _clients(looking).isdisjoint(names))


def _clients(looking: "psycopg.Connection[tuple[str]]", statement: LiteralString = _CLIENTS) -> set[str]:
    return {row[0] for row in looking.execute(statement)}
