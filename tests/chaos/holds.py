"""Locks that a test holds in PostgreSQL, so that a process waits at a border that it else crosses in microseconds.

The process runs as it does in earnest: nothing in it knows of this.
"""

import uuid

import psycopg
from psycopg import sql

# A web process says who it is with `PGAPPNAME`. Those of other tests, in other databases, may be called the same.
_WAITING = """
SELECT query FROM pg_stat_activity
WHERE wait_event_type = 'Lock' AND application_name = %s AND datname = current_database()
"""


class Holds:
    """Named locks over connections of their own; `release_all` when the round is over."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._held: dict[str, psycopg.AsyncConnection] = {}
        self._looking: psycopg.AsyncConnection | None = None

    async def row(self, name: str, *, table: str, row: uuid.UUID | str) -> None:
        """Lock a row as an update of it would."""
        statement = sql.SQL("SELECT FROM {} WHERE id = %s FOR UPDATE").format(sql.Identifier(table))
        await self._hold(name, statement, [row])

    async def table(self, name: str, *, table: str) -> None:
        """Let nobody read or write a table."""
        await self._hold(name, sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(sql.Identifier(table)), [])

    async def inserts(self, name: str, *, table: str) -> None:
        """Let nobody write a table."""
        statement = sql.SQL("LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE").format(sql.Identifier(table))
        await self._hold(name, statement, [])

    async def _hold(self, name: str, statement: sql.Composed, values: list[object]) -> None:
        connection = await psycopg.AsyncConnection.connect(self._url)
        self._held[name] = connection
        await connection.execute("SET lock_timeout = '10s'")
        await connection.execute(statement, values)

    async def release(self, name: str) -> None:
        await self._held.pop(name).close()

    async def release_all(self) -> None:
        """Also where the server that held them is gone."""
        for name in tuple(self._held):
            await self.release(name)
        if self._looking is not None:
            await self._looking.close()
            self._looking = None

    async def waiting(self, application: str) -> list[str]:
        """Return the statements that this program's connections wait for a lock with."""
        if self._looking is None:
            self._looking = await psycopg.AsyncConnection.connect(self._url, autocommit=True)
        found = await self._looking.execute(_WAITING, [application])
        return [str(row[0]) for row in await found.fetchall()]
